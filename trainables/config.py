"""The two configurations of a trial: what was searched, and what every trial of a study shares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

OPTIMIZERS = ("adamw", "sgd", "lamb", "nadamw")
LOSSES = ("cross_entropy", "effective_number", "focal", "logit_adjusted")
SAMPLINGS = ("natural", "balanced", "sqrt")
SCHEDULES = ("constant", "cosine")
POLICIES = ("none", "trivial", "rand")
Precision = Literal["auto", "float32", "bfloat16", "float16"]
"""What networks compute in; auto is what the device is made for."""
FORMULATIONS = ("joint", "heads", "separate")
HEADS = ("zeros", "timm")
METRICS = ("macro_f1", "accuracy", "balanced_accuracy", "weighted_f1")
OWN = "own:"
"""Before the name of a part of the user's own file (`trainables.parts`), wherever one may be named."""
WARMUP_EPOCHS = 10
"""Epochs that shares of a schedule without an end are of, so that they do not depend on where it ends."""
EARLIER = {"schedule": "cosine", "head": "timm"}
"""What a task stood for that was written before it had these fields: such a run goes on as it began."""


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """What a search space proposes for one trial; the name suggested to Optuna is the name of the field.

    Raises:
        ValueError: A value is outside its range; names the field, the value and the range.
    """

    backbone: str
    """timm model name."""
    dropout: float = 0.2
    """Dropout before the classifier (timm's `drop_rate`), 0 to 0.9."""
    drop_path: float = 0.0
    """Stochastic depth (timm's `drop_path_rate`), 0 (off) to 0.5; only for families that have it."""
    formulation: str = "joint"
    """joint (one head), heads (one backbone, a head per attribute) or separate (a network per attribute)."""
    optimizer: str = "adamw"
    """adamw, sgd with Nesterov momentum 0.9, lamb, or nadamw."""
    lr: float = 1e-3
    """Peak learning rate, more than 0 and at most 1."""
    weight_decay: float = 0.01
    """Decoupled weight decay, 0 to 1; not applied to biases and norms."""
    layer_decay: float = 1.0
    """Factor on the learning rate from each block to the one before it, 0.5 to 1 (off)."""
    frozen_share: float = 0.0
    """Share of the task's `horizon`, from the first epoch, in which only the classifier is trained, 0 (off) to 0.5."""
    frozen_stages: int = 0
    """First stages of a network with pretrained weights that stay as they came, the stem being one, 0 (none) to 6. They
    have found edges and textures on many more pictures; without pretrained weights all stages are trained."""
    ema: float = 0.9995
    """Highest decay a step of the averaged weights that are scored and kept, 0 (off) to 0.9999: they are taken over
    about the latest third of the steps so far, but over no more than 1 / (1 - ema). A constant learning rate needs
    them, they are what its decay is elsewhere."""
    warmup_share: float = 0.1
    """Share of the steps of the task's `horizon` in which the learning rate rises linearly to its peak, 0 to 0.5, in
    500 steps at most."""
    label_smoothing: float = 0.0
    """Mass taken from the true class and spread over all, 0 to 0.5."""
    loss: str = "cross_entropy"
    """cross_entropy, effective_number (its weighted form), focal, logit_adjusted, or own:NAME, one of your own."""
    loss_knob: float = 1.0
    """Any finite number, for a loss of your own that takes it."""
    effective_beta: float = 0.999
    """Of the effective number of pictures, 0.9 to 0.9999; only with that loss."""
    focal_gamma: float = 2.0
    """How far focal loss turns to hard pictures, 0.1 to 5; only with that loss."""
    logit_tau: float = 1.0
    """Strength of logit adjustment, 0.1 to 2; only with that loss."""
    sampling: str = "natural"
    """natural, balanced (every class as often) or sqrt (by the root of its pictures)."""
    flip: float = 0.5
    """Probability of a horizontal flip, 0 to 1."""
    crop: float = 0.2
    """Largest share of the stored picture's area that a random crop removes, 0 (no random crop) to 0.9."""
    blur: float = 0.0
    """Largest sigma of a Gaussian blur, in pixels per 224 of image size, 0 (off) to 5; half the pictures."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise on a 0 to 1 scale, 0 (off) to 0.5; half the pictures."""
    sharpness: float = 0.0
    """Largest strength of a random sharpening, 0 (off) to 3; half the pictures."""
    contrast: float = 0.0
    """Largest relative change of contrast, 0 (off) to 0.9; half the pictures."""
    brightness: float = 0.0
    """Largest relative change of brightness, 0 (off) to 0.9; half the pictures."""
    affine: float = 0.0
    """Strength of a random rotation (times 30 degrees), shift (times .2) and zoom (times .2), 0 (off) to 1; half
    the pictures."""
    erasing: float = 0.0
    """Probability that a random rectangle of a picture is erased, 0 (off) to 1."""
    policy: str = "none"
    """none, trivial (TrivialAugment) or rand (RandAugment), in place of the single photometric operations."""
    policy_magnitude: float = 9.0
    """Strength of rand, 1 to 30."""
    augmentation: str = "none"
    """none, or own:NAME, one of your own, after all others and before pictures are mixed."""
    augmentation_knob: float = 1.0
    """Any finite number, for an augmentation of your own that takes it."""
    cutmix: float = 0.0
    """Probability that a batch is mixed by CutMix (alpha 1), 0 to 1."""
    mixup: float = 0.0
    """Probability that a batch is mixed by MixUp (alpha .2), 0 to 1; with CutMix, that of both together is the larger
    and each batch takes one of them in proportion."""

    def __post_init__(self) -> None:
        if not self.backbone or not isinstance(self.backbone, str):
            raise ValueError(f"backbone is {self.backbone!r}: it must be the name of a timm model")
        for name, words in CHOICES.items():
            value = getattr(self, name)
            if value not in words and not (name in OWN_CHOICES and is_own_name(value)):
                own = f", or {OWN}NAME for one of your own" if name in OWN_CHOICES else ""
                raise ValueError(f"{name} is {value!r}: it must be one of {', '.join(words)}{own}")
        for name in ("loss_knob", "augmentation_knob"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)!r}: it must be a finite number")
        if not 0 < self.lr <= 1:
            raise ValueError(f"lr is {self.lr!r}: it must be more than 0 and at most 1")
        if not isinstance(self.frozen_stages, int):
            raise ValueError(f"frozen_stages is {self.frozen_stages!r}: it must be a whole number")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value!r}: it must be between {low} and {high}")

    def frozen_epochs(self, horizon: int) -> int:
        """How many epochs, from the first, train only the classifier."""
        return round(self.frozen_share * horizon)

    def stages_frozen(self, task: TaskConfig) -> int:
        """How many of the network's first stages stay as they are: none where it starts from random weights."""
        return self.frozen_stages if task.weights.get(self.backbone) else 0


