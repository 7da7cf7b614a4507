"""The studies: what a team that won with these pictures tried, as data. An arm is what it sets in a `TrialConfig`.

Each study compares its arms with the first. All arms start from the default configuration of the backbone's space, with
what the study sets for all of them on top.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from results.statistics.comparison import ATTRIBUTE
from spaces import SPACES
from trainables.config import TrialConfig
from trainables.errors import UserError

FAMILIES = (
    "tf_efficientnet_lite0",
    "resnet18",
    "densenet121",
    "convnext_atto",
    "deit_small_patch16_224",
    "mobilenetv3_small_100",
)
"""The smallest backbone of each family that trains on a CPU in minutes; the first sets the time."""


@dataclass(frozen=True)
class Arm:
    """One way to do it."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `TrialConfig` that it sets."""
    claims_by: Literal["", "group", "picture"] = ""
    """Cuts a validation side of its own out of the training people, by group or by picture, and claims its score."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, and arms that answer it."""

    name: str
    """Of its files."""
    title: str
    question: str
    reported: str
    """What the team said of it."""
    arms: tuple[Arm, ...]
    """The first is what the others are compared with."""
    measures: tuple[str, ...] = ("macro_f1",)
    """Of `comparison.MEASURES`; the first is what the answer is about. `attributes` stands for one each."""
    base: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `TrialConfig` that all arms share."""
    needs: Literal["", "attributes", "groups"] = ""
    """What the data must have."""
    equal_time: bool = False
    """Whether each arm trains for as long as the first, not for as many epochs."""
    times_epochs: int = 1
    """How many times the epochs asked for its first arm trains."""

    def config_of(self, arm: Arm, default: TrialConfig) -> TrialConfig:
        """The configuration that an arm trains, from the default one."""
        return replace(default, **{**self.base, **arm.config})

    def expanded_measures(self, attributes: Sequence[str]) -> tuple[str, ...]:
        """Its measures, with each attribute by name."""
        each = [f"{ATTRIBUTE}{name}" for name in attributes]
        return tuple(name for measure in self.measures for name in (each if measure == "attributes" else [measure]))


_DROPOUT = Study(
    name="dropout",
    title="Dropout .2 against .7",
    question="Does much more dropout before the classifier help on pictures held out?",
    reported="EfficientNet-B3: macro-F1 .8139, accuracy 88.21%, loss .40; with dropout .7 macro-F1 .8137, accuracy "
    "89.11%, loss .33.",
    arms=(Arm("dropout .2", {"dropout": 0.2}), Arm("dropout .7", {"dropout": 0.7})),
    measures=("macro_f1", "accuracy", "loss"),
)

_SPLIT = Study(
    name="split",
    title="Split by person against by picture",
    question="What does a validation side say that shares people with the training side, and what are both networks "
    "worth on people never seen?",
    reported="A ResNet18 split by picture had validation macro-F1 .78, and .5 on the test set.",
    arms=(Arm("by person", claims_by="group"), Arm("by picture", claims_by="picture")),
    measures=("claimed", "macro_f1", "flattery"),
    needs="groups",
)

_FORMULATION = Study(
    name="formulation",
    title="One head, a head per attribute, or a network per attribute",
    question="Classes are products of attributes: learn the classes, or the attributes?",
    reported="One model for 18 classes and three models (mask, gender, age) were both tried; no numbers are known.",
    arms=(
        Arm("joint", {"formulation": "joint"}),
        Arm("heads", {"formulation": "heads"}),
        Arm("separate", {"formulation": "separate"}),
    ),
    measures=("macro_f1", "attributes"),
    needs="attributes",
)

_OFF = {"flip": 0.0, "crop": 0.0}
_TEAM = {"blur": 1.0, "noise": 0.06, "cutmix": 0.5, "sharpness": 0.5, "contrast": 0.2}
_ONE_BY_ONE: dict[str, Mapping[str, Any]] = {
    "flip": {"flip": 0.5},
    "crop": {"crop": 0.2},
    "affine": {"affine": 0.5},
    "blur": {"blur": _TEAM["blur"]},
    "noise": {"noise": _TEAM["noise"]},
    "sharpness": {"sharpness": _TEAM["sharpness"]},
    "contrast": {"contrast": _TEAM["contrast"]},
    "brightness": {"brightness": 0.2},
    "erasing": {"erasing": 0.25},
    "cutmix": {"cutmix": _TEAM["cutmix"]},
    "mixup": {"mixup": 0.5},
    "TrivialAugment": {"policy": "trivial"},
    "RandAugment": {"policy": "rand"},
}
"""Each in the middle of its range in `spaces/suggest.py`."""

_AUGMENTATION = Study(
    name="augmentation",
    title="Augmentations one by one and together",
    question="Which augmentation of the training pictures helps, alone and together?",
    reported="Gaussian blur and noise, CutMix, sharpness and contrast were tried; no numbers are known.",
    base=_OFF,
    arms=(
        Arm("none"),
        *(Arm(name, knobs) for name, knobs in _ONE_BY_ONE.items()),
        Arm("flip and crop", {"flip": 0.5, "crop": 0.2}),
        Arm("the team's five", _TEAM),
        Arm("all but the policies", {k: v for one in _ONE_BY_ONE.values() for k, v in one.items() if k != "policy"}),
    ),
)

_IMBALANCE = Study(
    name="imbalance",
    title="Classes of unequal size: losses and samplings",
    question="Does any answer to rare classes raise macro-F1, or the F1 of the rarest?",
    reported="Classes held from 83 to 4,085 of the 18,900 pictures; what was done about it is not known.",
    base={"label_smoothing": 0.0, "sampling": "natural"},
    arms=(
        Arm("plain"),
        Arm("effective number", {"loss": "effective_number"}),
        Arm("focal", {"loss": "focal"}),
        Arm("logit adjusted", {"loss": "logit_adjusted"}),
        Arm("balanced sampling", {"sampling": "balanced"}),
        Arm("square-root sampling", {"sampling": "sqrt"}),
    ),
    measures=("macro_f1", "rarest", "accuracy"),
)


def all_studies(families: Sequence[str] = FAMILIES) -> dict[str, Study]:
    """All studies by name; that of the families between these backbones, each in its own default configuration."""
    of_families = Study(
        name="families",
        title="Families at equal time",
        question="Which family is best when each trains for the same time here?",
        reported="DenseNet was about 2% above others for one team.",
        arms=tuple(Arm(name, asdict(default_config(name))) for name in families),
        equal_time=True,
        times_epochs=3,
    )
    studies = (_DROPOUT, _SPLIT, _FORMULATION, of_families, _AUGMENTATION, _IMBALANCE)
    return {study.name: study for study in studies}


def default_config(backbone: str) -> TrialConfig:
    """The default configuration of the space that a backbone belongs to.

    Raises:
        UserError: No space has it; names the nearest.
    """
    spaces = [module for name, module in SPACES.items() if name not in ("all", "baseline")]
    for module in spaces:
        if backbone in module.BACKBONES:
            return module.starting_points([backbone])[0]
    every = [name for module in spaces for name in module.BACKBONES]
    near = difflib.get_close_matches(backbone, every, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "see scripts/spaces.py"
    raise UserError(f"no space has the backbone {backbone!r}: {hint}")
