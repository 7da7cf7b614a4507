"""What a trial says after every epoch, the states it goes through, and the one number that a search maximizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

METRIC = "val_score"
"""The field that a search maximizes: the task's metric on validation."""
MODE = "max"
WORTH_PICTURES = 2
"""An epoch whose score is lower by no more than so many validation pictures are worth is as good as the highest before
it, and has learned for longer (docs/recipe.md)."""
ROUNDING = 1e-6
"""Of scores in float32."""


class TrialStatus(StrEnum):
    """The state of a trial, in the words that stand in a run's files."""

    RUNNING = "running"
    """It trains, or it did when its driver was killed."""
    FINISHED = "finished"
    """It trained all its epochs."""
    STOPPED = "stopped"
    """The scheduler ended it."""
    FAILED = "failed"
    """It diverged, raised an error, or lost its worker too often."""
    INTERRUPTED = "interrupted"
    """It ended with the search."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good; any other trial goes on when its run is resumed."""
        return self in (TrialStatus.FINISHED, TrialStatus.STOPPED, TrialStatus.FAILED)


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """One epoch's numbers; `asdict` of it is what Ray Tune, TensorBoard and `trials.jsonl` see.

    Macro-F1 is the unweighted mean of the per-class F1 over the classes that occur in the targets or in the
    predictions of the validation side (scikit-learn's `f1_score(average="macro", zero_division=0)`); a class
    that occurs in neither is left out of the mean. A trial whose train or validation loss is not finite has
    diverged, and its macro-F1 is NaN: whatever such a network answers is no score. Without a validation side its
    numbers are NaN as well, and `class_f1` is empty.
    """

    epoch: int
    """Epochs trained so far, from 1."""
    train_loss: float
    """Mean of the loss that the configuration names over the training pictures as they were trained on: augmented,
    smoothed, with dropout."""
    train_macro_f1: float
    """Macro-F1 of the answers given in training, augmented and with dropout, by a network that still learned; a
    picture that CutMix or MixUp made counts for the class with the larger share."""
    val_loss: float
    """Mean cross-entropy over the validation pictures, without smoothing or augmentation."""
    val_macro_f1: float
    """Macro-F1 over the whole validation side, 0 to 1; NaN once the trial has diverged."""
    val_accuracy: float
    """Share of validation pictures classified correctly, 0 to 1."""
    class_f1: tuple[float, ...]
    """F1 of each class in the order of `TaskConfig.classes`; 0 for a class never right or absent."""
    best_val_macro_f1: float
    """`val_macro_f1` of the best epoch so far; NaN if there is none."""
    best_epoch: int
    """The epoch whose weights are kept: the latest whose `val_score` is `as_good` as the highest so far; 0 if there is
    none."""
    lr: float
    """Learning rate at the end of the epoch."""
    images_per_second: float
    """Training pictures per second of training time (evaluation, checkpoint and compiling not counted)."""
    seconds: float
    """Wall seconds of training and evaluation."""
    peak_memory_bytes: int
    """Peak memory of the epoch: of the GPU's allocator where there is one, else of the process."""
    diverged: bool = False
    """Whether a loss is no longer finite, which ends the trial."""
    gpu_utilization: float | None = None
    """Mean share of time the GPU was busy, 0 to 1; None without a GPU."""
    energy_joules: float | None = None
    """Energy of the GPU in the epoch, a trial that shares it counted by its share; None where it does not tell."""
    trained_share: float = 1.0
    """Share of the epoch's batches that were trained: less than 1 in one that the time budget cut short."""
    compile_seconds: float = 0.0
    """Seconds of the epoch in which torch.compile made kernels; 0 where it was not asked to."""
    attribute_macro_f1: Mapping[str, float] = field(default_factory=dict)
    """For classes that are products of attributes: attribute to macro-F1 over its values, where the answer is the
    value with the largest probability, summed over the classes that have it."""
    val_score: float = math.nan
    """The task's metric over the whole validation side, 0 to 1; `val_macro_f1` where that is the metric, or where it
    is not given."""
    best_val_score: float = math.nan
    """`val_score` of the best epoch so far; NaN if there is none."""
    highest_epoch: int = 0
    """The first epoch of the highest `val_score` so far; 0 if there is none."""

    def whole_seconds(self, train_pictures: int) -> float:
        """About what it would have taken on so many pictures, had it not been cut short, and without compiling."""
        trained = self.seconds - self.compile_seconds
        if self.trained_share == 1 or not self.images_per_second > 0:
            return trained
        return trained + (1 - self.trained_share) * train_pictures / self.images_per_second

    def __post_init__(self) -> None:
        if math.isnan(self.val_score):
            object.__setattr__(self, "val_score", self.val_macro_f1)
        if math.isnan(self.best_val_score):
            object.__setattr__(self, "best_val_score", self.best_val_macro_f1)
        if not self.highest_epoch:
            object.__setattr__(self, "highest_epoch", self.best_epoch)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EpochReport:
        """Reads a report from strict JSON, where a NaN stands as null; ignores keys that are no field."""
        known = {entry.name: values[entry.name] for entry in fields(cls) if entry.name in values}
        for name, value in known.items():
            if name == "class_f1":
                known[name] = tuple(math.nan if f1 is None else f1 for f1 in value)
            elif name == "attribute_macro_f1":
                known[name] = {attribute: math.nan if f1 is None else f1 for attribute, f1 in value.items()}
            elif value is None and name not in _MAY_BE_NONE:
                known[name] = math.nan
        return cls(**known)

    def to_json(self) -> dict[str, Any]:
        """The report as strict JSON values: numbers that are not finite become null."""
        return {name: _finite(value) for name, value in asdict(self).items()}


