"""How to search: the flags of `search/run.py` that are about the search, not about what may vary."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from trainables.config import FORMULATIONS
from trainables.data.cache import default_cache_dir

ROOT = Path(__file__).resolve().parents[1]


def help_default(words: str) -> object:
    """Says in the help what an option that is left out comes to."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {words})")


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """How to search. What is left out is settled from the machine at hand."""

    space: str = "efficientnet"
    """Search space, by name; or path/to/file.py:function, one of your own."""
    backbones: str = ""
    """Only these backbones of the space (timm names with commas between); empty: all of them."""
    attribute_weights: tuple[str, ...] = ()
    """With heads and separate: weights of the attributes' losses, such as: mask=1 age=2; others have 1."""
    formulation: Literal["auto", "joint", "heads", "separate", "search"] = "auto"
    """For classes made of attributes: one classifier for all (joint), a head an attribute, a separate network an
    attribute, or a search over the three; auto is joint, or what a space of your own proposes."""
    trials: Annotated[int | None, help_default("12 without a GPU, 50 with one")] = None
    """Configurations to try."""
    epochs: Annotated[int | None, help_default("6 without a GPU, 27 with one")] = None
    """Epochs of a trial that is not stopped early."""
    time_budget: Annotated[str | None, help_default("no limit")] = None
    """Longest time of the whole command: seconds, or with s, m or h (15m). No epoch begins that would not end in it."""
    image_size: Annotated[int | None, help_default("96 without a GPU, 224 with one")] = None
    """Side of the square picture the network sees, in pixels."""
    batch_size: Annotated[int | None, help_default("32 without a GPU, 64 with one")] = None
    """Pictures in a training batch."""
    concurrency: int | Literal["auto"] = "auto"
    """Trials at the same time, at least 1; auto: as many as the GPUs have room for, without a GPU one a core as far as
    memory goes, at most 4."""
    cpus_per_trial: Annotated[int | None, help_default("an equal share of the cores")] = None
    """Cores, and threads, of a trial."""
    gpus_per_trial: Annotated[float | Literal["auto"] | None, help_default("1 where there is a GPU, else 0")] = None
    """GPUs of a trial, from 0; a fraction lets trials share one, and each is kept to its share of the memory. auto:
    the fraction that the space's largest trial needs, by what earlier trials took or an estimate, at least 1/4."""
    compile: bool = False
    """Compile each network's training step (torch.compile): up to minutes a trial at first, worth it for trials of many
    thousand steps. Needs a C++ compiler."""
    grace_period: Annotated[int | None, help_default("a third of the root of --epochs, at least 1")] = None
    """Epochs that ASHA gives every trial before it may stop it."""
    reduction_factor: Annotated[float | None, help_default("3")] = None
    """ASHA lets one trial in so many go on at each rung."""
    seed: int = 0
    """Seed of the split, of the proposals and of every trial."""
    val_share: float = 0.2
    """Share of the pictures to validate on, 0 to 1."""
    test_share: float = 0.2
    """Share of the pictures that no search may touch, 0 to 1."""
    split_by: Literal["group", "picture"] = "group"
    """group keeps all pictures of a person on one side; picture does not, and flatters the score."""
    allow_leak: bool = False
    """Go on although the very same picture stands on two sides, which flatters the score."""
    weights: str = "auto"
    """auto (hub cache, package, hub; else left out), none (random), or a folder of <timm name>.safetensors."""
    keep: int = 3
    """Trials whose best weights stay on disk; running ones have their last checkpoint as well."""
    name: Annotated[str | None, help_default("the space and the time")] = None
    """Name of the run, its folder under --storage."""
    history: Annotated[str, help_default("history.jsonl beside the runs")] = "auto"
    """Earlier searches to start from and to add this one to: a file or a folder, or none."""
    resume: Annotated[str | None, help_default("a new run")] = None
    """Name of a run under --storage to go on with, after whatever ended it; its settings hold."""
    add_trials: int = 0
    """With --resume: how many more trials than were asked for."""
    storage: Path = ROOT / "runs"
    """Folder of the runs. On a cluster: one that every node sees."""
    readme: Path = ROOT / "README.md"
    """Markdown file with the results table; its records live beside it, in results/best."""
    timezone: Annotated[str | None, help_default("local")] = None
    """Time zone of the table's dates, such as Europe/Paris."""
    cache_dir: Annotated[Path | None, help_default("~/.cache/macrotune")] = None
    """Folder of decoded pictures, demo pictures and converted weights."""
    address: Annotated[str | None, help_default("this machine alone")] = None
    """Ray cluster to join, such as auto or 10.0.0.7:6379."""

    def __post_init__(self) -> None:
        for name, low in (("trials", 1), ("epochs", 1), ("image_size", 16), ("batch_size", 2), ("seed", 0)):
            _at_least(name, getattr(self, name), low)
        if self.image_size is not None and self.image_size > 1024:
            raise ValueError(f"--image-size is {self.image_size}: it must be at most 1024")
        if self.batch_size is not None and self.batch_size % 2:
            raise ValueError(f"--batch-size is {self.batch_size}: it must be even, CutMix mixes pictures in pairs")
        _at_least("concurrency", self.num_concurrent, 1)
        _at_least("cpus_per_trial", self.cpus_per_trial, 1)
        _at_least("gpus_per_trial", self.gpus, 0)
        _at_least("grace_period", self.grace_period, 1)
        _at_least("keep", self.keep, 0)
        _at_least("add_trials", self.add_trials, 0)
        if self.reduction_factor is not None and not self.reduction_factor > 1:
            raise ValueError(f"--reduction-factor is {self.reduction_factor}: it must be more than 1")
        if self.add_trials and self.resume is None:
            raise ValueError("--add-trials extends a run: say which with --resume NAME")
        for name in ("val_share", "test_share"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{_flag(name)} is {getattr(self, name)}: it must be between 0 and 1")
        if self.val_share + self.test_share >= 0.95:
            raise ValueError(
                f"--val-share {self.val_share} and --test-share {self.test_share} leave less than .05 to train on"
            )
        if self.name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", self.name):
            raise ValueError(f"--name {self.name!r}: only letters, digits, '.', '_' and '-', a letter or digit first")
        if self.gpus > 1 and self.gpus % 1:
            raise ValueError(f"--gpus-per-trial {self.gpus}: more than one GPU must be a whole number")
        self.time_budget_seconds  # noqa: B018 - raises for a malformed one
        self.weight_of_attribute  # noqa: B018 - likewise

    @property
    def num_concurrent(self) -> int:
        """`concurrency` once that is settled; 1 before."""
        return 1 if self.concurrency == "auto" else self.concurrency

    @property
    def gpus(self) -> float:
        """`gpus_per_trial` once that is settled; 0 before."""
        return 0.0 if self.gpus_per_trial in (None, "auto") else float(self.gpus_per_trial)

    @property
    def cache_path(self) -> Path:
        """`cache_dir`, or its default; absolute."""
        return (self.cache_dir or default_cache_dir()).expanduser().resolve()

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

    @property
    def history_path(self) -> Path | None:
        """Where earlier searches are remembered; None if they shall not be."""
        if self.history == "none":
            return None
        return self.runs_dir if self.history == "auto" else Path(self.history).expanduser().resolve()

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
                raise ValueError(f"--attribute-weights {word}: give a name and a number above 0, as in age=2")
        return weights

    @property
    def formulations(self) -> tuple[str, ...]:
        """Those that the space may propose; none where it says so itself."""
        return {"auto": (), "search": FORMULATIONS}.get(self.formulation, (self.formulation,))

    @property
    def time_budget_seconds(self) -> float | None:
        """`time_budget` in seconds."""
        if self.time_budget is None:
            return None
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", self.time_budget.strip())
        if match is None or float(match[1]) == 0:
            raise ValueError(f"--time-budget {self.time_budget!r}: give seconds, or a number with s, m or h, as in 15m")
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]

    def absolute(self) -> StudyConfig:
        """The same settings wherever they are read: every path absolute."""
        from spaces import absolute_space  # heavy to import, and not needed to show the help

        weights, history = (
            word if word in ("auto", "none") else str(Path(word).expanduser().resolve())
            for word in (self.weights, self.history)
        )
        return replace(
            self,
            space=absolute_space(self.space),
            storage=self.runs_dir,
            readme=self.readme_path,
            cache_dir=self.cache_path,
            weights=weights,
            history=history,
        )

    def settle(
        self,
        num_cpus: int,
        num_gpus: int,
        *,
        node_cpus: int | None = None,
        num_configs: int | None = None,
        trials_that_fit: int | None = None,
    ) -> StudyConfig:
        """Fills in what was left open, from the cores and GPUs at hand.

        Args:
            num_cpus: Cores in all.
            num_gpus: GPUs in all.
            node_cpus: Cores of the largest node, which a trial cannot leave; by default all of them.
            num_configs: Configurations that the space has, if they are so few that all can be tried.
            trials_that_fit: Trials that have room at the same time in the memory of one GPU, or of this machine
                where they have none; None where that is not known.

        Raises:
            ValueError: More is asked for than there is.
        """
        gpu = num_gpus > 0
        gpus_per_trial = self.gpus
        if self.gpus_per_trial is None:
            gpus_per_trial = float(gpu)
        elif self.gpus_per_trial == "auto" and gpu:
            gpus_per_trial = 1 / self._sharers(num_cpus, num_gpus, trials_that_fit)
        if gpus_per_trial > num_gpus:
            raise ValueError(f"--gpus-per-trial {gpus_per_trial:g}: there are {num_gpus} GPUs here")
        node_cpus = node_cpus or num_cpus
        if self.cpus_per_trial is not None and self.cpus_per_trial > node_cpus:
            raise ValueError(f"--cpus-per-trial {self.cpus_per_trial}: there are {node_cpus} cores here")
        room = min(MOST_ON_CPU, num_cpus, trials_that_fit or MOST_ON_CPU)
        most = room if not gpus_per_trial else int(num_gpus / gpus_per_trial)
        if 0 < gpus_per_trial < 1:  # a trial is on one GPU
            most = num_gpus * int(1 / gpus_per_trial)
        most = max(1, min(most, num_cpus // (self.cpus_per_trial or 1)))
        concurrency = most if self.concurrency == "auto" else self.concurrency
        cpus_per_trial = self.cpus_per_trial or max(1, min(node_cpus, num_cpus // concurrency))
        if concurrency * cpus_per_trial > num_cpus or concurrency * gpus_per_trial > num_gpus:
            raise ValueError(
                f"--concurrency {concurrency} with {cpus_per_trial} cores and {gpus_per_trial:g} GPUs a trial needs "
                f"more than the {num_cpus} cores and {num_gpus} GPUs here"
            )
        return replace(
            self,
            trials=min(self.trials or (50 if gpu else 12), num_configs or 10**9),
            epochs=self.epochs or (27 if gpu else 6),
            image_size=self.image_size or (224 if gpu else 96),
            batch_size=self.batch_size or (64 if gpu else 32),
            concurrency=concurrency,
            cpus_per_trial=cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
        )

    def _sharers(self, num_cpus: int, num_gpus: int, trials_that_fit: int | None) -> int:
        """Trials that share a GPU where that is left to us: as many as fit, have cores, and are asked for."""
        cores = num_cpus // (self.cpus_per_trial or 1) // num_gpus
        if self.concurrency == "auto":
            return max(1, min(MOST_ON_GPU, trials_that_fit or 1, cores))
        asked = -(-self.concurrency // num_gpus)
        return max(1, min(MOST_ON_GPU, trials_that_fit or asked, cores, asked))


MOST_ON_CPU = 4
"""Trials at the same time without a GPU, unless more are asked for."""
MOST_ON_GPU = 4
"""Trials that share a GPU, unless more are asked for: its processes take turns, and each has a context of its own."""


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _at_least(name: str, value: float | None, low: float) -> None:
    if value is not None and value < low:
        raise ValueError(f"{_flag(name)} is {value}: it must be at least {low}")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
