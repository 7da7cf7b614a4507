"""The trials of a run as its logs tell them: the configuration, every epoch, and the state each was left in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from results.records.record import TRIAL_ENDS, SearchRun, epoch_report, trial_config
from results.records.run_folder import WAY_OUT, Line, RunError, RunFolder
from trainables.config import TrialConfig
from trainables.report import METRIC, EpochReport, TrialStatus, kept_epoch
from trainables.strict_json import RecordError

TIME_BUDGET = "time budget"
"""Reason of trials that the time budget ended."""
STARTED = "started"
"""Event of a trial that begins, or goes on."""
REPEATED = "repeated"
"""Event of an epoch that is trained again after a restart, whose line is there already."""
PLACED = "placed"
"""Event of a trial that has trained its first epoch on a machine, with its `node`, `hardware` and process `pid`."""

DRIVER = "driver"
"""Stands for a trial_id in the events of the search itself."""
CRASHED = "crashed"
"""Event of a driver that crashed, with its reason and `traceback`."""
BEGUN = "begun"
"""Event of a process that goes about the trials of a run, or about what comes after them, with its `time_budget`."""
ENDED = "ended"
"""Event of one that has written all that there is to write; its reason says what an interruption left out."""
CUT_SHORT = "ended before its model, record and report were all written"
"""What is said of a search whose process ended before that."""

LAST_WORDS = (*TRIAL_ENDS, TrialStatus.INTERRUPTED)
"""Events after which a trial does not run."""

_REPORT_FIELDS = frozenset(field.name for field in fields(EpochReport))
_WORDS = tuple(TrialStatus)


@dataclass(frozen=True, kw_only=True)
class TrialHistory:
    """One trial as far as it got."""

    trial_id: str
    """Name of the trial in its run."""
    config: TrialConfig
    """What was searched."""
    reports: tuple[EpochReport, ...]
    """One report an epoch, in the order of epochs; empty if it ended before the first."""
    status: TrialStatus
    """Its state, by the last thing known of it."""
    reason: str | None
    """Why it failed or was stopped, if that was said."""
    node: str = ""
    """Machine that it was on last: host name and address; empty where that was not said."""
    hardware: str = ""
    """Processor and GPUs of that machine in words."""

    @property
    def best(self) -> EpochReport | None:
        """The report of the epoch whose weights are kept; None if no score is finite."""
        finite = {report.epoch: report for report in self.reports if math.isfinite(score_of(report))}
        scores = {epoch: score_of(report) for epoch, report in finite.items()}
        return finite.get(kept_epoch(scores, self.reports[-1].best_epoch if self.reports else 0))

    @property
    def has_diverged(self) -> bool:
        """Whether a loss was no number any more: with the same numbers it would be so again."""
        return any(report.diverged for report in self.reports)


def score_of(report: EpochReport) -> float:
    """The metric of an epoch."""
    return float(getattr(report, METRIC))


def num_over(trials: Iterable[TrialHistory]) -> int:
    """How many trials have come to their end."""
    return sum(trial.status.is_over for trial in trials)


def load_trials(run_dir: Path) -> list[TrialHistory]:
    """Reads the trials of a run in the order of their ids; a run without any report yet has none.

    A trial that ended before its first epoch is listed if one of its events carries its `config`.

    Raises:
        RunError: A line is corrupt; names the file, the line and the way out.
    """
    folder = RunFolder(run_dir)
    return trials_of(folder.epochs(), folder.events())


def trials_of(epochs: Sequence[Line], events: Sequence[Line]) -> list[TrialHistory]:
    """The trials that the lines of a run tell of, in the order of their ids.

    Raises:
        RunError: A line is corrupt; names the file, the line and the way out.
    """
    configs = _configs(epochs, events)
    reports: dict[str, dict[int, EpochReport]] = {}
    for line in epochs:
        report = _report(line)
        reports.setdefault(line.trial_id, {})[report.epoch] = report
    statuses = statuses_of(epochs, events)
    places = {event.trial_id: event.values for event in events if _turn(event) == PLACED}
    histories = []
    for trial_id in sorted(configs):
        status, reason = statuses.get(trial_id, (TrialStatus.RUNNING, None))
        by_epoch = reports.get(trial_id, {})
        histories.append(
            TrialHistory(
                trial_id=trial_id,
                config=configs[trial_id],
                reports=tuple(by_epoch[epoch] for epoch in sorted(by_epoch)),
                status=status,
                reason=reason,
                node=str(places.get(trial_id, {}).get("node", "")),
                hardware=str(places.get(trial_id, {}).get("hardware", "")),
            )
        )
    return histories


def statuses_of(epochs: Sequence[Line], events: Sequence[Line]) -> Mapping[str, tuple[TrialStatus, str | None]]:
    """The state that the later of its last epoch and its last event leaves each trial in, and the reason given.

    Raises:
        RunError: A line has a state that is none; names the file, the line and the way out.
    """
    last_epoch = {line.trial_id: line for line in epochs}
    last_event = {event.trial_id: event for event in events if _turn(event) == STARTED or _turn(event) in _WORDS}
    return {
        trial_id: _status(last_epoch.get(trial_id), last_event.get(trial_id))
        for trial_id in last_epoch.keys() | last_event.keys()
    }


def _status(epoch: Line | None, event: Line | None) -> tuple[TrialStatus, str | None]:
    if event is not None and _turn(event) in _WORDS and (epoch is None or event.time >= epoch.time):
        reason = event.values.get("reason")
        return TrialStatus(event.values["event"]), None if reason is None else str(reason)
    if epoch is None:
        return TrialStatus.RUNNING, None
    status = epoch.values.get("status")
    if status not in _WORDS:
        raise RunError(f"{epoch.where}: status is {status!r}, it must be one of {', '.join(TrialStatus)}: {WAY_OUT}")
    return TrialStatus(status), None


def _turn(event: Line) -> str:
    return str(event.values.get("event"))


def _configs(epochs: Sequence[Line], events: Sequence[Line]) -> dict[str, TrialConfig]:
    configs: dict[str, TrialConfig] = {}
    for line in (*events, *epochs):
        if line.values.get("config") is not None and line.trial_id not in configs:
            configs[line.trial_id] = _explained(trial_config, line.values["config"], f"{line.where}: config")
    for line in epochs:
        if line.trial_id not in configs:
            raise RunError(
                f"{line.where}: no line gives the config of trial {line.trial_id!r}: "
                "delete the lines of that trial and try again"
            )
    return configs


def used_its_time(run: SearchRun, events: Sequence[Line]) -> bool:
    """Whether the time budget was what ended a run at which nobody is: its last trials, or the beginning of more."""
    last = {event.trial_id: event.values for event in events if event.values.get("event") in (STARTED, *LAST_WORDS)}
    states = {values["event"] for values in last.values()}
    if STARTED in states:  # and nobody is at it
        return False
    if TrialStatus.INTERRUPTED not in states:
        return bool(run.options.get("time_budget")) and not run.options.get("add_trials")
    cut = [values for values in last.values() if values["event"] == TrialStatus.INTERRUPTED]
    return all(values.get("reason") == TIME_BUDGET for values in cut)


def is_mark(event: Line) -> bool:
    """Whether an event only says that a process was at the run: it is no part of what the trials took."""
    return event.trial_id == DRIVER and _turn(event) in (BEGUN, ENDED)


def what_is_missing(events: Sequence[Line]) -> str:
    """What the last process left undone behind the trials, of a run at which nobody is.

    Returns:
        It in words; empty where nothing is missing, and for a run from before this was noted.
    """
    last = next((event.values for event in reversed(events) if is_mark(event)), None)
    if last is None:
        return ""
    return CUT_SHORT if last["event"] == BEGUN else str(last.get("reason") or "")


def state_shown(status: TrialStatus, *, is_searched: bool) -> TrialStatus:
    """The state of a trial for people: where nobody searches, none runs, though a killed search has noted no end."""
    return status if is_searched or status != TrialStatus.RUNNING else TrialStatus.INTERRUPTED


def last_time_budget(run: SearchRun, events: Sequence[Line]) -> str | None:
    """The time budget of the process that was last at a run; the run's own where that was not noted."""
    begun = (event.values for event in reversed(events) if is_mark(event) and event.values["event"] == BEGUN)
    budget: str | None = next(begun, {}).get("time_budget", run.options.get("time_budget"))
    return budget


def _report(line: Line) -> EpochReport:
    values = {name: value for name, value in line.values.items() if name in _REPORT_FIELDS}
    report: EpochReport = _explained(epoch_report, values, line.where)
    return report


def _explained(read: Any, values: object, where: str) -> Any:
    try:
        return read(values, where)
    except RecordError as error:
        raise RunError(f"{error}: {WAY_OUT}") from error
