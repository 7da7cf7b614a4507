"""timm's tiny `test_*` models: a whole search in seconds, to try the machinery and for the tests."""

from __future__ import annotations

from collections.abc import Sequence

import optuna

from spaces.resnet import LR
from spaces.suggest import (
    suggest_any_optimizer,
    suggest_augmentation,
    suggest_drop_path,
    suggest_dropout,
    suggest_ema,
    suggest_frozen,
    suggest_layer_decay,
    suggest_loss,
    suggest_mixing,
)
from trainables.config import TrialConfig

BACKBONES = ("test_efficientnet", "test_resnet", "test_vit")


def suggest(trial: optuna.Trial, backbones: Sequence[str] = BACKBONES) -> TrialConfig:
    """Proposes one tiny network and how to train it, by every knob that any family has.

    lr: by optimizer, that of ResNet.
    """
    return TrialConfig(
        backbone=trial.suggest_categorical("backbone", list(backbones)),
        **suggest_any_optimizer(trial, LR),
        **suggest_dropout(trial),
        **suggest_drop_path(trial),
        **suggest_layer_decay(trial, least=0.7),
        **suggest_frozen(trial),
        **suggest_ema(trial),
        **suggest_loss(trial),
        **suggest_augmentation(trial),
        **suggest_mixing(trial),
    )


def starting_points(backbones: Sequence[str] = BACKBONES) -> list[TrialConfig]:
    """Each backbone at the highest learning rate of the range: tiny networks at random weights want it."""
    return [TrialConfig(backbone=backbone, dropout=0.0, lr=3e-3) for backbone in backbones]
