"""All families in one space: the backbone decides which other parameters there are, and in which ranges.

A search from pretrained weights fetches those of every backbone first, about 2 GB; `--backbones` narrows it.
"""

from __future__ import annotations

from collections.abc import Sequence

import optuna

from spaces import convnext, densenet, efficientnet, mobilenet, resnet, vit
from trainables.config import TrialConfig

FAMILIES = (efficientnet, resnet, densenet, convnext, vit, mobilenet)
BACKBONES = tuple(backbone for family in FAMILIES for backbone in family.BACKBONES)


def suggest(trial: optuna.Trial, backbones: Sequence[str] = BACKBONES) -> TrialConfig:
    """Proposes a backbone, then how its family is trained.

    lr and weight_decay: those of the backbone's family, by optimizer where it has several.
    """
    backbone = trial.suggest_categorical("backbone", list(backbones))
    family = next(family for family in FAMILIES if backbone in family.BACKBONES)
    return TrialConfig(backbone=backbone, **family.suggest_training(trial))


def starting_points(backbones: Sequence[str] = BACKBONES) -> list[TrialConfig]:
    """The default configuration of each family, in the order of the families."""
    own = [[backbone for backbone in backbones if backbone in family.BACKBONES] for family in FAMILIES]
    return [family.starting_points(names)[0] for family, names in zip(FAMILIES, own, strict=True) if names]
