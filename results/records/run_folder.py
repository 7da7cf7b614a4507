"""Reads a run folder: the search, its trials, and its best trial at the best epoch, not the last.

A run folder holds `run.json` (a `SearchRun`), `trials.jsonl` (a line an epoch report) and `events.jsonl` (a
line a turn in a trial's life). The last two are written while the search runs, and a kill may cut their last
line short: a broken last line is passed over, and a broken line anywhere else is an error. After a resume an
epoch may stand there twice, and then its last line counts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from results.records.cost import search_cost
from results.records.record import BestTrial, SearchRun, epoch_report, trial_config
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.report import METRIC, EpochReport
from trainables.strict_json import RecordError, load_object, parse

PAUSE_SECONDS = 600.0
"""A stretch this long in which nothing was reported and no epoch ran lies between a kill and a resume, not in
the search; decoding or loading weights in between takes less."""

STATUSES = ("running", "finished", "stopped", "failed", "interrupted")
"""States of a trial; finished means that it trained all its epochs, stopped that the scheduler ended it."""

_WAY_OUT = "delete that line and try again, or start a new search if another version wrote the file"
_REPORT_FIELDS = frozenset(field.name for field in fields(EpochReport))


class RunError(UserError):
    """A run folder is missing or not readable; names the file, the line and the way out."""


@dataclass(frozen=True, kw_only=True)
class TrialHistory:
    """One trial as far as it got."""

    trial_id: str
    """Name of the trial in its run."""
    config: TrialConfig
    """What was searched."""
    reports: tuple[EpochReport, ...]
    """One report an epoch, in the order of epochs; empty if it ended before the first."""
    status: str
    """One of `STATUSES`, by the last thing known of it."""
    reason: str | None
    """Why it failed or was stopped, if that was said."""

    @property
    def best(self) -> EpochReport | None:
        """The report with the highest finite macro-F1, the first of equals; None if there is none."""
        finite = (report for report in self.reports if math.isfinite(_score(report)))
        return max(finite, key=_score, default=None)


def load_run(run_dir: Path) -> SearchRun:
    """Reads how a search was started.

    Raises:
        RunError: There is no such run.
        RecordError: `run.json` is corrupt.
    """
    path = run_dir / "run.json"
    if not path.is_file():
        siblings = sorted(found.parent.name for found in run_dir.parent.glob("*/run.json"))
        problem = "holds no run.json, so it is not a run" if run_dir.is_dir() else "does not exist"
        raise RunError(
            f"{run_dir} {problem}: name one of the runs in {run_dir.parent} "
            f"({', '.join(siblings) or 'none'}), or start a search with search/run.py"
        )
    return SearchRun.from_json(load_object(path), str(path))


def load_trials(run_dir: Path) -> list[TrialHistory]:
    """Reads the trials of a run in the order of their ids; a run without any report yet has none.

    A trial that ended before its first epoch is listed if one of its events carries its `config`.

    Raises:
        RunError: A line is corrupt; names the file, the line and the way out.
    """
    return _histories(_read_lines(run_dir / "trials.jsonl"), _read_lines(run_dir / "events.jsonl"))


def best_trial(run_dir: Path) -> BestTrial | None:
    """The best trial of a run at its best epoch: highest finite macro-F1 of all, the first trial of equals.

    A trial that failed, by diverging say, does not count, whatever it had reached before.

    Returns:
        The record, without the paths of this machine; None if no epoch of the run has a finite score.

    Raises:
        RunError: There is no such run, or a line of it is corrupt.
        RecordError: `run.json` is corrupt.
    """
    run = load_run(run_dir).portable()
    lines, events = _read_lines(run_dir / "trials.jsonl"), _read_lines(run_dir / "events.jsonl")
    trials = _histories(lines, events)
    scored = [(trial, best) for trial in trials if trial.status != "failed" and (best := trial.best) is not None]
    if not scored:
        return None
    trial, report = max(scored, key=lambda pair: _score(pair[1]))
    cost = search_cost(run, trials)
    return BestTrial(
        run=run.name,
        space=run.space,
        date=run.started,
        trial_id=trial.trial_id,
        config=trial.config,
        report=report,
        epochs_trained=trial.reports[-1].epoch,
        task=run.task,
        data=run.data,
        split_hash=run.split_hash,
        weights=run.weights.get(trial.config.backbone, "random"),
        weights_note=run.weights_note,
        history=run.history,
        trials=_counts(run.trials_asked, trials, events),
        wall_seconds=_wall_seconds(run.started, lines, events),
        device_seconds=cost.device_seconds,
        seed=run.task.seed,
        versions=run.versions,
        commit=run.commit,
        hardware=run.hardware,
        search_epochs=cost.epochs,
        epochs_saved=cost.epochs_saved,
        images_trained=cost.images_trained,
        energy_joules=cost.energy_joules,
        compile_seconds=cost.compile_seconds,
    )


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One line of a run's file, of which the keys that all lines share are checked."""

    where: str
    trial_id: str
    time: datetime
    values: dict[str, Any]


