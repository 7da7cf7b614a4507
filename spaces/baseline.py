"""One point: ResNet-18 with the settings of a plain fine-tuning script, to compare searches against."""

from __future__ import annotations

from collections.abc import Sequence

import optuna

from trainables.config import TrialConfig

BACKBONES = ("resnet18",)


def suggest(trial: optuna.Trial, backbones: Sequence[str] = BACKBONES) -> TrialConfig:
    """Proposes the one configuration: SGD at .01 with Nesterov momentum and decay 5e-4 (He et al. 2019), flips."""
    return TrialConfig(
        backbone=trial.suggest_categorical("backbone", list(backbones)),
        dropout=trial.suggest_categorical("dropout", [0.0]),
        optimizer=trial.suggest_categorical("optimizer", ["sgd"]),
        lr=trial.suggest_categorical("lr", [0.01]),
        weight_decay=trial.suggest_categorical("weight_decay", [5e-4]),
        flip=trial.suggest_categorical("flip", [0.5]),
        crop=trial.suggest_categorical("crop", [0.2]),
    )


def starting_points(backbones: Sequence[str] = BACKBONES) -> list[TrialConfig]:
    """That configuration, for each backbone."""
    return [
        TrialConfig(backbone=backbone, dropout=0.0, optimizer="sgd", lr=0.01, weight_decay=5e-4, flip=0.5, crop=0.2)
        for backbone in backbones
    ]
