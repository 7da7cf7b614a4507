"""The flags of the commands in groups: what to search, how to split, which run, which machine, where things go.

Each group checks its own values, so whatever takes a group has them checked. A command takes the groups it needs.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from trainables.config import FORMULATIONS
from trainables.data.cache import default_cache_dir
from trainables.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What a run may be called: it is the name of a folder."""
WANDB_PROJECT = re.compile(r"[A-Za-z0-9_.-]{1,128}")
"""What Weights & Biases takes as the name of a project."""
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
    backbones: str = ""
    """Only these backbones of the space (timm names with commas between); empty: all of them."""
    attribute_weights: tuple[str, ...] = ()
    """With heads and separate: weights of the attributes' losses, such as: mask=1 age=2; others have 1."""
    formulation: Literal["auto", "joint", "heads", "separate", "search"] = "auto"
    """For classes made of attributes: one classifier for all (joint), one head per attribute, one separate network per
    attribute, or a search over the three; auto is joint, or what a space of your own proposes."""
    trials: Annotated[int | None, help_default("12 without a GPU, 50 with one; in a time budget as many as fit")] = None
    """Configurations to try."""
    epochs: Annotated[int | None, help_default("9 to 30 by the pictures; in a time budget by that, up to 60")] = None
    """Epochs of a trial that is not stopped early. The default configuration, which comes first, never is."""
    time_budget: Annotated[str | None, help_default("no limit")] = None
    """Longest time of the whole command: seconds, or with s, m or h (15m); the length and the number of the trials
    then follow from it. No epoch begins that would not end in it."""
    image_size: Annotated[int | None, help_default("96 without a GPU, 224 with one")] = None
    """Side of the square picture the network sees, in pixels."""
    batch_size: Annotated[int | None, help_default("32 without a GPU, 64 with one")] = None
    """Pictures in a training batch."""
    compile: bool = False
    """Compile each network's training step (torch.compile): up to minutes a trial at first, worth it for trials of many
    thousand steps. Needs a C++ compiler."""
    grace_period: Annotated[int | None, help_default("a third of the root of --epochs, at least 1")] = None
    """Epochs that ASHA gives every trial before it may stop it."""
    reduction_factor: Annotated[float | None, help_default("3")] = None
    """ASHA lets one trial in so many go on at each rung."""
    weights: str = "auto"
    """auto (hub cache, package, hub; else left out), none (random), or a folder of <timm name>.safetensors."""
    history: Annotated[str, help_default("history.jsonl beside the runs")] = "auto"
    """Earlier searches to start from and to add this one to: a file or a folder, or none."""
    seed: int = 0
    """Seed of the split, of the proposals and of every trial."""

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
        self.time_budget_seconds  # noqa: B018 - raises for a malformed one
        self.weight_of_attribute  # noqa: B018 - likewise

    @property
    def backbone_names(self) -> tuple[str, ...]:
        """`backbones` one by one; empty stands for all of the space."""
        return tuple(name for name in self.backbones.split(",") if name)

    @property
    def formulations(self) -> tuple[str, ...]:
        """Those that the space may propose; none where it says so itself."""
        return {"auto": (), "search": FORMULATIONS}.get(self.formulation, (self.formulation,))

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
        if self.time_budget is None:
            return math.inf
        match = TIME_BUDGET.fullmatch(self.time_budget.strip())
        if match is None or float(match[1]) == 0:
            raise UserError(f"--time-budget {self.time_budget!r}: give seconds, or a number with s, m or h, as in 15m")
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]

    def absolute(self) -> SearchFlags:
        """The same settings wherever they are read."""
        from spaces import absolute_space  # heavy to import, and not needed to show the help

        weights, history = (
            word if word in ("auto", "none") else str(Path(word).expanduser().resolve())
            for word in (self.weights, self.history)
        )
        return replace(self, space=absolute_space(self.space), weights=weights, history=history)


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
    add_trials: int = 0
    """With --resume: how many more trials than were asked for."""
    keep: int = 5
    """Trials whose best weights stay on disk, of which the model is put together; running ones have their last
    checkpoint as well."""
    single: bool = False
    """Leave the best trial alone as the model, even where several answer better together."""

    def __post_init__(self) -> None:
        at_least("keep", self.keep, 0)
        at_least("add_trials", self.add_trials, 0)
        if self.add_trials and self.resume is None:
            raise UserError("--add-trials extends a run: say which with --resume NAME")
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
    """GPUs of a trial, from 0; a fraction lets trials share one, and each is kept to its share of the memory. auto:
    the fraction that the space's largest trial needs, by what earlier trials took or an estimate, at least 1/4."""

    def __post_init__(self) -> None:
        if self.concurrency != "auto":
            at_least("concurrency", self.concurrency, 1)
        at_least("cpus_per_trial", self.cpus_per_trial, 1)
        if isinstance(self.gpus_per_trial, (int, float)):
            at_least("gpus_per_trial", self.gpus_per_trial, 0)
            if self.gpus_per_trial > 1 and self.gpus_per_trial % 1:
                raise UserError(f"--gpus-per-trial {self.gpus_per_trial}: more than one GPU must be a whole number")


