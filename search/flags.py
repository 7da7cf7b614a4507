"""The flags of the commands in groups: what to search, how to split, which run, which machine, where things go.

Each group checks its own values, so whatever takes a group has them checked. A command takes the groups it needs.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from trainables.config import FORMULATIONS, METRICS, OWN, Precision, is_own_name
from trainables.data.cache import default_cache_dir
from trainables.errors import UserError
from trainables.machine.home import own_folder
from trainables.saved.model_description import DESCRIPTION, WEIGHTS

ROOT = Path(__file__).resolve().parents[1]


RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What a run may be called: it is the name of a folder."""
SCHEME = re.compile(r"([a-z][a-z0-9+]+):(?:/+|$)")
"""How an address begins that is no path."""
JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Environment variable that Ray sets for the command of a job."""
TIME_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)")
"""Seconds, or a number with its unit."""


def help_default(words: str) -> object:
    """Says in the help what an option that is left out comes to."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {words})")


@dataclass(frozen=True, kw_only=True)
class SearchFlags:
    """What to search, and how long."""

    space: str = "efficientnet"
    """Search space, by name; or path/to/file.py:function, one of your own."""
    parts: Annotated[Path | None, help_default("the file of --space, where that is one of your own")] = None
    """A Python file with parts of your own: networks, losses, augmentations, metrics, a decision rule."""
    metric: str = "macro_f1"
    """What is searched for: macro_f1, accuracy, balanced_accuracy, weighted_f1, or path/to/file.py:function, one of
    your own. Macro-F1 is reported beside it."""
    backbones: str = ""
    """Only these backbones of the space (timm names with commas between); empty: all of them."""
    attribute_weights: tuple[str, ...] = ()
    """With heads and separate: weights of the attributes' losses, such as: mask=1 age=2; others have 1."""
    formulation: Literal["auto", "joint", "heads", "separate", "search"] = "auto"
    """For classes made of attributes: one classifier for all (joint), one head per attribute, one separate network per
    attribute, or a search over the three; auto is joint, or what a space of your own proposes."""
    flip: Literal["auto", "search", "never"] = "auto"
    """Whether pictures are mirrored in training: as the space says (search), never, or as the space says unless
    classes are mirror images of each other, as left and right are (auto)."""
    trials: Annotated[int | None, help_default("12 without a GPU, 50 with one; in a time budget as many as fit")] = None
    """Configurations to try."""
    epochs: Annotated[int | None, help_default("9 to 30 by the pictures; with --time-budget up to 60, by the time")] = (
        None
    )
    """Epochs of a trial that is not stopped early. The default configuration, which comes first, never is."""
    time_budget: Annotated[str | None, help_default("no limit")] = None
    """Longest time of the whole command: seconds, or with s, m or h (15m); the length and the number of the trials
    then follow from it. Where the length was left open, the epoch that it ends in is cut short."""
    image_size: Annotated[int | None, help_default("96 without a GPU, 224 with one")] = None
    """Side of the square picture the network sees, in pixels."""
    batch_size: Annotated[int | None, help_default("32 without a GPU, 64 with one")] = None
    """Pictures in a training batch."""
    compile: bool = False
    """Compile each network's training step (torch.compile): up to minutes a trial at first, worth it for trials of many
    thousand steps. Needs a C++ compiler."""
    precision: Precision = "auto"
    """What networks compute in: auto is bfloat16 on a GPU, float16 on one from before Ampere, and float32 on a CPU."""
    grace_period: Annotated[int | None, help_default("a third of the epochs; with --epochs, of their square root")] = (
        None
    )
    """Epochs that ASHA gives every trial before it may stop it."""
    reduction_factor: Annotated[float | None, help_default("3")] = None
    """ASHA lets one trial in so many go on at each rung."""
    weights: str = "auto"
    """auto (hub cache, package, hub; backbones without weights are left out), none (random), or a folder: of
    <timm name>.safetensors files, or of a run or model of yours (runs/NAME/retrained), whose network is trained further
    under a new classifier."""
    history: Annotated[str, help_default("history.jsonl beside the runs")] = "auto"
    """Earlier searches to start from and to add this one to: a file or a folder, or none."""
    seed: int = 0
    """Seed of the split and of the proposals; each trial trains from a seed of its own that is drawn from it."""

    def __post_init__(self) -> None:
        for name, low in (("trials", 1), ("epochs", 1), ("image_size", 16), ("batch_size", 2), ("grace_period", 1)):
            at_least(name, getattr(self, name), low)
        at_least("seed", self.seed, 0)
        if self.image_size is not None and self.image_size > 1024:
            raise UserError(f"--image-size is {self.image_size}: it must be at most 1024")
        if self.batch_size is not None and self.batch_size % 2:
            raise UserError(f"--batch-size is {self.batch_size}: it must be even, CutMix mixes pictures in pairs")
        if self.reduction_factor is not None and not self.reduction_factor > 1:
            raise UserError(f"--reduction-factor is {self.reduction_factor}: it must be more than 1")
        self.metric_name  # noqa: B018 - raises for one that is not known
        self.time_budget_seconds  # noqa: B018 - raises for a malformed one
        self.weight_of_attribute  # noqa: B018 - likewise

    @property
    def backbone_names(self) -> tuple[str, ...]:
        """`backbones` one by one; empty stands for all of the space."""
        return tuple(name for name in self.backbones.split(",") if name)

    @property
    def metric_name(self) -> str:
        """`metric` as a task names it: one of the user's own as own:NAME."""
        name = self.metric
        if name in METRICS or is_own_name(name):
            return name
        path, _, function = name.rpartition(":")
        if path.endswith(".py") and function.isidentifier():
            return f"{OWN}{function}"
        close = difflib.get_close_matches(name, METRICS, n=1)
        guess = f": did you mean {close[0]}?" if close else "."
        raise UserError(
            f"--metric {name!r} is not known{guess} Metrics: {', '.join(METRICS)}, or path/to/file.py:function for one "
            "of your own"
        )

    @property
    def metric_file(self) -> Path | None:
        """The file that `metric` names, if it does."""
        path = self.metric.rpartition(":")[0]
        return Path(path).expanduser().resolve() if path.endswith(".py") else None

    @property
    def formulations(self) -> tuple[str, ...]:
        """Those that the space may propose; none where it says so itself."""
        return {"auto": (), "search": FORMULATIONS}.get(self.formulation, (self.formulation,))

    @property
    def flips(self) -> bool:
        """Whether the space may mirror pictures."""
        return self.flip != "never"

    @property
    def weight_of_attribute(self) -> dict[str, float]:
        """`attribute_weights` by name."""
        weights = {}
        for word in self.attribute_weights:
            name, _, number = word.rpartition("=")
            try:
                weights[name] = float(number)
            except ValueError:
                weights[name] = -1.0
            if not name or not 0 < weights[name] < math.inf:
                raise UserError(f"--attribute-weights {word}: give a name and a number above 0, as in age=2")
        return weights

    @property
    def time_budget_seconds(self) -> float:
        """`time_budget` in seconds; infinite where there is none."""
        return budget_seconds(self.time_budget)

    def absolute(self) -> SearchFlags:
        """The same settings wherever they are read."""
        from spaces import absolute_space  # heavy to import, and not needed to show the help

        weights, history = (
            word if word in ("auto", "none") else str(Path(word).expanduser().resolve())
            for word in (self.weights, self.history)
        )
        metric = self.metric if self.metric_file is None else f"{self.metric_file}:{self.metric.rpartition(':')[2]}"
        parts = None if self.parts is None else self.parts.expanduser().resolve()
        space = absolute_space(self.space)
        return replace(self, space=space, parts=parts, metric=metric, weights=_model_of_run(weights), history=history)


