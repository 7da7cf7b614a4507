"""How to search: as the command line said it, and as it is settled for the machine at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import tyro

from search.cost_flags import CostFlags
from search.engine.rungs import DEFAULT_REDUCTION_FACTOR, default_grace_period
from search.flags import MachineFlags, PlaceFlags, RunFlags, SearchFlags, SplitFlags
from search.machine.address import given_address
from search.machine.placement import Room, kinds_of, share_of_machine, share_on_nodes
from search.track_flags import TrackFlags
from trainables.config import Precision
from trainables.machine.cores import usable_cores
from trainables.settings import restore

DEFAULT_EPOCHS = 30
"""Of a trial, as long as the pictures are not known (`suit_lengths`)."""


@dataclass(frozen=True, kw_only=True)
class AskedStudy:
    """What the command line said; what it left out is settled from the machine at hand."""

    search: tyro.conf.OmitArgPrefixes[SearchFlags] = field(default_factory=SearchFlags)
    cost: tyro.conf.OmitArgPrefixes[CostFlags] = field(default_factory=CostFlags)
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
        """From the options of a run's `run.json`; flags that it does not know have their defaults.

        A trial with several GPUs, which were allowed once, has the one that it trained on. What a resume has added is
        not asked for again.
        """
        options = {**options, "add_trials": 0}
        gpus = options.get("gpus_per_trial")
        if isinstance(gpus, int | float):
            options = {**options, "gpus_per_trial": min(1.0, gpus)}
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

    def where_told(self) -> AskedStudy:
        """The same settings on the cluster that the environment names, where no `--address` is given.

        Raises:
            ClusterError: The environment names an address that is for jobs.
        """
        return replace(self, machine=replace(self.machine, address=given_address(self.machine.address)))

    def settle(
        self,
        num_cpus: int,
        num_gpus: int,
        *,
        rooms: Sequence[Room] | None = None,
        num_configs: int | None = None,
        trials_that_fit: int | None = None,
    ) -> SettledStudy:
        """Fills in what was left open, from the cores and GPUs at hand.

        Args:
            num_cpus: Cores of this machine; of no matter where there are rooms.
            num_gpus: GPUs of this machine; likewise.
            rooms: What each node of a cluster has for trials; None for this machine.
            num_configs: Configurations that the space has, if they are so few that all can be tried.
            trials_that_fit: Trials that have room at the same time in the memory of one GPU, or of this machine
                where they have none; None where that is not known.

        Raises:
            UserError: More is asked for than there is.
        """
        search = self.search
        gpu = num_gpus > 0 if rooms is None else any(room.num_gpus for room in rooms)
        gpu = gpu and self.machine.gpus_per_trial != 0
        if rooms is not None:
            share = share_on_nodes(self.machine, rooms, search.trials, trials_that_fit)
        else:
            if (search.trials or num_configs) and not gpu:  # one trial has all cores
                trials_that_fit = min(filter(None, (search.trials, num_configs, trials_that_fit)))
            share = share_of_machine(self.machine, num_cpus, num_gpus, trials_that_fit)
        epochs = search.epochs or DEFAULT_EPOCHS
        follows = rooms is not None and self.machine.concurrency == "auto"  # what nodes there are, in a resume too
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
            metric=search.metric_name,
            backbones=search.backbone_names,
            formulations=search.formulations,
            flips=search.flips,
            weight_of_attribute=search.weight_of_attribute,
            grace_period=search.grace_period or default_grace_period(epochs),
            reduction_factor=search.reduction_factor or DEFAULT_REDUCTION_FACTOR,
            time_budget_seconds=search.time_budget_seconds,
            trials_open=search.trials is None,
            epochs_open=search.epochs is None,
            grace_open=search.grace_period is None,
            cores_open=(
                self.machine.concurrency == "auto"
                and self.machine.cpus_per_trial is None
                and self.machine.address is None
                and not share.gpus
            ),
            cores=num_cpus,
            compile=search.compile,
            precision=search.precision,
            weights=search.weights,
            seed=search.seed,
            cost=self.cost,
            split=self.split,
            name=self.run.name or "",
            keep=self.run.keep,
            single=self.run.single,
            mirror=not self.run.no_mirror,
            refit=not self.run.no_refit,
            address=self.machine.address,
            runs_dir=self.places.runs_dir,
            readme_path=self.places.readme_path,
            records_dir=self.places.records_dir,
            timezone=self.places.timezone,
            cache_path=self.places.cache_path,
            history_path=self.history_path,
            track=self.track,
            concurrency_open=self.machine.concurrency == "auto",
            kinds=kinds_of(rooms or (), share),
            options={**self.flat(), **settled, **({"concurrency": "auto"} if follows else {})},
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
    "cost": CostFlags,
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
    flips: bool
    """Whether pictures may be mirrored, as the space proposes."""
    metric: str
    """What is maximized, as in `TaskConfig`."""
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
    cores_open: bool
    """Whether a short time budget may give a trial more: on this machine, where trials share nothing but cores."""
    cores: int
    """Of this machine, which they share then."""
    compile: bool
    precision: Precision
    weights: str
    """auto, none, or a folder."""
    seed: int
    cost: CostFlags
    """What a network may cost to answer, and whether that counts."""
    split: SplitFlags
    name: str
    """Name of the run; empty for the space and the time."""
    keep: int
    """Trials whose best weights stay on disk."""
    single: bool
    """Whether the model is the best trial alone."""
    mirror: bool
    """Whether the model may answer to a second view of each picture."""
    refit: bool
    """Whether the model is trained further, with the validation pictures as well, at the end."""
    concurrency: int
    """Trials at the same time."""
    concurrency_open: bool
    """Whether it was left open, and so follows the nodes of a cluster."""
    kinds: Mapping[str, int]
    """On a cluster: hardware in words to the number of trials at a time on such nodes; empty on this machine."""
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
    epochs_that_fit: float = 0.0
    """Epochs of the default configuration for which a time budget has room in each place, as `suit_lengths` expects; 0
    where nobody knows."""

    def with_fewer_at_a_time(self, concurrency: int) -> SettledStudy:
        """The same with no more trials than that at a time, which share all cores; as it is where they may not."""
        if not self.cores_open or concurrency >= self.concurrency:
            return self
        cpus = self.cores // concurrency
        options = {**self.options, "concurrency": concurrency, "cpus_per_trial": cpus}
        return replace(self, concurrency=concurrency, cpus_per_trial=cpus, options=options)

    @property
    def rounds(self) -> int:
        """Full lengths for which a time budget has room in each place, one after another; 1 where nobody knows."""
        return max(1, int(self.epochs_that_fit / self.epochs))

    @property
    def networks_that_fit(self) -> int:
        """Trials of full length for which a time budget has room."""
        return self.concurrency * self.rounds

    @property
    def fills_its_budget(self) -> bool:
        """Whether there are more trials than the time budget has room for, so that it is what ends the search."""
        return self.trials_open and math.isfinite(self.time_budget_seconds)

    @property
    def goes_on(self) -> bool:
        """Whether a trial may go on beyond its `epochs`, where the time left has no room for another."""
        return self.fills_its_budget and self.epochs_open

    @property
    def one_machine(self) -> bool:
        """Whether all trials run on this machine, and not on a cluster."""
        return self.address is None


def num_cores() -> int:
    """Cores that this process may use."""
    return usable_cores()
