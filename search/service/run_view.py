"""A run as the page shows it: its trials in rows and curves, read from its logs, and again only where they changed."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from results.records.confusion import load_confusion
from results.records.presence import who_is_at
from results.records.progress import best_so_far, default_of, knobs, shown
from results.records.record import SearchRun
from results.records.run_folder import Line, RunFolder, load_run
from results.records.summary import RunSummary, began, run_names, summary
from results.records.trials import PLACED, last_time_budget, state_shown, statuses_of
from search.callbacks.live_table import read_pulse
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.report import TrialStatus, best_in, score_in
from trainables.saved.model_description import DESCRIPTION
from trainables.strict_json import RecordError

CURVES_SHOWN = 60
"""Curves in the picture of all trials: more hide each other, and each costs bytes."""
KNOBS = tuple(entry.name for entry in fields(TrialConfig) if entry.name != "backbone")


@dataclass(kw_only=True)
class TrialRow:
    """One trial as its lines tell of it."""

    trial_id: str
    config: dict[str, Any] = field(default_factory=dict)
    epochs: dict[int, dict[str, Any]] = field(default_factory=dict)
    """The line of each epoch."""
    state: TrialStatus = TrialStatus.RUNNING
    reason: str = ""
    places: list[str] = field(default_factory=list)
    """Machine and process of each worker that trained it, where that was noted."""

    @property
    def best(self) -> float:
        """The score of the best epoch; NaN if there is none."""
        return best_in(self.epochs)[1]

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are kept; 0 if no score is finite."""
        return best_in(self.epochs)[0]

    def score_curve(self) -> list[list[float | None]]:
        """Its score over the epochs, as points."""
        return [[epoch, number(score_in(self.epochs[epoch]), digits=4)] for epoch in sorted(self.epochs)]

    def curve(self, name: str) -> list[list[float | None]]:
        """A number of its lines over the epochs, as points; None where it was no number."""
        return [[epoch, number(self.epochs[epoch].get(name), digits=4)] for epoch in sorted(self.epochs)]


