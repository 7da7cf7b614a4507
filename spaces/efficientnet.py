"""EfficientNet: b0 to b4, the second version, and the lite variants that drop squeeze-and-excitation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import optuna

from spaces.suggest import (
    DEFAULT_SAMPLING,
    suggest_augmentation,
    suggest_drop_path,
    suggest_dropout,
    suggest_ema,
    suggest_frozen_stages,
    suggest_loss,
    suggest_mixing,
    suggest_optimizer,
)
from trainables.config import TrialConfig

BACKBONES = (
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "tf_efficientnetv2_b0",
    "tf_efficientnetv2_s",
    "tf_efficientnet_lite0",
    "tf_efficientnet_lite1",
    "tf_efficientnet_lite2",
)

FROZEN_STAGES = 4
"""Of a pretrained EfficientNet by default: the stem and all blocks down to an eighth of the side (docs/recipe.md)."""


def suggest(trial: optuna.Trial, backbones: Sequence[str] = BACKBONES) -> TrialConfig:
    """Proposes one EfficientNet and how to train it."""
    return TrialConfig(backbone=trial.suggest_categorical("backbone", list(backbones)), **suggest_training(trial))


def suggest_training(trial: optuna.Trial) -> dict[str, Any]:
    """Proposes how to train an EfficientNet: AdamW, drop path to twice and averaging like Tan & Le (2019)."""
    return {
        **suggest_optimizer(trial),
        **suggest_dropout(trial),
        **suggest_drop_path(trial, most=0.4),
        **suggest_frozen_stages(trial),
        **suggest_ema(trial),
        **suggest_loss(trial),
        **suggest_augmentation(trial),
        **suggest_mixing(trial),
    }


def starting_points(backbones: Sequence[str] = BACKBONES) -> list[TrialConfig]:
    """The default configuration, then three that answer well beside it.

    Default: dropout .2 is the b0 of Tan & Le (2019); lr 1e-3, decay .01 and smoothing .1 are AdamW fine-tuning
    values of the middle; light crop and flip. Then: TrivialAugment (Müller & Hutter 2021) and CutMix (Yun et al. 2019)
    on top of it, each slower at first, .009 and .008 better after 30 epochs of four sets (with every picture once an
    epoch), and together with the default better by more (docs/recipe.md); and the default on the last network, or of
    one network with larger crops. What was measured beside the default comes before them (search/engine/shipped.py).
    """
    default = TrialConfig(
        backbone=backbones[0],
        dropout=0.2,
        lr=1e-3,
        weight_decay=0.01,
        frozen_stages=FROZEN_STAGES,
        warmup_share=0.1,
        label_smoothing=0.1,
        sampling=DEFAULT_SAMPLING,
        flip=0.5,
        crop=0.2,
    )
    return [
        default,
        replace(default, policy="trivial"),
        replace(default, cutmix=0.5),
        replace(default, backbone=backbones[-1]) if len(backbones) > 1 else replace(default, crop=0.4),
    ]
