"""Optimizer and learning-rate schedule."""

from __future__ import annotations

import math

import torch
from timm.optim import create_optimizer_v2
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from trainables.config import TrialConfig

MOMENTUM = 0.9
"""Nesterov momentum of SGD (Goyal et al. 2017)."""
CLIP_GRAD_NORM = 1.0
"""Largest norm of the gradient; the value of timm's and torchvision's fine-tuning recipes."""


def build_optimizer(config: TrialConfig, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW or SGD with Nesterov momentum, in torch's fused kernels; no decay on biases and norms."""
    return create_optimizer_v2(
        model,
        opt={"adamw": "adamw", "sgd": "sgd"}[config.optimizer],  # timm's sgd is the one with Nesterov momentum
        lr=config.lr,
        weight_decay=config.weight_decay,
        momentum=MOMENTUM,
        filter_bias_and_bn=True,
        fused=True,
    )


def build_schedule(config: TrialConfig, optimizer: torch.optim.Optimizer, total_steps: int) -> LambdaLR:
    """Linear warm-up, then half a cosine to zero at the last step of the last epoch (Loshchilov & Hutter 2017).

    It depends on the epochs that a trial is meant to have, never on where it is stopped: at any epoch all
    trials of a study are at the same point of it, so ASHA compares like with like.
    """
    warmup_steps = max(1, round(config.warmup_share * total_steps))

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, total_steps - warmup_steps)))

    return LambdaLR(optimizer, factor)
