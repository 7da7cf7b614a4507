"""Tries again what a team that won with these pictures tried, over several seeds, with intervals, on any pictures.

    python scripts/studies.py --quick                   # all studies on the built-in data, in about half an hour
    python scripts/studies.py                           # the same with more pixels, epochs and seeds: overnight
    python scripts/studies.py --data DIR --studies dropout,imbalance --seeds 5

A study compares a few ways to train (scripts/study/study_list.py). For each seed people (or pictures, where the data
name nobody) are held out, every way trains on the others, for a number of epochs settled before, and all are scored on
those held out; nothing is picked by that score. Each study ends with results/studies/<name>-<study>.md and a figure
beside it. Stopped and started again, it goes on where it was; more --seeds add to what is there.
"""

from __future__ import annotations

import math
import re
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

STARTED = time.monotonic()
ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro
from rich.console import Console

from scripts.terminal import run_command, voiced
from search.flags import CacheFlags, MachineFlags, help_default
from search.machine.address import given_address
from search.study import AskedStudy
from search.terminal import VoiceFlags
from trainables.data.manifest import DataConfig
from trainables.errors import UserError

if TYPE_CHECKING:
    from scripts.study.study_list import Study
    from search.machine.ray_session import RaySession

QUICK_SEEDS, SEEDS = 3, 10
QUICK_EPOCHS, QUICK_IMAGE_SIZE = 4, 48
CPU_EPOCHS, GPU_EPOCHS = 6, 27
PLACES = ("--data", "--corrections", "--weights", "--out", "--storage", "--cache-dir")
"""Flags whose values are folders or files of one machine."""
FEWEST_SEEDS = 2
"""One repeat has no interval."""


@dataclass(frozen=True, kw_only=True)
class StudiesConfig:
    """What to try again, how often, and where."""

    studies: Annotated[str, help_default("all that the data allow")] = ""
    """Only these, with commas between: dropout, split, formulation, families, augmentation, imbalance."""
    arms: Annotated[str, help_default("all")] = ""
    """Only these arms of one study, with commas between; the first of the study always comes along."""
    quick: bool = False
    """48 px, 4 epochs and 3 seeds, where those are not given."""
    seeds: Annotated[int | None, help_default("10, 3 with --quick")] = None
    """Repeats of every training, each with people, or pictures, of its own to hold out; 2 or more."""
    seed: int = 0
    """First of the seeds."""
    backbone: str = "tf_efficientnet_lite0"
    """timm name of the network of all studies but that of the families."""
    families: Annotated[str, help_default("the smallest of each family")] = ""
    """Backbones of the study of families, with commas between; the first sets the time."""
    image_size: Annotated[int | None, help_default("96 without a GPU, 224 with one")] = None
    """Side of the square picture the network sees, in pixels."""
    epochs: Annotated[int | None, help_default("6 without a GPU, 27 with one")] = None
    """Epochs of a training."""
    batch_size: Annotated[int | None, help_default("32 without a GPU, 64 with one")] = None
    """Pictures in a training batch."""
    weights: str = "auto"
    """auto (hub cache, package, hub; else random), none (random), or a folder of <timm name>.safetensors."""
    name: Annotated[str | None, help_default("that of the data, numbered where others have it; or demo")] = None
    """What the files in --out begin with, and the folder in --storage."""
    out: Annotated[Path, help_default("results/studies")] = Path("results/studies")
    """Folder of the pages and figures."""
    storage: Annotated[Path, help_default("runs/studies")] = Path("runs/studies")
    """Folder of the trainings, so that what is done is not done again."""

    def __post_init__(self) -> None:
        if self.seeds is not None and self.seeds < FEWEST_SEEDS:
            raise UserError(f"--seeds is {self.seeds}: it must be at least {FEWEST_SEEDS}, one has no interval")
        if self.arms and len(words(self.studies)) != 1:
            raise UserError("--arms are those of one study: say which by --studies NAME")

    @property
    def seed_list(self) -> list[int]:
        """One seed a repeat."""
        return [self.seed + number for number in range(self.seeds or (QUICK_SEEDS if self.quick else SEEDS))]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Try again what a competition's team tried, with intervals."""

    studies: tyro.conf.OmitArgPrefixes[StudiesConfig] = field(default_factory=StudiesConfig)
    machine: tyro.conf.OmitArgPrefixes[MachineFlags] = field(default_factory=MachineFlags)
    cache: tyro.conf.OmitArgPrefixes[CacheFlags] = field(default_factory=CacheFlags)
    data: tyro.conf.OmitArgPrefixes[DataConfig] = field(default_factory=DataConfig)
    voice: tyro.conf.OmitArgPrefixes[VoiceFlags] = field(default_factory=VoiceFlags)

    def __post_init__(self) -> None:
        self.asked("any")  # raises for values that a search would not take either

    def asked(self, name: str) -> AskedStudy:
        """As the flags of a search, for trainings of this name."""
        config = self.studies
        flags = {
            "image_size": config.image_size or (QUICK_IMAGE_SIZE if config.quick else None),
            "epochs": config.epochs or (QUICK_EPOCHS if config.quick else None),
            "batch_size": config.batch_size,
            "seed": config.seed,
            "weights": config.weights,
            "keep": 0,
            "name": config.name or name,
            "storage": config.storage,
        }
        return AskedStudy.of(**flags, **vars(self.machine), **vars(self.cache)).absolute()


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and runs the studies; a user's mistake is one message and exit code 2."""
    given = sys.argv[1:] if args is None else args
    command = shlex.join(["python", "scripts/studies.py", *without_places(given)])
    return run_command(
        Options,
        lambda options: voiced(
            options.voice, lambda console: run(options, options.data.absolute(), command, console), STARTED
        ),
        args,
        prog="scripts/studies.py",
    )


