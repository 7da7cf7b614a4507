"""What is kept of a search: `SearchRun`, written at its start, and `BestTrial`, the record of its result."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from trainables.config import TaskConfig, TrialConfig
from trainables.networks.answering_costs import AnsweringCosts
from trainables.report import EpochReport, TrialStatus
from trainables.strict_json import RecordError, check_fields, load_object, save_object

LOCAL_FIELDS = ("cache_path", "split_path", "checkpoint_dir", "predictions_dir", "answers_dir", "weights")
"""Fields of `TaskConfig` that are paths on one machine; a record leaves them out."""

_BLANK: dict[str, Any] = {**dict.fromkeys(LOCAL_FIELDS, ""), "weights": {}}

TRIAL_ENDS = tuple(status for status in TrialStatus if status.is_over)
"""States of trials that have ended for good."""

TRIAL_COUNTS = ("asked", *map(str, TRIAL_ENDS), "total")
"""Keys of `BestTrial.trials`; `total` counts every trial that was started, the interrupted ones too."""

_SPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_FOLDERS = re.compile(r"(?<![^\s'\"(=])[/~]\S*/(?=\S)")


@dataclass(frozen=True, kw_only=True)
class SearchRun:
    """One search as it was started: `runs/<name>/run.json`, which stays on the machine and keeps its paths.

    Raises:
        RecordError: `space` or `started` is malformed.
    """

    name: str
    """Name of the run and of its folder."""
    space: str
    """Name of the search space."""
    started: str
    """When it began: ISO 8601 with the offset of the local time."""
    options: dict[str, Any]
    """The settings of the command line."""
    task: TaskConfig
    """What every trial shares."""
    data: dict[str, Any]
    """The pictures: source, layout, number of pictures and groups, skipped, corrected, and numbers a side."""
    split_hash: str
    """Hash of the split: equal for equal pictures on equal sides."""
    weights: dict[str, str]
    """Where each backbone's weights come from, in words; "random" for none."""
    weights_note: str
    """The sentence that says which weights were missing and what that led to; empty if none were."""
    versions: dict[str, str]
    """Versions of Python and the libraries that matter."""
    commit: str | None
    """Commit of the code, with +dirty if the tree had changes; None outside a repository."""
    hardware: str
    """The machine in words."""
    trials_asked: int
    """How many trials were asked for; where `trials_open`, more than the time has room for."""
    points: list[dict[str, Any]]
    """Configurations tried first, the default before all."""
    history: str
    """Where those points come from, in words."""
    costs: dict[str, Any] = field(default_factory=dict)
    """What the networks cost to answer, an `AnsweringCosts`; empty where nobody asked."""
    trials_open: bool = False
    """Whether a time budget decides how many trials there are, since nobody has asked for a number."""
    epochs_open: bool = False
    """Whether a trial goes on beyond `task.epochs` where the time budget has no room for another."""
    refits: bool = False
    """Whether the model is trained on at the end (`search.refit`)."""
    own_seeds: bool = False
    """Whether each trial trains from a seed of its own (`search.engine.seeds`), not all from that of the task."""

    def __post_init__(self) -> None:
        check_space(self.space)
        check_date("started", self.started)
        if self.costs:
            AnsweringCosts.from_json(self.costs)  # raises if broken

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str = "SearchRun") -> SearchRun:
        """Reads strict JSON values; `where` names their file in an error.

        Raises:
            RecordError: A key is unknown or missing, or a value is of the wrong type or out of its range.
        """
        check_fields(cls, values, where, older=True)
        task = task_config(values["task"], f"{where}: task")
        try:
            return cls(**{**values, "task": task})
        except ValueError as error:
            raise RecordError(f"{where}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """The run as strict JSON values."""
        return {**fields_json(self), "task": task_json(self.task)}

    def save(self, path: Path) -> None:
        """Writes the run, whole or not at all."""
        save_object(path, self.to_json())

    @property
    def units(self) -> str:
        """`units_of` its pictures."""
        return units_of(self.data, self.options.get("split_by"))

    def portable(self) -> SearchRun:
        """The run without the folders of the machine it ran on, fit to be committed and shown.

        The task loses its `LOCAL_FIELDS`. In `data` and `weights` a path below the data's source becomes
        relative to it, and of any other absolute path the last part stays.
        """
        source = str(self.data.get("source", "")).rstrip("/")
        data = {key: without_folders(value, source) for key, value in self.data.items()}
        if source.startswith(("/", "~")):
            data["source"] = source.rpartition("/")[2]
        return replace(
            self,
            task=replace(self.task, **_BLANK, parts=_named(self.task.parts)),
            data=data,
            weights=without_folders(self.weights, source),
            weights_note=without_folders(self.weights_note, source),
            history=without_folders(self.history, source),
        )


@dataclass(frozen=True, kw_only=True)
class BestTrial:
    """The best trial of a search at its best epoch: a file in `results/best`, committed with the project.

    The JSON leaves out the `LOCAL_FIELDS` of the task, which are empty after loading: to train again, fill
    them in with `dataclasses.replace(record.task, ...)`.

    Raises:
        RecordError: A value contradicts another or is malformed.
    """

    run: str
    """Name of the run."""
    space: str
    """Name of the search space."""
    date: str
    """When the search began: ISO 8601 with offset."""
    trial_id: str
    """The trial in its run."""
    config: TrialConfig
    """What was searched, at its best."""
    report: EpochReport
    """The trial's best epoch, which need not be its last."""
    epochs_trained: int
    """How many epochs the trial trained in all."""
    task: TaskConfig
    """What every trial of the search shared, without paths."""
    data: dict[str, Any]
    """The pictures, as in `SearchRun.data`, without paths."""
    split_hash: str
    """Hash of the split: only scores on equal splits can be compared."""
    weights: str
    """Where the weights that this trial started from come from, in words; "random" for none."""
    weights_note: str
    """The sentence that says which weights the search missed; empty if none."""
    history: str
    """What the search started from, in words: the space's own points, or what earlier searches learned."""
    trials: dict[str, int]
    """Number of trials by `TRIAL_COUNTS`."""
    wall_seconds: float
    """Time from the start of the search to its last report, without long pauses (see `results.records.best`)."""
    device_seconds: float
    """Time of all epochs of all trials, added up."""
    seed: int
    """Seed of the search and its trials."""
    versions: dict[str, str]
    """Versions of Python and the libraries that matter."""
    commit: str | None
    """Commit of the code, with +dirty if the tree had changes; None outside a repository."""
    hardware: str
    """The machine that the trial was on, in words; in older records the one that the search was started on."""
    search_epochs: int | None = None
    """Epochs of all trials; this and what follows is None in records from before it was counted."""
    epochs_saved: int | None = None
    """Epochs that trials which ASHA stopped did not train any more."""
    images_trained: int | None = None
    """Pictures that went through the networks to train them, one counted as often as it did."""
    energy_joules: float | None = None
    """Energy of the GPUs in those epochs, shared out between trials that share one; None where they do not tell."""
    compile_seconds: float | None = None
    """Part of `device_seconds` in which torch.compile made kernels."""
    val_interval: dict[str, Any] | None = None
    """Macro-F1 of the best epoch (`value`) with the ends of its 95% interval over people; None where its answers were
    not kept."""
    val_corrected: dict[str, Any] | None = None
    """The same of picking the best trial and epoch on other people than those it is scored on."""
    node: str | None = None
    """Machine that the trial was on, whose `hardware` this is: host name and address."""
    nodes: dict[str, Any] | None = None
    """Every machine that trials of the search were on: its `hardware`, and the number of its `trials`."""
    answering: dict[str, Any] | None = None
    """What the trial's network costs to answer, within which limits it was searched, and the Pareto front; None where
    nobody asked (`results.records.front.answering_record`)."""

    def __post_init__(self) -> None:
        check_space(self.space)
        check_date("date", self.date)
        if not math.isfinite(self.report.val_macro_f1):
            raise RecordError("report: val_macro_f1 is not finite: a diverged epoch is no best epoch")
        if self.report.epoch > self.epochs_trained:
            raise RecordError(
                f"epochs_trained is {self.epochs_trained}, but the report is of epoch {self.report.epoch}"
            )
        if self.trials.keys() != set(TRIAL_COUNTS):
            raise RecordError(f"trials counts {', '.join(self.trials)}: it must be {', '.join(TRIAL_COUNTS)}")

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str = "BestTrial") -> BestTrial:
        """Reads strict JSON values; `where` names their file in an error.

        Raises:
            RecordError: A key is unknown or missing, or a value is of the wrong type or out of its range.
        """
        check_fields(cls, values, where, older=True)
        task = task_config(values["task"], f"{where}: task", without=LOCAL_FIELDS)
        config = trial_config(values["config"], f"{where}: config")
        report = epoch_report(values["report"], f"{where}: report")
        try:
            return cls(**{**values, "config": config, "report": report, "task": task})
        except ValueError as error:
            raise RecordError(f"{where}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """The record as strict JSON values."""
        return {
            **fields_json(self),
            "config": asdict(self.config),
            "report": self.report.to_json(),
            "task": task_json(self.task, without=LOCAL_FIELDS),
        }

    @property
    def units(self) -> str:
        """`units_of` its pictures."""
        return units_of(self.data)

    def save(self, path: Path) -> None:
        """Writes the record, whole or not at all.

        Raises:
            RecordError: A value has no place in strict JSON; the file is left as it was.
        """
        save_object(path, self.to_json())


def units_of(data: Mapping[str, Any], split_by: str | None = None) -> str:
    """What a split deals out, and intervals are over: people, or pictures where the data do not tell who is in them.

    Args:
        data: The pictures, as in `SearchRun.data`.
        split_by: What was asked for, where `data` need not say it.
    """
    by = split_by or (data.get("split") or {}).get("split_by")
    return "pictures" if by == "picture" or not data.get("groups", 1) else "people"


def load_record(path: Path) -> BestTrial:
    """Reads a record that `BestTrial.save` wrote.

    Raises:
        RecordError: The file is corrupt; names it and the key.
        OSError: It cannot be read.
    """
    return BestTrial.from_json(load_object(path), str(path))


def trial_config(values: object, where: str) -> TrialConfig:
    """Reads a `TrialConfig` from strict JSON values.

    Raises:
        RecordError: Begins with `where` and names the key.
    """
    try:
        return TrialConfig(**check_fields(TrialConfig, values, where, older=True))
    except RecordError:
        raise
    except ValueError as error:
        raise RecordError(f"{where}: {error}") from error


def epoch_report(values: object, where: str) -> EpochReport:
    """Reads an `EpochReport` from strict JSON values, where null stands for a number that is not finite.

    Raises:
        RecordError: Begins with `where` and names the key.
    """
    return EpochReport.from_json(check_fields(EpochReport, values, where, nulls=True, older=True))


def task_config(values: Any, where: str, without: tuple[str, ...] = ()) -> TaskConfig:
    """Reads a `TaskConfig` from strict JSON values; paths that are left out are empty.

    Raises:
        RecordError: Begins with `where` and names the key.
    """
    check_fields(TaskConfig, values, where, without=without, older=True)
    try:
        return TaskConfig.from_json({**_BLANK, **values})
    except ValueError as error:
        raise RecordError(f"{where}: {error}") from error


def task_json(task: TaskConfig, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """A task as strict JSON values, without some of its fields."""
    values = {
        **fields_json(task),
        "classes": list(task.classes),
        "train_on": list(task.train_on),
        "validate_on": list(task.validate_on),
        "attributes": {name: list(by_class) for name, by_class in task.attributes.items()},
        "weights": dict(task.weights),
        "parts": dict(task.parts) if not without else _named(task.parts),
    }
    return {name: value for name, value in values.items() if name not in without}


def _named(parts: Mapping[str, str]) -> dict[str, str]:
    """A file of parts by name and hash, without its text."""
    return {key: value.rpartition("/")[2] for key, value in parts.items() if key != "source"}


def fields_json(instance: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, as they are."""
    return {field.name: getattr(instance, field.name) for field in fields(instance)}


def without_folders(value: Any, source: str = "") -> Any:
    """A value with all texts in it as they may be shown to others: files by their names, not where they lie.

    Args:
        value: A text, or lists and mappings of such.
        source: Folder of the pictures; what lies in it keeps its path below.
    """
    if isinstance(value, dict):
        return {without_folders(key, source): without_folders(item, source) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_folders(item, source) for item in value]
    if not isinstance(value, str):
        return value
    return _FOLDERS.sub("", value.replace(f"{source}/", "") if source.startswith("/") else value)


def check_space(space: str) -> None:
    """Raises a `RecordError` unless the name of a space can name a file."""
    if not _SPACE.fullmatch(space):
        raise RecordError(f"space is {space!r}: it names a file, so it takes letters, digits, _ . and -")


def check_date(name: str, value: str) -> None:
    """Raises a `RecordError` unless the value is an ISO 8601 date and time with its offset."""
    try:
        zoned = datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        zoned = False
    if not zoned:
        raise RecordError(f"{name} is {value!r}: it must be an ISO 8601 date and time with its offset")
