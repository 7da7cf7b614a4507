"""timm's tiny `test_*` models: a whole search in seconds, to try the machinery and for the tests."""

from __future__ import annotations

from collections.abc import Sequence

import optuna

from spaces.suggest import suggest_augmentation, suggest_optimizer, suggest_regularization
from trainables.config import TrialConfig

BACKBONES = ("test_efficientnet", "test_resnet", "test_vit")


def suggest(trial: optuna.Trial, backbones: Sequence[str] = BACKBONES) -> TrialConfig:
    """Proposes one tiny network and how to train it."""
    return TrialConfig(
        backbone=trial.suggest_categorical("backbone", list(backbones)),
        **suggest_optimizer(trial),
        **suggest_regularization(trial),
        **suggest_augmentation(trial),
    )


def starting_points(backbones: Sequence[str] = BACKBONES) -> list[TrialConfig]:
    """Each backbone at the highest learning rate of the range: tiny networks at random weights want it."""
    return [TrialConfig(backbone=backbone, dropout=0.0, lr=3e-3) for backbone in backbones]