def as_good(score: Any, highest: Any, pictures: Any, worth: float = WORTH_PICTURES) -> Any:
    """Whether a score on so many validation pictures is as good as the highest of its trial; also of arrays."""
    return score >= highest - worth / pictures - ROUNDING


def kept_epoch(scores: Mapping[int, float], best_epoch: int) -> int:
    """The best epoch of a trial, by the finite scores of its epochs and what the last of them says; 0 if there is none.

    That of the highest score, the first of equals, where the last says nothing.
    """
    return best_epoch if best_epoch in scores else max(scores, key=lambda epoch: (scores[epoch], -epoch), default=0)


def score_in(values: Mapping[str, Any]) -> Any:
    """The metric in the line of an epoch; of a run from before there were others than macro-F1, that."""
    return values.get(METRIC, values.get("val_macro_f1"))


def best_in(lines: Mapping[int, Mapping[str, Any]]) -> tuple[int, float]:
    """The best epoch of a trial and its score, by the lines of its epochs, the last at the end; 0 and NaN for none."""
    scores = {
        epoch: float(score)
        for epoch, values in lines.items()
        if isinstance(score := score_in(values), (int, float)) and math.isfinite(score)
    }
    epoch = kept_epoch(scores, [*lines.values()][-1].get("best_epoch", 0)) if scores else 0
    return epoch, scores.get(epoch, math.nan)


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """An epoch as Ray Tune hands it on: its report, and what only the driver asks about it."""

    report: EpochReport
    """Its numbers."""
    micro_batches: int = 1
    """Parts in which each batch went through the network; more than one after it ran out of memory."""
    resident_bytes: int | None = None
    """Memory of the GPU that the pictures take; None without a GPU."""
    confusion: Sequence[Sequence[int]] = ()
    """Confusion matrix `(C, C)` if the epoch is the trial's best so far, else empty."""
    is_last: bool = False
    """Whether the trial ends with it, because it has trained all its epochs or is not to go on."""
    node: str = ""
    """Machine that the trial is on, with the first epoch there: host name and address."""
    hardware: str = ""
    """Processor and GPUs of that machine in words."""
    pid: int = 0
    """Process that trained it; 0 where it is not known."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A trial ended by an exception of its own."""

    reason: str
    """What happened, in a line."""
    traceback: str | None = None
    """Where it happened."""


@dataclass(frozen=True)
class NotBegun:
    """A trial was ready to train only after the time budget had ended."""


Outcome = Epoch | Failure | NotBegun
"""What a trial reports."""


def outcome_of(result: Mapping[str, Any]) -> Outcome:
    """Reads what Ray Tune hands on of a trial's report.

    Args:
        result: As `train_trial` reported it, with the keys that Ray adds; nested, as callbacks see it, or flat, as
            searchers and schedulers do.

    Raises:
        TypeError: It is none of the three.
    """
    if "failure" in result:
        return Failure(reason=result["failure"], traceback=result.get("traceback"))
    if "not_begun" in result:
        return NotBegun()
    known = {entry.name: result[entry.name] for entry in fields(EpochReport) if entry.name in result}
    flat = {name.removeprefix(_ATTRIBUTE): f1 for name, f1 in result.items() if name.startswith(_ATTRIBUTE)}
    if flat:
        known["attribute_macro_f1"] = flat
    return Epoch(
        report=EpochReport(**known),
        micro_batches=result.get("micro_batches", 1),
        resident_bytes=result.get("resident_bytes"),
        confusion=result.get("confusion", ()),
        is_last=bool(result.get("done")),
        node=result.get("node", ""),
        hardware=result.get("hardware", ""),
        pid=result.get("pid", 0),
    )


_ATTRIBUTE = "attribute_macro_f1/"
"""How Ray names the entries of `EpochReport.attribute_macro_f1` in a flat result."""

_MAY_BE_NONE = ("gpu_utilization", "energy_joules")


def _finite(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_finite(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