def _model_of_run(weights: str) -> str:
    """Where weights are those of a run, the folder of its best model; a file of a model stands for its folder.

    Raises:
        UserError: The run has no model.
    """
    if weights in ("auto", "none"):
        return weights
    from results.records.models import model_folder

    path = Path(weights)
    return str(model_folder(path.parent if path.name in (WEIGHTS, DESCRIPTION) else path)[0])


@dataclass(frozen=True, kw_only=True)
class SplitFlags:
    """How to split the pictures into sides to train on, to validate on, and to leave alone."""

    val_share: float = 0.2
    """Share of the pictures to validate on, 0 to 1."""
    test_share: float = 0.2
    """Share of the pictures that no search may touch, 0 to 1."""
    split_by: Literal["group", "picture"] = "group"
    """group keeps all pictures of a person on one side; picture does not, and flatters the score."""
    allow_leak: bool = False
    """Go on although the very same picture stands on two sides, which flatters the score."""

    def __post_init__(self) -> None:
        for name in ("val_share", "test_share"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"{flag(name)} is {getattr(self, name)}: it must be between 0 and 1")
        if self.val_share + self.test_share >= 0.95:
            raise UserError(
                f"--val-share {self.val_share} and --test-share {self.test_share} leave less than .05 to train on"
            )


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """Which run: a new one by a name, or one to go on with."""

    name: Annotated[str | None, help_default("the space and the time")] = None
    """Name of the run, its folder under --storage."""
    resume: Annotated[str | None, help_default("a new run")] = None
    """Name of a run under --storage to go on with, after whatever ended it; its settings hold."""
    retry_failed: bool = False
    """With --resume: try failed trials again, except those that diverged, which would diverge again."""
    add_trials: int = 0
    """With --resume: how many more trials than were asked for."""
    keep: int = 5
    """Trials whose best weights stay on disk, of which the model is put together; running ones have their last
    checkpoint as well."""
    single: bool = False
    """Use only the best trial as the model, even where several together answer better."""
    no_mirror: bool = False
    """Show the model only the middle of each picture, which takes half the time; by default it also sees the mirror
    image of the whole picture."""
    no_refit: bool = False
    """Leave the model as validation picked it, and do not train it further with the validation pictures at the end."""

    def __post_init__(self) -> None:
        at_least("keep", self.keep, 0)
        at_least("add_trials", self.add_trials, 0)
        refuse_path_as_name(self.resume)
        if self.add_trials and self.resume is None:
            raise UserError("--add-trials extends a run: say which with --resume NAME")
        if self.retry_failed and self.resume is None:
            raise UserError("--retry-failed is for a run that goes on: say which with --resume NAME")
        if self.name is not None and not RUN_NAME.fullmatch(self.name):
            raise UserError(f"--name {self.name!r}: only letters, digits, '.', '_' and '-', a letter or digit first")