RANGES: dict[str, tuple[float, float]] = {
    "dropout": (0, 0.9),
    "drop_path": (0, 0.5),
    "layer_decay": (0.5, 1),
    "frozen_share": (0, 0.5),
    "frozen_stages": (0, 6),
    "ema": (0, 0.9999),
    "effective_beta": (0.9, 0.9999),
    "focal_gamma": (0.1, 5),
    "logit_tau": (0.1, 2),
    "brightness": (0, 0.9),
    "affine": (0, 1),
    "erasing": (0, 1),
    "policy_magnitude": (1, 30),
    "mixup": (0, 1),
    "weight_decay": (0, 1),
    "warmup_share": (0, 0.5),
    "label_smoothing": (0, 0.5),
    "flip": (0, 1),
    "crop": (0, 0.9),
    "blur": (0, 5),
    "noise": (0, 0.5),
    "sharpness": (0, 3),
    "contrast": (0, 0.9),
    "cutmix": (0, 1),
}
"""Smallest and largest value that `TrialConfig` accepts, by field."""

CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": OPTIMIZERS,
    "loss": LOSSES,
    "sampling": SAMPLINGS,
    "policy": POLICIES,
    "formulation": FORMULATIONS,
    "augmentation": ("none",),
}
"""Words that `TrialConfig` accepts, by field."""
OWN_CHOICES = ("loss", "augmentation")
"""Fields that may name a part of the user's own besides."""


