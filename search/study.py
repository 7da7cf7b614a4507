"""How to search: as the command line said it, and as it is settled for the machine at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import tyro

from search.engine.rungs import DEFAULT_REDUCTION_FACTOR, default_grace_period
from search.flags import MachineFlags, PlaceFlags, RunFlags, SearchFlags, SplitFlags, TrackFlags
from trainables.errors import UserError
from trainables.machine.cores import usable_cores
from trainables.settings import restore

DEFAULT_EPOCHS = 30
"""Of a trial, as long as the pictures are not known (`suit_lengths`)."""
MOST_ON_CPU = 4
"""Trials at the same time without a GPU, unless more are asked for."""
MOST_ON_GPU = 4
"""Trials that share a GPU, unless more are asked for: its processes take turns, and each has a context of its own."""


@dataclass(frozen=True, kw_only=True)
class AskedStudy:
    """What the command line said; what it left out is settled from the machine at hand."""

    search: tyro.conf.OmitArgPrefixes[SearchFlags] = field(default_factory=SearchFlags)
    split: tyro.conf.OmitArgPrefixes[SplitFlags] = field(default_factory=SplitFlags)
    run: tyro.conf.OmitArgPrefixes[RunFlags] = field(default_factory=RunFlags)
    machine: tyro.conf.OmitArgPrefixes[MachineFlags] = field(default_factory=MachineFlags)
    places: tyro.conf.OmitArgPrefixes[PlaceFlags] = field(default_factory=PlaceFlags)
    track: tyro.conf.OmitArgPrefixes[TrackFlags] = field(default_factory=TrackFlags)

    @classmethod
    def of(cls, **flags: Any) -> AskedStudy:
        """From flags by their names, whichever group they are in.

        Raises:
            UserError: A value is out of range; names its flag.
            TypeError: There is no such flag.
        """
        groups: dict[str, dict[str, Any]] = {entry.name: {} for entry in fields(cls)}
        for name, value in flags.items():
            if name not in _GROUP_OF:
                raise TypeError(f"{name} is no flag of a study")
            groups[_GROUP_OF[name]][name] = value
        return cls(**{name: _GROUPS[name](**values) for name, values in groups.items()})

    @classmethod
    def restored(cls, options: Mapping[str, Any]) -> AskedStudy:
        """From the options of a run's `run.json`; flags that it does not know have their defaults."""
        return cls(**{name: restore(group, options) for name, group in _GROUPS.items()})

    def flat(self) -> dict[str, Any]:
        """Every flag by its name, as `of` takes them and as `run.json` keeps them."""
        return {name: value for group in asdict(self).values() for name, value in group.items()}

    def replace(self, **flags: Any) -> AskedStudy:
        """The same with other values for these flags."""
        return AskedStudy.of(**{**self.flat(), **flags})

    def absolute(self) -> AskedStudy:
        """The same settings wherever they are read: every path absolute."""
        return replace(self, search=self.search.absolute(), places=self.places.absolute(), track=self.track.absolute())

    def settle(
        self,
        num_cpus: int,
        num_gpus: int,
        *,
        node_cpus: int | None = None,
        num_configs: int | None = None,
        trials_that_fit: int | None = None,
    ) -> SettledStudy:
        """Fills in what was left open, from the cores and GPUs at hand.

        Args:
            num_cpus: Cores in all.
            num_gpus: GPUs in all.
            node_cpus: Cores of the largest node, which a trial cannot leave; by default all of them.
            num_configs: Configurations that the space has, if they are so few that all can be tried.
            trials_that_fit: Trials that have room at the same time in the memory of one GPU, or of this machine
                where they have none; None where that is not known.

        Raises:
            UserError: More is asked for than there is.
        """
        gpu, search = num_gpus > 0, self.search
        if search.trials and not gpu:  # one trial has all cores
            trials_that_fit = min(search.trials, trials_that_fit or search.trials)
        share = _share_out(self.machine, num_cpus, num_gpus, node_cpus or num_cpus, trials_that_fit)
        epochs = search.epochs or DEFAULT_EPOCHS
        settled = {
            "trials": min(search.trials or (50 if gpu else 12), num_configs or 10**9),
            "epochs": epochs,
            "image_size": search.image_size or (224 if gpu else 96),
            "batch_size": search.batch_size or (64 if gpu else 32),
            "concurrency": share.concurrency,
            "cpus_per_trial": share.cpus,
            "gpus_per_trial": share.gpus,
        }
        return SettledStudy(
            space=search.space,
            backbones=search.backbone_names,
            formulations=search.formulations,
            weight_of_attribute=search.weight_of_attribute,
            grace_period=search.grace_period or default_grace_period(epochs),
            reduction_factor=search.reduction_factor or DEFAULT_REDUCTION_FACTOR,
            time_budget_seconds=search.time_budget_seconds,
            trials_open=search.trials is None,
            epochs_open=search.epochs is None,
            grace_open=search.grace_period is None,
            compile=search.compile,
            weights=search.weights,
            seed=search.seed,
            split=self.split,
            name=self.run.name or "",
            keep=self.run.keep,
            single=self.run.single,
            address=self.machine.address,
            runs_dir=self.places.runs_dir,
            readme_path=self.places.readme_path,
            records_dir=self.places.records_dir,
            timezone=self.places.timezone,
            cache_path=self.places.cache_path,
            history_path=self.history_path,
            track=self.track,
            options={**self.flat(), **settled},
            **settled,  # type: ignore[arg-type]  # a value per field, by name
        )

    @property
    def history_path(self) -> Path | None:
        """Where earlier searches are remembered; None if they shall not be."""
        if self.search.history == "none":
            return None
        own = self.search.history != "auto"
        return Path(self.search.history).expanduser().resolve() if own else self.places.runs_dir