def run(options: Options, data: DataConfig, command: str, console: Console) -> int:
    """Joins the cluster, if there is one, and runs the pipeline there."""
    from search.machine.ray_session import ray_session

    with ray_session(given_address(options.machine.address)) as session:
        return study_all(options, data, command, session, console)


def study_all(options: Options, data: DataConfig, command: str, session: RaySession, console: Console) -> int:
    """The pipeline: studies, pictures, weights, trainings, pages."""
    from results.records.shelf import BUILT_IN, place_hash
    from scripts.study.pages import name_for_pages, page_of_others
    from scripts.study.study_list import FAMILIES, all_studies, default_config

    config = options.studies
    families = words(config.families) or FAMILIES
    studies = all_studies(families)
    asked_for = choose(studies, words(config.studies), words(config.arms))
    base = default_config(config.backbone)
    out = config.out.expanduser().resolve()
    source, place = (data.data.name, place_hash(data.data)) if data.data else (BUILT_IN, "built-in")
    if config.name and (page := page_of_others(out, config.name, studies, place, source)):
        raise UserError(f"{page} is of other data: give another --name, or another --out")
    called = as_run_name(source.removesuffix(".csv")) if data.data else "demo"
    name = config.name or name_for_pages(out, called, studies, place, source)
    asked = options.asked(name).where_told()

    from search.checks import check_device
    from search.hold import hold
    from search.prepare import prepare_data, refuse_leaks
    from search.stop import StopRequest
    from search.terminal import say, warn

    session.look_at_nodes(asked, console, math.inf)
    machine = partial(AskedStudy.settle, num_cpus=session.cluster.num_cpus, num_gpus=session.cluster.num_gpus)
    study = machine(asked, rooms=session.rooms())
    if study.epochs_open:
        asked = asked.replace(epochs=GPU_EPOCHS if study.gpus_per_trial else CPU_EPOCHS)
        study = machine(asked, rooms=session.rooms())
    check_device(study)
    prepared = prepare_data(
        data, study.split, seed=study.seed, image_size=study.image_size, cache_path=study.cache_path, console=console
    )
    for warning in [*prepared.warnings, *refuse_leaks(prepared, allowed=True)]:
        warn(console, warning)
    chosen = []
    for one in asked_for:
        problem = unfit(one, has_attributes=bool(prepared.manifest.attributes), has_groups=prepared.manifest.has_groups)
        if problem and config.studies:
            raise UserError(problem)
        if problem:
            warn(console, f"{problem}: left out")
        else:
            chosen.append(one)

    from scripts.study.study_runner import Setting, held_out_split, run_study, settle_weights

    folder = study.runs_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    setting = Setting(
        name=name,
        command=command,
        base=base,
        held_out={seed: held_out_split(prepared.manifest, seed) for seed in config.seed_list},
        manifest=prepared.manifest,
        cache=prepared.cache,
        source=source,
        place=place,
        study=study,
        folder=folder,
        out=out,
    )
    plans = [settle_weights(one, setting, console) for one in chosen]
    stop, failed = StopRequest(), 0
    with hold(folder, "studied"):
        for plan in plans:
            studied = run_study(plan, setting, session, stop, console)
            if studied is None:
                warn(console, f"{stop.reason}: the same command goes on where this ended")
                return 1
            say(console, f"{studied.page}")
            failed += studied.failed
    if failed:
        warn(console, f"{failed} training{'s' if failed > 1 else ''} failed, as said above")
    return 1 if failed else 0


