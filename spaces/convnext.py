"""ConvNeXt from atto to tiny, and its second version with masked pre-training, at the same sizes.

timm's default weights of nano and tiny have seen ImageNet-12k or -22k. Those of the second version are for
non-commercial use (CC BY-NC 4.0): where that matters, `--backbones` leaves them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna

from spaces.suggest import (
    DEFAULT_SAMPLING,
    suggest_augmentation,
    suggest_drop_path,
    suggest_dropout,
    suggest_ema,
    suggest_frozen,
    suggest_layer_decay,
    suggest_loss,
    suggest_mixing,
    suggest_optimizer,
)
from trainables.config import TrialConfig

BACKBONES = (
    "convnext_atto",
    "convnext_femto",
    "convnext_pico",
    "convnext_nano",
    "convnext_tiny",
    "convnextv2_atto",
    "convnextv2_femto",
    "convnextv2_pico",
    "convnextv2_nano",
    "convnextv2_tiny",
)


def suggest(trial: optuna.Trial, backbones: Sequence[str] = BACKBONES) -> TrialConfig:
    """Proposes one ConvNeXt and how to train it."""
    return TrialConfig(backbone=trial.suggest_categorical("backbone", list(backbones)), **suggest_training(trial))


def suggest_training(trial: optuna.Trial) -> dict[str, Any]:
    """Proposes how to train a ConvNeXt: AdamW alone, as both papers.

    lr: 5e-5 at a batch of 512 fine-tunes the first version, 2e-4 to 8e-4 at 1024 the second (Liu et al. 2022; Woo et
    al. 2023); the smallest of them take more.
    """
    return {
        **suggest_optimizer(trial, lr=(3e-5, 2e-3)),
        **suggest_dropout(trial),
        **suggest_drop_path(trial, most=0.3),
        **suggest_layer_decay(trial, least=0.7),
        **suggest_frozen(trial),
        **suggest_ema(trial),
        **suggest_loss(trial),
        **suggest_augmentation(trial),
        **suggest_mixing(trial),
    }


def starting_points(backbones: Sequence[str] = BACKBONES) -> list[TrialConfig]:
    """The default configuration, then others that are known to do well.

    Default: decay .05, drop path .1 and smoothing .1 of Liu et al. (2022), layer decay .9 of Woo et al. (2023) for
    small ones. Then: layer decay .8 at a lower rate with averaged weights, and the mixing, erasing and RandAugment at
    9 that both train with (Liu et al. 2022); and the classifier first (Kumar et al. 2022).
    """
    first, last = backbones[0], backbones[-1]
    base: dict[str, Any] = {"dropout": 0.0, "weight_decay": 0.05, "drop_path": 0.1, "label_smoothing": 0.1}
    heavy: dict[str, Any] = {"policy": "rand", "policy_magnitude": 9.0, "erasing": 0.25, "cutmix": 0.5, "mixup": 0.5}
    return [
        TrialConfig(backbone=first, **base, lr=3e-4, layer_decay=0.9, sampling=DEFAULT_SAMPLING),
        TrialConfig(backbone=last, **base, lr=2e-4, layer_decay=0.8, ema=0.99),
        TrialConfig(backbone=last, **base, lr=3e-4, layer_decay=0.9, **heavy),
        TrialConfig(backbone=first, **base, lr=3e-4, layer_decay=0.9, frozen_share=0.2),
    ]