@dataclass(frozen=True, kw_only=True)
class RunView:
    """All that the page of a run shows, but for the pictures."""

    folder: RunFolder
    run: SearchRun
    summary: RunSummary
    trials: dict[str, TrialRow]
    best_curve: list[tuple[int, float]]
    time_budget: str | None
    """Of the process that was last at it, as it was typed; None for none."""
    signature: tuple[Any, ...]
    """Changes with the run's files."""

    @property
    def winner(self) -> TrialRow | None:
        """The best trial that has not failed."""
        return self.trials.get(self.summary.best_trial)

    def leaderboard(self, sort_by: str = "best", *, descending: bool = True, wanted: str = "") -> list[dict[str, Any]]:
        """Rows of all trials, every knob among them.

        Args:
            sort_by: Name of a column.
            descending: The highest first; what is not known stands last either way.
            wanted: Words that a row must hold.
        """
        rows = [self._row(trial) for trial in self.trials.values()]
        words = wanted.lower().split()
        rows = [row for row in rows if all(any(word in cell for cell in _cells(row)) for word in words)]
        known = [row for row in rows if row.get(sort_by) not in (None, "")]
        unknown = [row for row in rows if row.get(sort_by) in (None, "")]
        numbers = all(isinstance(row[sort_by], (int, float)) for row in known)
        known.sort(key=lambda row: row[sort_by] if numbers else str(row[sort_by]), reverse=descending)
        return known + unknown

    def _row(self, trial: TrialRow) -> dict[str, Any]:
        best_epoch, best = best_in(trial.epochs)
        seconds = sum(number(values.get("seconds")) or 0.0 for values in trial.epochs.values())
        row: dict[str, Any] = {
            "trial": trial.trial_id,
            "state": str(trial.state),
            "best": round(best, 4) if math.isfinite(best) else None,
            "epoch": f"{best_epoch}/{max(trial.epochs, default=0)}",
            "seconds": round(seconds, 1),
            "backbone": str(trial.config.get("backbone", "")),
        }
        for name in KNOBS:
            value = trial.config.get(name)
            row[name] = float(f"{value:.3g}") if isinstance(value, float) else value
        return row

    def curves(self) -> list[TrialRow]:
        """The trials whose curves are shown: the best, then others evenly by rank."""
        ranked = sorted(
            (trial for trial in self.trials.values() if trial.epochs),
            key=lambda trial: -trial.best if math.isfinite(trial.best) else math.inf,
        )
        step = -(-len(ranked) // CURVES_SHOWN)
        return ranked[::step] if step else []

    def settings(self) -> list[dict[str, Any]]:
        """The winner's configuration beside the default's; empty where one of them is not known."""
        winner = self.winner
        try:
            default = default_of(self.run)
            best = TrialConfig(**winner.config) if winner is not None else None
        except (UserError, TypeError, ValueError):
            return []
        if default is None or best is None:
            return []
        return [
            {"setting": knob.name, "default": shown(knob.first), "best": shown(knob.second), "differs": knob.differs}
            for knob in knobs(default, best)
        ]

    def pulse(self, trial_id: str) -> dict[str, Any]:
        """How far a running trial is within its epoch."""
        return read_pulse(self.folder.checkpoints, trial_id)

    def confusion(self, trial_id: str) -> tuple[tuple[str, ...], list[list[int]]] | None:
        """Classes and counts of a trial's best epoch; None where they were not kept."""
        with contextlib.suppress(RecordError, OSError):
            return load_confusion(self.folder.confusion_csv(trial_id))
        return None


class Watcher:
    """Reads runs, and keeps what it read until their files change; any number of browsers may ask at once."""

    def __init__(self, storage: Path) -> None:
        """Reads nothing yet.

        Args:
            storage: Folder of the runs.
        """
        self.storage = storage
        self._lock = threading.Lock()
        self._summaries: dict[str, tuple[tuple[Any, ...], RunSummary]] = {}
        self._views: dict[str, RunView] = {}

    def summaries(self) -> list[RunSummary]:
        """All runs, the one that began last first."""
        with self._lock:
            found = {}
            for name in run_names(self.storage):
                signature = _signature(self.storage / name)
                known = self._summaries.get(name)
                if known is None or known[0] != signature:
                    row = summary(self.storage / name)
                    known = None if row is None else (signature, row)
                if known is not None:
                    found[name] = known
            self._summaries = found
        return sorted((row for _, row in found.values()), key=began, reverse=True)

    def view(self, name: str) -> RunView:
        """One run in full.

        Raises:
            UserError: It is not there, or cannot be read; says why.
        """
        run_dir = self.storage / name
        with self._lock:
            signature = _signature(run_dir)
            known = self._views.get(name)
            if known is None or known.signature != signature:
                known = _read(run_dir, signature)
                others = [(other, view) for other, view in self._views.items() if other != name]
                self._views = {name: known, **dict(others[:3])}
            return known


def _cells(row: Mapping[str, Any]) -> list[str]:
    """What a row of the leaderboard shows, in lower case."""
    shown = row if row["best"] is None else {**row, "best": f"{row['best']:.4f}"}
    return [str(cell).lower() for cell in shown.values()]


def number(value: object, digits: int | None = None) -> float | None:
    """A finite number, rounded if asked to; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value) if digits is None else round(float(value), digits)


def _read(run_dir: Path, signature: tuple[Any, ...]) -> RunView:
    run, folder = load_run(run_dir), RunFolder(run_dir)
    epochs, events = folder.epochs(), folder.events()
    row = summary(run_dir, (epochs, events))
    if row is None:
        raise UserError(f"{run_dir} is gone")
    trials = _trials(epochs, events)
    is_searched = who_is_at(folder.presence) is not None
    for trial in trials.values():
        trial.state = state_shown(trial.state, is_searched=is_searched)
    failed = {trial.trial_id for trial in trials.values() if trial.state == TrialStatus.FAILED}
    return RunView(
        folder=folder,
        run=run,
        summary=row,
        trials=trials,
        best_curve=best_so_far(epochs, failed),
        time_budget=last_time_budget(run, events),
        signature=signature,
    )


def _trials(epochs: Sequence[Line], events: Sequence[Line]) -> dict[str, TrialRow]:
    trials: dict[str, TrialRow] = {}
    for line in (*events, *epochs):
        config = line.values.get("config")
        if isinstance(config, dict):
            trials.setdefault(line.trial_id, TrialRow(trial_id=line.trial_id, config=config))
    for line in events:
        if line.values.get("event") == PLACED and line.trial_id in trials:
            pid = line.values.get("pid")
            where = str(line.values.get("node", "")) + (f", process {pid}" if pid else "")
            if where not in trials[line.trial_id].places:
                trials[line.trial_id].places.append(where)
    for line in epochs:
        trial = trials.setdefault(line.trial_id, TrialRow(trial_id=line.trial_id))
        if isinstance(line.values.get("epoch"), int):
            trial.epochs[line.values["epoch"]] = line.values
    for trial_id, (status, reason) in statuses_of(epochs, events).items():
        if trial_id in trials:
            trials[trial_id].state, trials[trial_id].reason = status, reason or ""
    return dict(sorted(trials.items()))


def _signature(run_dir: Path) -> tuple[Any, ...]:
    """Changes whenever a file does that a run is read from."""
    folder = RunFolder(run_dir)
    found: list[Any] = []
    files = (folder.run_json, folder.trials_jsonl, folder.events_jsonl, folder.report_html)
    for path in (*files, folder.retrained.path / DESCRIPTION):
        try:
            state = path.stat()
            found.append((state.st_mtime_ns, state.st_size))
        except OSError:
            found.append(None)
    return (*found, who_is_at(folder.presence), who_is_at(folder.retrained.presence))
