"""ResNet: 18, 34 and 50 layers, ResNeXt, and the revised ResNet-RS with squeeze-and-excitation.

timm's default weights of the first four are those of ResNet strikes back (`a1_in1k`, `a1h_in1k`; Wightman et al. 2021),
those of the last come from Bello et al. (2021), so plain names are the modern ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna

from spaces.suggest import (
    DEFAULT_SAMPLING,
    suggest_any_optimizer,
    suggest_augmentation,
    suggest_drop_path,
    suggest_dropout,
    suggest_frozen,
    suggest_loss,
    suggest_mixing,
)
from trainables.config import TrialConfig

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnext50_32x4d", "resnetrs50")

LR = {"adamw": (1e-4, 3e-3), "nadamw": (1e-4, 3e-3), "lamb": (3e-4, 8e-3), "sgd": (1e-3, 0.1)}
"""Learning rate by optimizer; `suggest_training` says why."""


def suggest(trial: optuna.Trial, backbones: Sequence[str] = BACKBONES) -> TrialConfig:
    """Proposes one ResNet and how to train it."""
    return TrialConfig(backbone=trial.suggest_categorical("backbone", list(backbones)), **suggest_training(trial))


def suggest_training(trial: optuna.Trial) -> dict[str, Any]:
    """Proposes how to train a ResNet: any optimizer, little drop path (Wightman et al. 2021), perhaps frozen first.

    lr: by optimizer. SGD: a decade to either side of the .01 that fine-tuning of ResNets commonly takes, whose best
    depends on the data (Li et al. 2020). LAMB: up to the highest of Wightman et al. (2021) from scratch. AdamW and
    NAdamW: as of other convolutions, 1e-4 to 3e-3.
    """
    return {
        **suggest_any_optimizer(trial, LR),
        **suggest_dropout(trial),
        **suggest_drop_path(trial, most=0.1),
        **suggest_frozen(trial),
        **suggest_loss(trial),
        **suggest_augmentation(trial),
        **suggest_mixing(trial),
    }


def starting_points(backbones: Sequence[str] = BACKBONES) -> list[TrialConfig]:
    """The default configuration, then others that are known to do well.

    Default: SGD at .01 with decay 1e-4, the common fine-tuning of ResNets (Li et al. 2020), with warm-up and
    smoothing .1 (He et al. 2019). Then: AdamW as for EfficientNet; LAMB with mixing, RandAugment at 6 and drop path
    .05, procedure A2 of ResNet strikes back (Wightman et al. 2021); dropout, smoothing and RandAugment as in
    ResNet-RS (Bello et al. 2021).
    """
    first, last = backbones[0], backbones[-1]
    return [
        TrialConfig(
            backbone=first,
            dropout=0.0,
            optimizer="sgd",
            lr=0.01,
            weight_decay=1e-4,
            label_smoothing=0.1,
            sampling=DEFAULT_SAMPLING,
        ),
        TrialConfig(backbone=first, dropout=0.2, lr=5e-4, weight_decay=0.05, label_smoothing=0.1),
        TrialConfig(
            backbone=last,
            dropout=0.0,
            drop_path=0.05,
            optimizer="lamb",
            lr=2e-3,
            weight_decay=0.02,
            policy="rand",
            policy_magnitude=6.0,
            cutmix=0.5,
            mixup=0.5,
        ),
        TrialConfig(
            backbone=last,
            dropout=0.3,
            optimizer="sgd",
            lr=0.01,
            weight_decay=4e-5,
            label_smoothing=0.1,
            policy="rand",
            policy_magnitude=10.0,
        ),
    ]
