"""The commands that the page starts, as lists of words: no shell reads them, so a name is never more than a name."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

from results.records.scorings import readme_of
from search.flags import ROOT, RUN_NAME, TIME_BUDGET
from spaces import SPACES
from trainables.errors import UserError
from trainables.machine.home import can_write

NUMBERS = ("trials", "epochs", "image_size", "batch_size", "concurrency", "seed")
"""Flags of a search that take a whole number."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the page's commands read and write."""

    storage: Path
    """Folder of the runs."""
    bucket: str | None = None
    """Where the runs are mirrored to, as in `s3://bucket/folder`; None for a folder alone."""
    readme: Path
    """Of new searches."""
    cache_dir: Path
    roots: tuple[Path, ...]
    """Pictures may be read below these folders alone."""
    timezone: str | None = None
    """Of the dates in the table."""
    is_readme_named: bool = False
    """Whether the user has named the README, so that it is that of all runs; a run has one of its own otherwise."""
    on_cluster: bool = False
    """Whether a Ray cluster runs the commands: what trains then joins the cluster that it runs on."""

    def readme_of(self, run: str) -> Path:
        """The README that a run's row is in: its own, where it has one that can be written."""
        run_dir, own = self.run_dir(run), None
        with contextlib.suppress(UserError, OSError):  # what is broken can be deleted, too
            own = None if self.is_readme_named else readme_of(run_dir)
        return own if own is not None and can_write(own.parent) else self.readme

    def flags(self, run: str = "") -> list[str]:
        """As the commands take them.

        Args:
            run: Name of a run that there is, which has a README of its own.
        """
        is_usual = self.bucket is not None and self.readme == self.storage / "README.md"  # which goes there, too
        has_own = bool(run) and self.readme_of(run) != self.readme
        readme = [] if is_usual or has_own else [f"--readme={self.readme}"]
        timezone = [f"--timezone={self.timezone}"] if self.timezone else []
        return [self.storage_flag, *readme, f"--cache-dir={self.cache_dir}", *timezone]

    @property
    def storage_flag(self) -> str:
        """Where the runs are, as the commands take it."""
        return f"--storage={self.bucket or self.storage}"

    @property
    def cluster_flags(self) -> list[str]:
        """What has a command train on the cluster that runs it."""
        return ["--address=auto"] if self.on_cluster else []

    def run_dir(self, name: str) -> Path:
        """The folder of a run by its name.

        Raises:
            UserError: It is no name of a run here.
        """
        path = self.storage / name
        if not RUN_NAME.fullmatch(name) or not (path / "run.json").is_file():
            raise UserError(f"there is no run {name!r} in {self.storage}")
        return path

    def pictures(self, asked: str) -> Path:
        """A folder or CSV of pictures that may be read.

        Raises:
            UserError: It is not there, or not below one of the roots, links followed.
        """
        try:
            path = Path(asked.strip()).expanduser().resolve()
            there = path.exists()
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{asked!r} is no path") from error
        if not any(path.is_relative_to(root) for root in (*self.roots, self.cache_dir)):
            raise UserError(
                f"{path} does not lie below {', '.join(map(str, self.roots))}: the page reads nothing else. Start it "
                "with --roots to allow more"
            )
        if not there:
            raise UserError(f"{path} does not exist")
        return path


@dataclass(frozen=True, kw_only=True)
class AskedSearch:
    """A new search as the form has it; empty fields are left to the command."""

    data: str = ""
    """Folder or CSV; empty for the built-in demo set."""
    space: str = "efficientnet"
    name: str = ""
    trials: str = ""
    epochs: str = ""
    time_budget: str = ""
    image_size: str = ""
    batch_size: str = ""
    concurrency: str = ""
    seed: str = ""
    group_regex: str = ""
    weights: str = ""
    """Empty, or none."""

    def flags(self, places: Places) -> list[str]:
        """As search/run.py takes them.

        Raises:
            UserError: A value cannot be one.
        """
        if self.space not in SPACES:
            raise UserError(f"there is no space {self.space!r}: a space of your own is for the command line")
        flags = [f"--space={self.space}"]
        if self.data.strip():
            flags.append(f"--data={places.pictures(self.data)}")
        if self.name:
            if not RUN_NAME.fullmatch(self.name):
                raise UserError(f"the name {self.name!r}: letters, digits, '.', '_' and '-', a letter or digit first")
            flags.append(f"--name={self.name}")
        for field in NUMBERS:
            if value := str(getattr(self, field) or "").strip():
                flags.append(f"--{field.replace('_', '-')}={_number(field, value)}")
        if budget := self.time_budget.strip():
            if not TIME_BUDGET.fullmatch(budget):
                raise UserError(f"the time budget {budget!r}: seconds, or a number with s, m or h, as in 15m")
            flags.append(f"--time-budget={budget}")
        if self.group_regex.strip():
            flags.append(f"--group-regex={self.group_regex.strip()}")
        if self.weights:
            if self.weights not in ("auto", "none"):
                raise UserError("weights are auto or none here: a folder of them is for the command line")
            flags.append(f"--weights={self.weights}")
        return flags


def search_command(asked: AskedSearch, places: Places) -> list[str]:
    """Begins a new search."""
    return [*_script("search/run.py"), *asked.flags(places), *places.flags(), *places.cluster_flags]


def check_command(asked: AskedSearch, places: Places) -> list[str]:
    """Says what a search would do, and does not begin it."""
    return [*search_command(asked, places), "--check"]


def resume_command(name: str, places: Places, add_trials: int = 0, time_budget: str = "") -> list[str]:
    """Goes on with a run, with more trials or for more time if asked to."""
    places.run_dir(name)
    more = [f"--add-trials={_number('add_trials', str(add_trials))}"] if add_trials else []
    more += [f"--time-budget={time_budget}"] if time_budget else []
    return [*_script("search/run.py"), f"--resume={name}", *more, *places.flags(name), *places.cluster_flags]


def retrain_command(name: str, places: Places) -> list[str]:
    """Trains the best of a run again, and scores the pick."""
    places.run_dir(name)
    return [*_script("scripts/retrain.py"), f"--run={name}", *places.flags(name), *places.cluster_flags]


def remove_command(name: str, places: Places) -> list[str]:
    """Deletes a run, which the page has asked about."""
    places.run_dir(name)
    return [
        *_script("scripts/runs.py"),
        "rm",
        name,
        "--yes",
        f"--storage={places.storage}",  # of runs in a bucket what is here
        f"--readme={places.readme_of(name)}",
    ]


def predict_command(name: str, data: Path, out: Path, places: Places) -> list[str]:
    """Answers pictures with the model of a run, the re-trained one where there is one; decoded beside the answers."""
    decoded = out.with_name("decoded")
    words = [str(places.run_dir(name)), f"--data={data}", f"--out={out}", "--proba", f"--cache-dir={decoded}"]
    return [*_script("scripts/predict.py"), *words]


def _script(name: str) -> list[str]:
    return [sys.executable, str(ROOT / name)]


def _number(field: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise UserError(f"{field.replace('_', ' ')} is {value!r}: it must be a whole number")
    return int(value)
