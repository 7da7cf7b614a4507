"""MobileNet, third and fourth version: small and fast, for phones and for trials in a hurry."""

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
    suggest_loss,
    suggest_optimizer,
)
from trainables.config import TrialConfig

BACKBONES = (
    "mobilenetv3_small_100",
    "mobilenetv3_small_075",
    "mobilenetv3_small_050",
    "mobilenetv3_large_100",
    "mobilenetv4_conv_small",
    "mobilenetv4_conv_medium",
    "mobilenetv4_hybrid_medium",
)


def suggest(trial: optuna.Trial, backbones: Sequence[str] = BACKBONES) -> TrialConfig:
    """Proposes one MobileNet and how to train it."""
    return TrialConfig(backbone=trial.suggest_categorical("backbone", list(backbones)), **suggest_training(trial))


def suggest_training(trial: optuna.Trial) -> dict[str, Any]:
    """Proposes how to train a MobileNet: AdamW (Qin et al. 2024), averaging (Howard et al. 2019), no mixing.

    Mixing hurts networks as small as these (Liu et al. 2024, GhostNetV3);
    their own recipe has next to no drop path (Qin et al. 2024: .075).
    """
    return {
        **suggest_optimizer(trial),
        **suggest_dropout(trial),
        **suggest_drop_path(trial, most=0.15),
        **suggest_ema(trial),
        **suggest_loss(trial),
        **suggest_augmentation(trial),
    }


def starting_points(backbones: Sequence[str] = BACKBONES) -> list[TrialConfig]:
    """The default configuration, then others that are known to do well.

    Default: dropout .2 (Howard et al. 2019) and the AdamW values of the EfficientNet default. Then: a higher rate with
    averaged weights, as small networks take both; RandAugment at 9 (timm's recipe of the third version); and logit
    adjustment at 1 against unequal classes (Menon et al. 2021).
    """
    first, last = backbones[0], backbones[-1]
    return [
        TrialConfig(
            backbone=first, dropout=0.2, lr=1e-3, weight_decay=0.01, label_smoothing=0.1, sampling=DEFAULT_SAMPLING
        ),
        TrialConfig(backbone=first, dropout=0.2, lr=2e-3, weight_decay=0.01, label_smoothing=0.1, ema=0.99),
        TrialConfig(backbone=last, dropout=0.2, lr=1e-3, weight_decay=0.05, policy="rand", policy_magnitude=9.0),
        TrialConfig(backbone=last, dropout=0.2, lr=1e-3, weight_decay=0.05, loss="logit_adjusted", logit_tau=1.0),
    ]