@dataclass(frozen=True, kw_only=True)
class LocalFlags:
    """How much of this machine a trial has."""

    concurrency: int | Literal["auto"] = "auto"
    """Trials at the same time, at least 1; auto: as many as the GPUs have room for, without a GPU one per core as far
    as memory goes, at most 4."""
    cpus_per_trial: Annotated[int | None, help_default("an equal share of the cores")] = None
    """Cores, and threads, of a trial."""
    gpus_per_trial: Annotated[float | Literal["auto"] | None, help_default("1 where there is a GPU, else 0")] = None
    """GPUs of a trial, 0 to 1; a fraction lets trials share one, and each is kept to its share of the memory. auto:
    the fraction that the space's largest trial needs, by what earlier trials took or an estimate, at least 1/4."""

    def __post_init__(self) -> None:
        if self.concurrency != "auto":
            at_least("concurrency", self.concurrency, 1)
        at_least("cpus_per_trial", self.cpus_per_trial, 1)
        if isinstance(self.gpus_per_trial, (int, float)):
            at_least("gpus_per_trial", self.gpus_per_trial, 0)
            if self.gpus_per_trial > 1:
                raise UserError(f"--gpus-per-trial {self.gpus_per_trial:g}: a trial trains on one GPU, or a part of it")


@dataclass(frozen=True, kw_only=True)
class MachineFlags(LocalFlags):
    """Which machine, and how much of it a trial has."""

    address: Annotated[str | None, help_default("RAY_ADDRESS; in a Ray job auto; else this machine alone")] = None
    """Ray cluster to join: auto on one of its nodes, or the head's host and port, such as 10.0.0.7:6379; local for this
    machine alone, whatever the environment says."""
    wait_for_nodes: Annotated[str | None, help_default("10m for a cluster that has none yet, else not at all")] = None
    """How long to wait for nodes that a trial fits on: seconds, or with s, m or h. The cluster is asked for them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.wait_seconds  # noqa: B018 - raises for a malformed one

    @property
    def wait_seconds(self) -> float | None:
        """`wait_for_nodes` in seconds; None where it was left open."""
        return None if self.wait_for_nodes is None else seconds_of("wait_for_nodes", self.wait_for_nodes)


@dataclass(frozen=True, kw_only=True)
class CacheFlags:
    """Where what can be made again is kept."""

    cache_dir: Annotated[Path | None, help_default("~/.cache/macrotune")] = None
    """Folder of decoded pictures, demo pictures and converted weights."""

    @property
    def cache_path(self) -> Path:
        """`cache_dir`, or its default; absolute."""
        return (self.cache_dir or default_cache_dir()).expanduser().resolve()


@dataclass(frozen=True, kw_only=True)
class PlaceFlags(CacheFlags):
    """Where things go."""

    storage: Path = Path("runs")
    """Folder of the runs; or s3://bucket/folder, gs://... and the like, where a copy of all is kept."""
    readme: Annotated[
        Path | None, help_default("README.md; for an existing run, the one it has; for runs in a bucket, beside them")
    ] = None
    """Markdown file with the results table; its records live beside it, in results/best."""
    timezone: Annotated[str | None, help_default("local")] = None
    """Time zone of the table's dates, such as Europe/Paris."""

    @property
    def readme_path(self) -> Path:
        """`readme` or its default, absolute."""
        if self.readme is None and self.remote is not None:
            return self.runs_dir / "README.md"
        return (base_folder() / (self.readme or Path("README.md")).expanduser()).resolve()

    @property
    def records_dir(self) -> Path:
        """Where the records behind the table live."""
        return self.readme_path.parent / "results" / "best"

    @property
    def runs_dir(self) -> Path:
        """`storage`, absolute; of one that is no folder, the local folder that is mirrored there."""
        if self.remote is not None:
            return default_cache_dir() / "storage" / re.sub(r"[^A-Za-z0-9.-]+", "-", self.remote.split("?")[0])
        return (base_folder() / self.storage.expanduser()).resolve()

    @property
    def remote(self) -> str | None:
        """`storage` as an address if it is no folder, as in `s3://bucket/folder`; else None."""
        scheme = SCHEME.match(str(self.storage))
        if scheme is None:
            return None
        rest = str(self.storage)[scheme.end() :]
        return f"{scheme[1]}://{'/' * (scheme[1] == 'file')}{rest}"  # a Path keeps one slash of several

    def absolute(self) -> PlaceFlags:
        """The same settings wherever they are read."""
        if self.remote is not None and self.readme is None:  # whose local folder is each machine's own affair
            return replace(self, cache_dir=self.cache_path)
        storage = self.runs_dir if self.remote is None else self.storage
        return replace(self, storage=storage, readme=self.readme_path, cache_dir=self.cache_path)


