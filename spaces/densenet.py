"""DenseNet: 121 to 201 layers, each fed by all before it; no block can be skipped, so there is no drop path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna

from spaces.resnet import LR
from spaces.suggest import (
    DEFAULT_SAMPLING,
    suggest_any_optimizer,
    suggest_augmentation,
    suggest_dropout,
    suggest_loss,
    suggest_mixing,
)
from trainables.config import TrialConfig

BACKBONES = ("densenet121", "densenet161", "densenet169", "densenet201")


def suggest(trial: optuna.Trial, backbones: Sequence[str] = BACKBONES) -> TrialConfig:
    """Proposes one DenseNet and how to train it."""
    return TrialConfig(backbone=trial.suggest_categorical("backbone", list(backbones)), **suggest_training(trial))


def suggest_training(trial: optuna.Trial) -> dict[str, Any]:
    """Proposes how to train a DenseNet: any optimizer.

    lr: by optimizer, that of ResNet, whose training Huang et al. (2017) took over.
    """
    return {
        **suggest_any_optimizer(trial, LR),
        **suggest_dropout(trial),
        **suggest_loss(trial),
        **suggest_augmentation(trial),
        **suggest_mixing(trial),
    }


def starting_points(backbones: Sequence[str] = BACKBONES) -> list[TrialConfig]:
    """The default configuration, then others that are known to do well.

    Default: SGD with decay 1e-4, as Huang et al. (2017) trained it, at the .01 of fine-tuning (Li et al. 2020), with
    dropout .2, which they use on small data. Then: AdamW as for EfficientNet; CutMix (Yun et al. 2019); and logit
    adjustment at 1 against unequal classes (Menon et al. 2021).
    """
    first = backbones[0]
    sgd: dict[str, Any] = {"dropout": 0.2, "optimizer": "sgd", "lr": 0.01, "weight_decay": 1e-4}
    return [
        TrialConfig(backbone=first, **sgd, label_smoothing=0.1, sampling=DEFAULT_SAMPLING),
        TrialConfig(backbone=first, dropout=0.2, lr=5e-4, weight_decay=0.05, label_smoothing=0.1),
        TrialConfig(backbone=first, **sgd, cutmix=0.5, crop=0.3),
        TrialConfig(backbone=backbones[-1], **sgd, loss="logit_adjusted", logit_tau=1.0),
    ]