def is_own_name(value: object) -> bool:
    """Whether a value names a part of the user's own, as `own:NAME`."""
    return isinstance(value, str) and value.startswith(OWN) and value.removeprefix(OWN).isidentifier()


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What every trial of a study shares: data, budget, seed, weights. Paths are absolute.

    Raises:
        ValueError: A value is outside its range; names the field, the value and the range.
    """

    cache_path: str
    """Folder of the picture cache (`ImageCache`)."""
    split_path: str
    """The run's `split.csv`: path, label, group and side of every picture."""
    checkpoint_dir: str
    """Where a trial keeps its checkpoints, in a folder of its own named by its trial_id."""
    classes: tuple[str, ...]
    """Names of the classes; the position is the class index."""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For classes that are products of attributes: attribute name to its value for each class, in class order."""
    image_size: int = 224
    """Side of the square picture that the network sees, in pixels, 16 to 1024."""
    epochs: int = 27
    """Epochs of a trial that is not stopped, at least 1."""
    schedule: str = "constant"
    """Learning rate after the warm-up: constant, which has no end, so that a trial is as good as its length wherever it
    ends; or cosine, which falls to zero over `epochs`."""
    head: str = "zeros"
    """What a new classifier starts from: zeros, or timm's own draw for the family (runs from before there was this)."""
    batch_size: int = 64
    """Pictures in a training batch, even, at least 2."""
    seed: int = 0
    """Seed of initialization, order, augmentation and dropout."""
    device: str = "auto"
    """auto, cpu, cuda or another torch device."""
    precision: Precision = "auto"
    """What networks compute in (autocast): as `machine.hardware.precision_on` says."""
    compile: bool = False
    """Whether torch.compile makes kernels of the training step."""
    num_threads: int = 1
    """Threads of a trial's CPU arithmetic, at least 1."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """Backbone to the file of its pretrained weights; a backbone that is not listed starts at random."""
    train_on: tuple[str, ...] = ("train",)
    """Sides of the split to train on."""
    validate_on: tuple[str, ...] = ("val",)
    """Sides of the split to score after every epoch; none for a training whose length is known."""
    start_epoch: int = 0
    """Epochs that the weights in a trial's `start.pt` were trained for; its own are counted on from there."""
    last_epoch: int | None = None
    """Epoch to end after, 1 to `epochs`, on a schedule that still spans `epochs`; None for all of them."""
    attribute_weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of each attribute's loss in the formulations heads and separate; one that is not listed has 1."""
    predictions_dir: str = ""
    """Where to keep what is answered after every epoch, `<trial_id>/<epoch>.npy`; empty for nowhere."""
    answers_dir: str = ""
    """Where to keep a trial's validation answers of its best epoch, `<trial_id>.npz`; empty for nowhere."""
    metric: str = "macro_f1"
    """What is maximized on validation: macro_f1, accuracy, balanced_accuracy, weighted_f1, or own:NAME."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """The file of the user's own parts, where there is one: `file`, its name; `sha256`; and `source`, its text, which a
    record leaves out."""

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise ValueError(f"classes is {self.classes!r}: a classifier needs at least two classes")
        for name, low, high in (
            ("image_size", 16, 1024),
            ("epochs", 1, 100_000),
            ("batch_size", 2, 65_536),
            ("num_threads", 1, 4096),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value!r}: it must be between {low} and {high}")
        for name, words in (("schedule", SCHEDULES), ("head", HEADS)):
            if getattr(self, name) not in words:
                raise ValueError(f"{name} is {getattr(self, name)!r}: it must be one of {', '.join(words)}")
        if self.metric not in METRICS and not is_own_name(self.metric):
            raise ValueError(
                f"metric is {self.metric!r}: it must be one of {', '.join(METRICS)}, or {OWN}NAME for one of your own"
            )
        if self.last_epoch is not None and not 1 <= self.last_epoch <= self.epochs:
            raise ValueError(f"last_epoch is {self.last_epoch!r}: it must be between 1 and {self.epochs}")
        if not 0 <= self.start_epoch < self.num_epochs:
            raise ValueError(f"start_epoch is {self.start_epoch!r}: it must be between 0 and {self.num_epochs - 1}")
        if self.batch_size % 2:
            raise ValueError(f"batch_size is {self.batch_size}: it must be even, CutMix mixes pictures in pairs")

    @property
    def num_epochs(self) -> int:
        """Epochs that are trained: up to `last_epoch`, else all."""
        return self.last_epoch or self.epochs

    @property
    def horizon(self) -> int:
        """Epochs that the shares of warm-up and frozen epochs are of: all, or the first of a schedule without end."""
        return self.epochs if self.schedule == "cosine" else WARMUP_EPOCHS

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TaskConfig:
        """Reads a configuration from JSON values, where tuples are lists.

        Raises:
            ValueError: A key is no field, or a value is outside its range.
        """
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"TaskConfig has no field {', '.join(sorted(unknown))}")
        attributes = {name: tuple(by_class) for name, by_class in values.get("attributes", {}).items()}
        tuples = {name: tuple(values[name]) for name in ("classes", "train_on", "validate_on") if name in values}
        return cls(**{**EARLIER, **values, **tuples, "attributes": attributes})