def budget_seconds(text: str | None) -> float:
    """Seconds of a --time-budget as it was typed; infinite for None.

    Raises:
        UserError: It is malformed, or nothing.
    """
    if text is None:
        return math.inf
    seconds = seconds_of("time_budget", text)
    if not seconds:
        raise UserError(f"--time-budget {text!r}: it must be more than nothing, as in 15m")
    return seconds


def seconds_of(name: str, value: str) -> float:
    """Seconds of a flag's value such as 90, 90s, 15m or 2h.

    Raises:
        UserError: It is none; names the flag.
    """
    match = TIME_BUDGET.fullmatch(value.strip())
    if match is None:
        raise UserError(f"{flag(name)} {value!r}: give seconds, or a number with s, m or h, as in 15m")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def base_folder() -> Path:
    """What a place is relative to: the current folder; in a Ray job's own copy of a folder, which Ray deletes, HOME."""
    here = Path.cwd()
    if JOB in os.environ and "runtime_resources" in here.parts:
        return own_folder(Path("macrotune"))
    return here


def at_least(name: str, value: float | None, low: float) -> None:
    """Raises a `UserError` for a value of a flag that is given and below `low`."""
    if value is not None and value < low:
        raise UserError(f"{flag(name)} is {value}: it must be at least {low}")


def refuse_path_as_name(run: str | None) -> None:
    """Raises a `UserError` for runs/NAME, which other commands take, in the place of NAME."""
    if run is not None and Path(run).name != run:
        raise UserError(f"{run!r} is no name of a run: give its folder's name, and where it lies by --storage")


def flag(name: str) -> str:
    """A field as it is typed."""
    return "--" + name.replace("_", "-")
