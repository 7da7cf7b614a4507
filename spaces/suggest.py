"""Sub-spaces that the families share; the suggested name is the field of `TrialConfig`.

Augmentations have a step so that 0, which is off, is a value of its own and not a set of measure zero.
"""

from __future__ import annotations

from typing import Any

import optuna


def suggest_optimizer(trial: optuna.Trial) -> dict[str, Any]:
    """AdamW's knobs for fine-tuning.

    lr: 1e-4 to 3e-3 holds the fine-tuning rates of timm's and torchvision's AdamW recipes at batches of 32 to
    128 (Wightman et al. 2021 train from scratch at 5e-3 with LAMB; fine-tuning wants less). weight_decay: 1e-4
    to 0.3 around AdamW's .01 to .05 (Loshchilov & Hutter 2019; Liu et al. 2022). warmup_share: none to a fifth
    of the schedule, the range of 0 to 5 epochs in 27 that those recipes use.
    """
    return {
        "lr": trial.suggest_float("lr", 1e-4, 3e-3, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 0.3, log=True),
        "warmup_share": trial.suggest_float("warmup_share", 0.0, 0.2, step=0.05),
    }


def suggest_regularization(trial: optuna.Trial) -> dict[str, Any]:
    """Dropout and label smoothing.

    dropout: 0 to 0.7; EfficientNet uses .2 (b0) to .5 (b7) (Tan & Le 2019), and .7 did well on small face data.
    label_smoothing: 0 to 0.2 around the usual .1 (Szegedy et al. 2016).
    """
    return {
        "dropout": trial.suggest_float("dropout", 0.0, 0.7, step=0.1),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2, step=0.05),
    }


def suggest_augmentation(trial: optuna.Trial) -> dict[str, Any]:
    """What is done to training pictures.

    flip: off or even odds. crop: up to .5 of the area, half of what training from scratch removes (Szegedy et
    al. 2015), as pretrained networks want less. blur: sigma to 2 px at 224 (SimCLR's range, Chen et al. 2020).
    noise: deviation to .1 (Rusak et al. 2020 find .1 to .5 strong). sharpness and contrast: to the middle of
    AutoAugment's range (Cubuk et al. 2019). cutmix: probability to 1, the authors' choice (Yun et al. 2019).
    """
    return {
        "flip": trial.suggest_categorical("flip", [0.0, 0.5]),
        "crop": trial.suggest_float("crop", 0.0, 0.5, step=0.1),
        "blur": trial.suggest_float("blur", 0.0, 2.0, step=0.5),
        "noise": trial.suggest_float("noise", 0.0, 0.1, step=0.02),
        "sharpness": trial.suggest_float("sharpness", 0.0, 1.0, step=0.25),
        "contrast": trial.suggest_float("contrast", 0.0, 0.4, step=0.1),
        "cutmix": trial.suggest_float("cutmix", 0.0, 1.0, step=0.25),
    }
