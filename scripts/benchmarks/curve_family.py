"""Made-up learning curves of image classifiers, to compare searches within seconds where no recorded ones are at hand.

A task is drawn from a seed. Tasks agree in the large (which backbones tend to be good, where learning rates work) and
differ in the small, as data sets do. The space is conditional and partly categorical: the backbone's family and the
optimizer bring parameters of their own. Curves rise and level off, some overfit, some diverge (NaN), all are noisy.
Shapes and sizes are invented; only the ranking of search methods on them is of interest.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

EPOCHS = 27
BACKBONES = {  # name: typical ceiling, log10 of the best AdamW learning rate, epochs until about two thirds are learned
    "densenet121": (0.02, -3.3, 5.0),
    "efficientnet_b0": (0.06, -2.8, 6.0),
    "efficientnet_lite0": (0.03, -2.7, 4.5),
    "mobilenetv3_small": (-0.06, -2.4, 3.0),
    "resnet18": (-0.02, -3.0, 3.5),
    "resnet50": (0.04, -3.4, 5.0),
}

COSTS = {  # seconds of an epoch: from the cheapest to the dearest as far apart as they are on a CPU
    "densenet121": 30.0,
    "efficientnet_b0": 8.0,
    "efficientnet_lite0": 3.5,
    "mobilenetv3_small": 1.0,
    "resnet18": 2.0,
    "resnet50": 15.0,
}
FROZEN_SHARE = 0.12
"""Of an epoch's seconds, that each frozen stage saves."""


def suggest_config(trial: Any) -> dict[str, Any]:
    """The space of the family: at most eleven parameters, of which seven are always there."""
    backbone = trial.suggest_categorical("backbone", list(BACKBONES))
    optimizer = trial.suggest_categorical("optimizer", ["adamw", "sgd"])
    config = {
        "backbone": backbone,
        "optimizer": optimizer,
        "lr": trial.suggest_float("lr", 1e-5, 1.0, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 0.3, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.6),
        "crop": trial.suggest_float("crop", 0.0, 0.9),
        "mix": trial.suggest_categorical("mix", ["none", "cutmix"]),
    }
    if optimizer == "sgd":
        config["momentum"] = trial.suggest_float("momentum", 0.0, 0.99)
    if backbone.startswith("efficientnet"):
        config["drop_path"] = trial.suggest_float("drop_path", 0.0, 0.5)
    if config["mix"] == "cutmix":
        config["cutmix"] = trial.suggest_float("cutmix", 0.05, 1.0)
    if backbone.startswith("resnet"):
        config["frozen_stages"] = trial.suggest_int("frozen_stages", 0, 4)
    return config


@dataclass(frozen=True)
class CurveTask:
    """One made-up data set; `seed` decides all of it.

    Raises:
        KeyError: A configuration lacks a field of the space.
    """

    seed: int
    epochs: int = EPOCHS
    noise: float = 0.006
    """Standard deviation of a value from epoch to epoch."""
    _drawn: dict[str, float] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng([20, self.seed])
        self._drawn.update(
            top=rng.uniform(0.55, 0.93),
            floor=rng.uniform(0.02, 0.3),
            lr=rng.normal(0, 0.35),
            weight_decay=rng.normal(-2.5, 0.6),
            dropout=rng.uniform(0.05, 0.4),
            crop=rng.uniform(0.1, 0.6),
            cutmix=rng.uniform(0.1, 0.9),
            cutmix_gain=rng.normal(0.0, 0.03),
            drop_path=rng.uniform(0.05, 0.35),
            frozen=rng.uniform(0, 3.5),
            momentum=rng.uniform(0.75, 0.95),
            overfit=rng.uniform(0, 0.004),
            sgd=rng.normal(-0.01, 0.02),
            regularization=rng.uniform(0.3, 1.5),
        )
        for name in BACKBONES:
            self._drawn[name] = rng.normal(0, 0.03)

    def seconds(self, config: Mapping[str, Any]) -> list[float]:
        """Seconds of each epoch."""
        rng = np.random.default_rng([7, self.seed, zlib.crc32(repr(sorted(config.items())).encode())])
        typical = COSTS[config["backbone"]] * (1 - FROZEN_SHARE * config.get("frozen_stages", 0))
        typical *= rng.lognormal(0, 0.05) * (1.1 if config["mix"] == "cutmix" else 1.0)
        return (typical * rng.lognormal(0, 0.03, self.epochs)).tolist()

    def curve(self, config: Mapping[str, Any]) -> list[float]:
        """Macro-F1 after each epoch; NaN from the epoch in which the training diverged."""
        drawn = self._drawn
        gain, log_lr, pace = BACKBONES[config["backbone"]]
        best_lr = log_lr + drawn["lr"]
        lr = math.log10(config["lr"])
        cost = 0.0
        if config["optimizer"] == "sgd":
            # Momentum multiplies the step by 1 / (1 - momentum); SGD wants about twenty times AdamW's rate.
            lr += math.log10(0.5 / (1 - config["momentum"])) - 0.6
            best_lr += 0.9
            cost += 0.08 * abs(config["momentum"] - drawn["momentum"]) - drawn["sgd"]
        off = lr - best_lr
        strong = drawn["regularization"]
        cost += 0.07 * off * off if off < 0 else 0.10 * off * off
        cost += strong * 0.008 * (math.log10(config["weight_decay"]) - drawn["weight_decay"]) ** 2
        cost += strong * 0.25 * (config["dropout"] - drawn["dropout"]) ** 2
        cost += strong * 0.12 * (config["crop"] - drawn["crop"]) ** 2
        if config["mix"] == "cutmix":
            cost += 0.06 * (config["cutmix"] - drawn["cutmix"]) ** 2 - drawn["cutmix_gain"]
        if config["backbone"].startswith("efficientnet"):
            cost += 0.2 * (config["drop_path"] - drawn["drop_path"]) ** 2
        if config["backbone"].startswith("resnet"):
            cost += 0.008 * (config["frozen_stages"] - drawn["frozen"]) ** 2
        ceiling = drawn["top"] + gain + drawn[config["backbone"]]
        height = max(0.03, ceiling * math.exp(-1.6 * cost) - drawn["floor"])
        pace *= math.exp(-0.35 * min(max(off, -3.0), 1.0)) * (1 + 0.8 * config["dropout"] + 0.5 * config["crop"])
        epochs = np.arange(1, self.epochs + 1)
        values = drawn["floor"] + height * (1 - np.exp(-((epochs / pace) ** 0.8)))
        tired = drawn["overfit"] * (1 - config["crop"]) * np.maximum(0, epochs - 4 * pace)
        rng = np.random.default_rng([self.seed, zlib.crc32(repr(sorted(config.items())).encode())])
        values = np.clip(values - tired + rng.normal(0, self.noise, self.epochs), 0.0, 1.0)
        if off > 1.3:
            values[int(rng.integers(0, 1 + round(6 / off))) :] = math.nan
        return values.tolist()
