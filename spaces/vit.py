"""Vision transformers, small, with patches of 16 pixels: trained by three recipes on ImageNet-1k or -21k.

timm's default weights: DeiT (`fb_in1k`), AugReg (`augreg_in21k_ft_in1k`, Steiner et al. 2022) and DeiT III (`fb_in1k`).
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
    suggest_layer_decay,
    suggest_loss,
    suggest_mixing,
)
from trainables.config import TrialConfig

BACKBONES = ("deit_small_patch16_224", "vit_small_patch16_224", "deit3_small_patch16_224")

LR = {"adamw": (1e-5, 1e-3), "nadamw": (1e-5, 1e-3), "lamb": (1e-4, 3e-3), "sgd": (1e-3, 0.06)}
"""Learning rate by optimizer; `suggest_training` says why."""


def suggest(trial: optuna.Trial, backbones: Sequence[str] = BACKBONES) -> TrialConfig:
    """Proposes one vision transformer and how to train it."""
    return TrialConfig(backbone=trial.suggest_categorical("backbone", list(backbones)), **suggest_training(trial))


def suggest_training(trial: optuna.Trial) -> dict[str, Any]:
    """Proposes how to train a vision transformer; no averaging, whose gain fine-tuning loses (Touvron et al. 2021).

    lr: by optimizer, each lower than for convolutions. SGD: the range that ViT was fine-tuned in (Dosovitskiy et al.
    2021). AdamW: around the 5e-5 to 5e-4 a batch of 512 of DeiT (Touvron et al. 2021), as is NAdamW. LAMB: up to the
    3e-3 of DeiT III from scratch (Touvron et al. 2022).
    """
    return {
        **suggest_any_optimizer(trial, LR),
        **suggest_dropout(trial),
        **suggest_drop_path(trial, most=0.2),
        **suggest_layer_decay(trial, least=0.6),
        **suggest_frozen(trial),
        **suggest_loss(trial),
        **suggest_augmentation(trial),
        **suggest_mixing(trial),
    }


def starting_points(backbones: Sequence[str] = BACKBONES) -> list[TrialConfig]:
    """The default configuration, then others that are known to do well.

    Default: AdamW with decay .05, drop path .1 and smoothing .1 of DeiT (Touvron et al. 2021) and layer decay .75 of
    BEiT and MAE (Bao et al. 2022; He et al. 2022). Then: SGD at .01 without much else, as Steiner et al. (2022)
    fine-tune; the mixing, erasing and RandAugment at 9 of DeiT; and the classifier first (Kumar et al. 2022).
    """
    first, last = backbones[0], backbones[-1]
    base: dict[str, Any] = {"dropout": 0.0, "weight_decay": 0.05, "drop_path": 0.1, "label_smoothing": 0.1}
    heavy: dict[str, Any] = {"policy": "rand", "policy_magnitude": 9.0, "erasing": 0.25, "cutmix": 0.5, "mixup": 0.5}
    return [
        TrialConfig(backbone=first, **base, lr=2e-4, layer_decay=0.75, sampling=DEFAULT_SAMPLING),
        TrialConfig(backbone=first, dropout=0.0, optimizer="sgd", lr=0.01, weight_decay=1e-6),
        TrialConfig(backbone=last, **base, lr=2e-4, layer_decay=0.85, **heavy),
        TrialConfig(backbone=first, **base, lr=1e-4, layer_decay=1.0, frozen_share=0.2),
    ]