def _read_lines(path: Path) -> list[_Line]:
    if not path.is_file():
        return []
    rows = path.read_bytes().rstrip(b"\n").split(b"\n")
    lines = []
    for number, row in enumerate(rows, start=1):
        if not row.strip():
            continue
        where = f"{path}, line {number}"
        try:
            values = parse(row)
        except (ValueError, RecursionError) as error:
            if number == len(rows):
                break  # cut short by a kill
            raise RunError(f"{where} is not valid JSON ({error}): {_WAY_OUT}") from error
        lines.append(_line(values, where))
    return lines


def _line(values: Any, where: str) -> _Line:
    if not isinstance(values, dict):
        raise RunError(f"{where} is no JSON object: {_WAY_OUT}")
    trial_id, time = values.get("trial_id"), values.get("time")
    if not isinstance(trial_id, str) or not trial_id:
        raise RunError(f"{where}: trial_id is {trial_id!r}, it must be a text: {_WAY_OUT}")
    try:
        moment = datetime.fromisoformat(time)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RunError(f"{where}: time is {time!r}, it must be ISO 8601 with its offset: {_WAY_OUT}")
    return _Line(where=where, trial_id=trial_id, time=moment, values=values)


def _histories(lines: Sequence[_Line], events: Sequence[_Line]) -> list[TrialHistory]:
    reports: dict[str, dict[int, EpochReport]] = {}
    configs: dict[str, TrialConfig] = {}
    last_line = {line.trial_id: line for line in lines}
    last_event = {event.trial_id: event for event in events if _ended(event) or _began(event)}
    for line in (*events, *lines):
        if line.values.get("config") is not None and line.trial_id not in configs:
            configs[line.trial_id] = _explained(trial_config, line.values["config"], f"{line.where}: config")
    for line in lines:
        if line.trial_id not in configs:
            raise RunError(
                f"{line.where}: no line gives the config of trial {line.trial_id!r}: "
                "delete the lines of that trial and try again"
            )
        report = _report(line)
        reports.setdefault(line.trial_id, {})[report.epoch] = report
    histories = []
    for trial_id in sorted(configs):
        status, reason = _status(last_line.get(trial_id), last_event.get(trial_id))
        by_epoch = reports.get(trial_id, {})
        histories.append(
            TrialHistory(
                trial_id=trial_id,
                config=configs[trial_id],
                reports=tuple(by_epoch[epoch] for epoch in sorted(by_epoch)),
                status=status,
                reason=reason,
            )
        )
    return histories


def _report(line: _Line) -> EpochReport:
    values = {name: value for name, value in line.values.items() if name in _REPORT_FIELDS}
    return _explained(epoch_report, values, line.where)


def _explained(read: Any, values: object, where: str) -> Any:
    try:
        return read(values, where)
    except RecordError as error:
        raise RunError(f"{error}: {_WAY_OUT}") from error


def _began(event: _Line) -> bool:
    return event.values.get("event") == "started"


def _ended(event: _Line) -> bool:
    return event.values.get("event") in STATUSES


def _status(line: _Line | None, event: _Line | None) -> tuple[str, str | None]:
    """The state that the later of a trial's last line and last event leaves it in, and the reason given."""
    if event is not None and _ended(event) and (line is None or event.time >= line.time):
        reason = event.values.get("reason")
        return event.values["event"], None if reason is None else str(reason)
    if line is None:
        return "running", None
    status = line.values.get("status")
    if status not in STATUSES:
        raise RunError(f"{line.where}: status is {status!r}, it must be one of {', '.join(STATUSES)}: {_WAY_OUT}")
    return status, None


def _counts(asked: int, trials: Sequence[TrialHistory], events: Sequence[_Line]) -> dict[str, int]:
    status = {event.trial_id: _status(None, event)[0] for event in events if _ended(event) or _began(event)}
    status |= {trial.trial_id: trial.status for trial in trials}
    by_status = Counter(status.values())
    ended = {name: by_status[name] for name in ("finished", "stopped", "failed")}
    return {"asked": asked, **ended, "total": len(status)}


def wall_seconds(folder: Path, names: Collection[str]) -> float:
    """Seconds from the first event of some trials of a folder to their last report, without long pauses."""
    lines, events = (
        [line for line in _read_lines(folder / log) if line.trial_id in names]
        for log in ("trials.jsonl", "events.jsonl")
    )
    return _wall_seconds(min(event.time for event in events).isoformat(), lines, events) if events else 0.0


def _wall_seconds(started: str, lines: Sequence[_Line], events: Sequence[_Line]) -> float:
    """Seconds from the start to the last report, less the pauses of `PAUSE_SECONDS` and more."""
    total, reached = 0.0, datetime.fromisoformat(started).timestamp()
    for end, seconds in sorted(_moments(lines, events)):
        idle = end - seconds - reached
        if idle >= PAUSE_SECONDS:
            reached += idle
        total += max(0.0, end - reached)
        reached = max(reached, end)
    return round(total, 3)


def _moments(lines: Sequence[_Line], events: Sequence[_Line]) -> Iterator[tuple[float, float]]:
    """When something was reported, and how many seconds of work that closed."""
    for line in lines:
        yield line.time.timestamp(), float(line.values["seconds"] or 0)
    for event in events:
        yield event.time.timestamp(), 0.0


def _score(report: EpochReport) -> float:
    return float(getattr(report, METRIC))