@dataclass(frozen=True, kw_only=True)
class MachineFlags(LocalFlags):
    """Which machine, and how much of it a trial has."""

    address: Annotated[str | None, help_default("this machine alone")] = None
    """Ray cluster to join, such as auto or 10.0.0.7:6379."""


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
    """Folder of the runs. On a cluster: one that every node sees."""
    readme: Path = Path("README.md")
    """Markdown file with the results table; its records live beside it, in results/best."""
    timezone: Annotated[str | None, help_default("local")] = None
    """Time zone of the table's dates, such as Europe/Paris."""

    @property
    def readme_path(self) -> Path:
        """`readme`, absolute."""
        return self.readme.expanduser().resolve()

    @property
    def records_dir(self) -> Path:
        """Where the records behind the table live."""
        return self.readme_path.parent / "results" / "best"

    @property
    def runs_dir(self) -> Path:
        """`storage`, absolute."""
        return self.storage.expanduser().resolve()

    def absolute(self) -> PlaceFlags:
        """The same settings wherever they are read."""
        return replace(self, storage=self.runs_dir, readme=self.readme_path, cache_dir=self.cache_path)


@dataclass(frozen=True, kw_only=True)
class TrackFlags:
    """Where else to tell of each epoch. Keys and passwords are taken from the environment and kept nowhere."""

    wandb: Annotated[str | None, help_default("nowhere")] = None
    """Project of Weights & Biases that gets every epoch of every trial; needs the extra wandb and a login
    (wandb login, or WANDB_API_KEY). With WANDB_MODE=offline it all stays in the run's folder."""
    mlflow: Annotated[str | None, help_default("nowhere")] = None
    """Address of an MLflow server, a sqlite:/// database or a folder that gets every epoch of every trial; needs the
    extra mlflow."""

    def __post_init__(self) -> None:
        if self.wandb is not None and not WANDB_PROJECT.fullmatch(self.wandb):
            raise UserError(f"--wandb {self.wandb!r}: give the name of a project: letters, digits, '.', '_' and '-'")
        if self.mlflow is not None:
            self._check_mlflow(self.mlflow)

    def absolute(self) -> TrackFlags:
        """The same settings wherever they are read: a folder as an absolute one."""
        if self.mlflow is None or "://" in self.mlflow or self.mlflow == "databricks":
            return self
        return replace(self, mlflow=str(Path(self.mlflow.removeprefix("file:")).expanduser().resolve()))

    @staticmethod
    def _check_mlflow(address: str) -> None:
        if not address.strip():
            raise UserError("--mlflow is empty: give the address of a server, or a folder")
        if "@" in address.partition("://")[2].partition("/")[0]:
            raise UserError(
                "--mlflow holds a name or a password, which would stand in the run's files: leave it out of the "
                "address, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )


def at_least(name: str, value: float | None, low: float) -> None:
    """Raises a `UserError` for a value of a flag that is given and below `low`."""
    if value is not None and value < low:
        raise UserError(f"{flag(name)} is {value}: it must be at least {low}")


def flag(name: str) -> str:
    """A field as it is typed."""
    return "--" + name.replace("_", "-")