_GROUPS: dict[str, type] = {
    "search": SearchFlags,
    "split": SplitFlags,
    "run": RunFlags,
    "machine": MachineFlags,
    "places": PlaceFlags,
    "track": TrackFlags,
}
_GROUP_OF = {entry.name: group for group, cls in _GROUPS.items() for entry in fields(cls)}
"""Flag to the group that holds it."""


@dataclass(frozen=True, kw_only=True)
class SettledStudy:
    """How a search runs here: nothing is open any more, every path is absolute."""

    space: str
    """Name of the space, or path/to/file.py:function."""
    backbones: tuple[str, ...]
    """Only these of the space; empty for all of them."""
    formulations: tuple[str, ...]
    """Those that the space may propose; empty where it says so itself."""
    weight_of_attribute: Mapping[str, float]
    """Weights of the attributes' losses; those left out have 1."""
    trials: int
    epochs: int
    """Of a trial that is not stopped."""
    image_size: int
    """Pixels."""
    batch_size: int
    """Pictures."""
    grace_period: int
    """Epochs before ASHA may stop a trial."""
    reduction_factor: float
    """ASHA lets one trial in so many go on at each rung."""
    time_budget_seconds: float
    """Of the whole command; infinite where there is none."""
    trials_open: bool
    """Whether the time there is decides: their number was left open, and `suit_lengths` makes it as many as fit."""
    epochs_open: bool
    """Whether their number was left open: `suit_lengths` settles it by pictures and time."""
    grace_open: bool
    """Whether the grace period follows from the epochs."""
    compile: bool
    weights: str
    """auto, none, or a folder."""
    seed: int
    split: SplitFlags
    name: str
    """Name of the run; empty for the space and the time."""
    keep: int
    """Trials whose best weights stay on disk."""
    single: bool
    """Whether the model is the best trial alone."""
    concurrency: int
    """Trials at the same time."""
    cpus_per_trial: int
    gpus_per_trial: float
    address: str | None
    """Ray cluster; None for this machine alone."""
    runs_dir: Path
    readme_path: Path
    records_dir: Path
    timezone: str | None
    """Of the table's dates; None for the local one."""
    cache_path: Path
    history_path: Path | None
    """Where earlier searches are remembered; None if they shall not be."""
    track: TrackFlags
    """Where else to tell of each epoch."""
    options: Mapping[str, Any]
    """Every flag by its name with the value that it came to, as `run.json` keeps it."""

    @property
    def one_machine(self) -> bool:
        """Whether all trials run on this machine, and not on a cluster."""
        return self.address is None


@dataclass(frozen=True)
class _Share:
    concurrency: int
    cpus: int
    gpus: float


def _share_out(
    flags: MachineFlags, num_cpus: int, num_gpus: int, node_cpus: int, trials_that_fit: int | None
) -> _Share:
    """How many trials run at a time, and what each has; `AskedStudy.settle` says the arguments."""
    gpus = _gpus_per_trial(flags, num_cpus, num_gpus, trials_that_fit)
    if gpus > num_gpus:
        raise UserError(f"--gpus-per-trial {gpus:g}: there are {num_gpus} GPUs here")
    if flags.cpus_per_trial is not None and flags.cpus_per_trial > node_cpus:
        raise UserError(f"--cpus-per-trial {flags.cpus_per_trial}: there are {node_cpus} cores here")
    if not gpus:
        most = min(MOST_ON_CPU, num_cpus, trials_that_fit or MOST_ON_CPU)
    elif gpus < 1:  # a trial is on one GPU
        most = num_gpus * int(1 / gpus)
    else:
        most = int(num_gpus / gpus)
    most = max(1, min(most, num_cpus // (flags.cpus_per_trial or 1)))
    concurrency = most if flags.concurrency == "auto" else flags.concurrency
    cpus = flags.cpus_per_trial or max(1, min(node_cpus, num_cpus // concurrency))
    if concurrency * cpus > num_cpus or concurrency * gpus > num_gpus:
        raise UserError(
            f"--concurrency {concurrency} with {cpus} cores and {gpus:g} GPUs a trial needs more than the {num_cpus} "
            f"cores and {num_gpus} GPUs here"
        )
    return _Share(concurrency, cpus, gpus)


def _gpus_per_trial(flags: MachineFlags, num_cpus: int, num_gpus: int, trials_that_fit: int | None) -> float:
    """As asked for; by default one where there is one, and with auto as many trials a GPU as fit and have cores."""
    if flags.gpus_per_trial is None or not num_gpus:
        return float(num_gpus > 0) if flags.gpus_per_trial in (None, "auto") else float(flags.gpus_per_trial)
    if flags.gpus_per_trial != "auto":
        return float(flags.gpus_per_trial)
    cores = num_cpus // (flags.cpus_per_trial or 1) // num_gpus
    if flags.concurrency == "auto":
        return 1 / max(1, min(MOST_ON_GPU, trials_that_fit or 1, cores))
    asked = -(-flags.concurrency // num_gpus)
    return 1 / max(1, min(MOST_ON_GPU, trials_that_fit or asked, cores, asked))


def num_cores() -> int:
    """Cores that this process may use."""
    return usable_cores()
