"""Optimizer and learning-rate schedule."""

from __future__ import annotations

import math
from typing import Any

import torch
from timm.optim import create_optimizer_v2
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from trainables.config import TaskConfig, TrialConfig
from trainables.networks.formulation import backbones

MOMENTUM = 0.9
"""Nesterov momentum of SGD (Goyal et al. 2017)."""
CLIP_GRAD_NORM = 1.0
"""Largest norm of the gradient; the value of timm's and torchvision's fine-tuning recipes."""
MOST_WARMUP_STEPS = 500
"""A share of the epochs is more than a warm-up needs where one has thousands of steps; the sets that were measured have
at most 100."""

FUSED = ("adamw", "sgd")
"""Optimizers that torch has fused kernels for; timm's own have none."""


def build_optimizer(config: TrialConfig, model: nn.Module, *, in_float16: bool = False) -> torch.optim.Optimizer:
    """The optimizer that a configuration asks for, in torch's fused kernels where it has them and they are right.

    There is no decay on biases and norms. With layer decay each block of the network (timm's `group_matcher`) has a
    group of its own, whose learning rate is the peak's share that the schedule then moves.
    """
    fused = config.optimizer in FUSED
    if config.optimizer == "sgd" and (in_float16 or config.frozen_share > 0):
        # Fused SGD takes its momentum from memory as it lies where the first step overflows, and breaks off where some
        # parameters have a momentum and others, frozen so far, have none yet.
        fused = False
    optimizer, *others = [_optimizer(config, network, fused=fused) for network in backbones(model)]
    for other in others:
        for group in other.param_groups:
            optimizer.add_param_group(group)
    for group in optimizer.param_groups:
        group["lr"] *= group.pop("lr_scale", 1.0)  # only timm's own schedules look at lr_scale
    return optimizer


def _optimizer(config: TrialConfig, model: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
    options: dict[str, Any] = {"layer_decay": config.layer_decay} if config.layer_decay < 1 else {}
    if fused:
        options["fused"] = True
    return create_optimizer_v2(
        model,
        opt=config.optimizer,  # timm's sgd is the one with Nesterov momentum
        lr=config.lr,
        weight_decay=config.weight_decay,
        momentum=MOMENTUM,
        filter_bias_and_bn=True,
        **options,
    )


def peak_lr(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate of the classifier, which layer decay leaves as it is."""
    return max(group["lr"] for group in optimizer.param_groups)


def build_schedule(
    config: TrialConfig, task: TaskConfig, optimizer: torch.optim.Optimizer, steps_per_epoch: int
) -> LambdaLR:
    """Linear warm-up, then a constant rate or half a cosine to zero at the last step (Loshchilov & Hutter 2017).

    Neither depends on where a trial is stopped: at any epoch all trials of a study are at the same point of it, so
    ASHA compares like with like. The averaged weights of a constant rate are at every epoch about as good as a cosine
    that was laid out to end there (docs/recipe.md), as Hägele et al. (2024) found for language models.
    """
    warmup_steps = min(MOST_WARMUP_STEPS, max(1, round(config.warmup_share * task.horizon * steps_per_epoch)))
    total_steps = task.epochs * steps_per_epoch

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        if task.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, total_steps - warmup_steps)))

    return LambdaLR(optimizer, factor)