def as_run_name(text: str) -> str:
    """The name of a folder of pictures as that of a run, which may not hold all that theirs may."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).lstrip("_.-") or "data"


def without_places(words: Sequence[str]) -> list[str]:
    """A command line as a page may show it: DIR or FILE.csv in place of the places of one machine."""
    shown: list[str] = []
    place_follows = False
    for word in words:
        flag, equals, value = word.partition("=")
        is_place = flag.replace("_", "-") in PLACES
        if place_follows:
            shown.append(_as_place(word))
        elif is_place and equals:
            shown.append(f"{flag}={_as_place(value)}")
        else:
            shown.append(word)
        place_follows = is_place and not equals
    return shown


def _as_place(value: str) -> str:
    if value in ("auto", "none"):  # of --weights
        return value
    return "FILE.csv" if value.endswith(".csv") else "DIR"


def choose(studies: dict[str, Study], names: Sequence[str], arms: Sequence[str]) -> list[Study]:
    """The studies of these names, all where there are none, and of one study the arms of these names.

    Raises:
        UserError: There is no such study or arm; names those there are.
    """
    if unknown := [name for name in names if name not in studies]:
        raise UserError(f"--studies has {', '.join(unknown)}: the studies are {', '.join(studies)}")
    chosen = [study for name, study in studies.items() if name in names or not names]
    if not arms:
        return chosen
    there = [arm.name for arm in chosen[0].arms]
    if unknown := [arm for arm in arms if arm not in there]:
        raise UserError(f"--arms has {', '.join(unknown)}: the arms of {chosen[0].name} are {', '.join(there)}")
    first, *others = chosen[0].arms
    kept = (first, *(arm for arm in others if arm.name in arms))
    if len(kept) < 2:
        raise UserError(f"--arms {', '.join(arms)}: name one more, {first.name} is what others are compared with")
    return [replace(chosen[0], arms=kept)]


def unfit(study: Study, *, has_attributes: bool, has_groups: bool) -> str:
    """Why the data do not allow a study, and the way out; empty if they do."""
    if study.needs == "attributes" and not has_attributes:
        return (
            f"the study {study.name} needs classes made of attributes: name the CSV's columns that make them, as in "
            "--attributes mask gender age"
        )
    if study.needs == "groups" and not has_groups:
        return f"the study {study.name} needs groups (people): name them in a column group, or by --group-regex"
    return ""


def words(text: str) -> list[str]:
    """What stands between the commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


if __name__ == "__main__":
    sys.exit(main())
