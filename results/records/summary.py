"""What a run comes to in one row: its state, its scores, its size, and how to go on.

Everything is read from the run's folder each time; the state is derived, never stored. Of the logs only what the row
needs is read, so that a list of many runs takes no longer than it must.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from results.records.best import seconds_at_work
from results.records.presence import Presence, who_is_at_run
from results.records.record import TRIAL_ENDS, SearchRun
from results.records.run_folder import Line, RunFolder, budget_flag, load_run, resume_command, retrain_command
from results.records.trials import BEGUN, CRASHED, DRIVER, statuses_of, used_its_time, what_is_missing
from trainables.errors import UserError
from trainables.metric_names import in_words
from trainables.report import TrialStatus, best_in
from trainables.saved.model_description import DESCRIPTION, WEIGHTS
from trainables.strict_json import RecordError, load_object


class RunState(StrEnum):
    """The state of a run, in the words that people see."""

    HERE = "running here"
    """A process of this machine is at it."""
    ELSEWHERE = "running elsewhere"
    """A process of another machine that sees the folder is at it."""
    FINISHED = "finished"
    """All its trials have ended, there is a best one, and nothing that comes behind them is missing."""
    TIME_USED = "time used"
    """Its time budget is over, and there is a best trial; more time would train more."""
    INTERRUPTED = "interrupted"
    """Trials are left, or some of what comes behind them, and nobody is at it."""
    FAILED = "failed"
    """All its trials have ended and none has a score, or its driver crashed."""
    UNREADABLE = "cannot be read"
    """Its files are damaged, or of another version."""

    @property
    def is_running(self) -> bool:
        """Whether a process is at it."""
        return self in (RunState.HERE, RunState.ELSEWHERE)


@dataclass(frozen=True, kw_only=True)
class TestScore:
    """Macro-F1 of a re-trained model on people never seen."""

    __test__ = False  # no class of tests, whatever pytest thinks of its name

    trial_id: str
    """Trial that was trained again, or `default`."""
    value: float
    low: float
    """Lower end of its 95% interval; NaN where it is not known."""
    high: float

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.value:.4f}"
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One run in a list of runs; where a run cannot be read, only its name, state, size and problem are known."""

    name: str
    state: RunState
    presence: Presence | None = None
    """The process that is at it."""
    problem: str = ""
    """Why it cannot be read, why it failed, or why it ended early."""
    space: str = ""
    data: str = ""
    """The pictures: folder or file, without its parents."""
    pictures: int = 0
    classes: int = 0
    started: str = ""
    """When it began: ISO 8601 with offset."""
    asked: int = 0
    """Trials asked for."""
    done: int = 0
    """Trials that have ended for good."""
    begun: int = 0
    """Trials that have begun."""
    ends: tuple[tuple[str, int], ...] = ()
    """How many ended in which state."""
    best: float = math.nan
    """Best validation score; NaN while there is none."""
    metric: str = "macro-F1"
    """What it is a score by, in words."""
    best_trial: str = ""
    backbone: str = ""
    """Of the best trial."""
    test: TestScore | None = None
    """What a re-training found."""
    seconds: float = 0.0
    """Time at work, pauses left out."""
    size_bytes: int = 0
    """On disk."""
    has_report: bool = False
    has_model: bool = False
    """Whether it can answer pictures."""
    more_time: str = ""
    """The time budget to go on with, where one decides how many trials there are, or its own is used; else empty."""
    trials_open: bool = False
    """Whether a time budget decides how many trials there are."""
    lacks_its_end: bool = False
    """Whether its trials were over when something ended it before its last part was done."""

    @property
    def can_resume(self) -> bool:
        """Whether there is something left for a resume to do, and nobody is at it."""
        return not self.state.is_running and (self.done < self.asked or self.lacks_its_end)

    @property
    def best_in_words(self) -> str:
        """The best score, by name where it is not macro-F1; empty while there is none."""
        if not math.isfinite(self.best):
            return ""
        return f"{self.best:.4f}" + ("" if self.metric == "macro-F1" else f" {self.metric}")

    @property
    def counted(self) -> int:
        """Trials that are done; where the time was to decide and has, all that there were."""
        return self.begun if self.state == RunState.TIME_USED and self.trials_open else self.done

    @property
    def trials_in_words(self) -> str:
        """How many trials are done, and of how many where the time does not decide that."""
        if self.trials_open and self.done < self.asked:
            return str(self.counted)
        return f"{self.done} of {self.asked}" if self.asked else ""

    def next_command(self, storage: Path) -> str:
        """The command that goes on with it; empty where there is nothing to do, or somebody is at it."""
        run_dir = storage / self.name
        if self.state.is_running or self.state == RunState.UNREADABLE:
            return ""
        if self.state in (RunState.FINISHED, RunState.TIME_USED) and self.test is None:
            return retrain_command(run_dir)
        if self.can_resume:
            return resume_command(run_dir) + budget_flag(self.more_time)
        return f"{resume_command(run_dir)} --add-trials {self.asked}"


def run_names(storage: Path) -> list[str]:
    """Names of the runs in a folder, in no order that matters."""
    return sorted(path.parent.name for path in storage.glob("*/run.json") if not path.parent.name.startswith("."))


def summaries(storage: Path) -> list[RunSummary]:
    """All runs in a folder, the one that began last first; one that is deleted meanwhile is left out."""
    rows = [row for name in run_names(storage) if (row := summary(storage / name)) is not None]
    return sorted(rows, key=began, reverse=True)


def began(row: RunSummary) -> float:
    """When a run began, in seconds since 1970, whatever zone its machine is in; 0 where that cannot be told."""
    try:
        return datetime.fromisoformat(row.started).timestamp()
    except ValueError:
        return 0.0


def summary(run_dir: Path, lines: tuple[Sequence[Line], Sequence[Line]] | None = None) -> RunSummary | None:
    """One run; None if its folder is gone.

    Args:
        run_dir: Folder of the run.
        lines: Of its epochs and of its events, where they have been read already.
    """
    folder = RunFolder(run_dir)
    size = size_on_disk(run_dir)
    presence = who_is_at_run(folder)
    try:
        run = load_run(run_dir)
        return _summary(run, folder, presence, size, *(lines or (folder.epochs(), folder.events())))
    except (UserError, OSError, ValueError, KeyError, TypeError) as error:
        if not run_dir.is_dir():
            return None
        return RunSummary(
            name=run_dir.name, state=RunState.UNREADABLE, presence=presence, problem=str(error), size_bytes=size
        )


def _summary(
    run: SearchRun,
    folder: RunFolder,
    presence: Presence | None,
    size: int,
    epochs: Sequence[Line],
    events: Sequence[Line],
) -> RunSummary:
    states = {trial_id: status for trial_id, (status, _) in statuses_of(epochs, events).items()}
    counts = Counter(states.values())
    best, trial_id = _best(epochs, states)
    done = sum(counts[end] for end in TRIAL_ENDS)
    missing = "" if presence is not None else _missing_end(run, events, done, math.isfinite(best))
    state, problem = _state(run, events, presence, done, math.isfinite(best), missing)
    is_timed = run.trials_open or state == RunState.TIME_USED
    return RunSummary(
        name=folder.path.name,
        state=state,
        presence=presence,
        problem=problem,
        space=run.space,
        data=str(run.data.get("source", "")).rstrip("/").rpartition("/")[2],
        pictures=run.data.get("pictures") or 0,
        classes=len(run.task.classes),
        started=run.started,
        asked=run.trials_asked,
        begun=len(states),
        done=done,
        ends=tuple((str(end), counts[end]) for end in TRIAL_ENDS),
        best=best,
        metric=in_words(run.task.metric),
        best_trial=trial_id,
        backbone=_backbone(epochs, events, trial_id),
        test=test_score(folder),
        seconds=seconds_at_work(run.started, epochs, events),
        size_bytes=size,
        has_report=folder.report_html.is_file(),
        more_time=str(run.options.get("time_budget") or "15m") if is_timed and done < run.trials_asked else "",
        trials_open=run.trials_open,
        lacks_its_end=bool(missing),
        has_model=any((path / WEIGHTS).is_file() for path in (folder.model, folder.retrained.path)),
    )


def test_score(folder: RunFolder) -> TestScore | None:
    """What a re-training of a run found; None if there was none, or its file cannot be read."""
    with contextlib.suppress(RecordError, OSError, KeyError, TypeError, ValueError, AttributeError):
        record = load_object(folder.retrained.path / DESCRIPTION)["record"]
        score = record["test"]["macro_f1"]
        ends = (math.nan if score[end] is None else float(score[end]) for end in ("low", "high"))
        low, high = ends
        return TestScore(trial_id=str(record["trial_id"]), value=float(score["value"]), low=low, high=high)
    return None


test_score.__test__ = False  # type: ignore[attr-defined]  # likewise


def size_on_disk(folder: Path) -> int:
    """Bytes of all files below a folder, which may change meanwhile; links are not followed."""
    total = 0
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    total += size_on_disk(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def _best(epochs: Sequence[Line], states: dict[str, TrialStatus]) -> tuple[float, str]:
    """The best finite score and its trial, the first of equals; failed trials do not count."""
    lines: dict[str, dict[int, Mapping[str, Any]]] = {}
    for line in epochs:  # the later of an epoch that was trained again
        if states.get(line.trial_id) != TrialStatus.FAILED:
            lines.setdefault(line.trial_id, {})[line.values.get("epoch", 0)] = line.values
    scored = ((best_in(of_trial)[1], trial_id) for trial_id, of_trial in sorted(lines.items()))
    finite = [each for each in scored if not math.isnan(each[0])]
    return max(finite, key=lambda each: each[0], default=(math.nan, ""))


def _backbone(epochs: Sequence[Line], events: Sequence[Line], trial_id: str) -> str:
    for line in (*events, *epochs):
        if line.trial_id == trial_id and isinstance(line.values.get("config"), dict):
            return str(line.values["config"].get("backbone", ""))
    return ""


def _missing_end(run: SearchRun, events: Sequence[Line], done: int, has_score: bool) -> str:
    """What is missing behind its trials, in words; empty where nothing is, or where trials are left, or no score."""
    are_over = done >= run.trials_asked or used_its_time(run, events)
    return what_is_missing(events) if has_score and are_over else ""


def _state(
    run: SearchRun, events: Sequence[Line], presence: Presence | None, done: int, has_score: bool, missing: str
) -> tuple[RunState, str]:
    """The state, and in words why it failed or ended early."""
    if presence is not None:
        return (RunState.HERE if presence.is_here else RunState.ELSEWHERE), ""
    if done >= run.trials_asked and not missing:
        return (RunState.FINISHED, "") if has_score else (RunState.FAILED, "no trial has a score")
    if (crash := _last_crash(events)) is not None:
        return RunState.FAILED, str(crash.values.get("reason") or "its driver crashed")
    if missing:
        return RunState.INTERRUPTED, missing
    if has_score and used_its_time(run, events):
        return RunState.TIME_USED, ""
    reasons = [event.values.get("reason") for event in events if event.values.get("event") == TrialStatus.INTERRUPTED]
    return RunState.INTERRUPTED, str(reasons[-1]) if reasons and reasons[-1] else "ended early"


def _last_crash(events: Sequence[Line]) -> Line | None:
    """The crash of the driver that the run has not gone on from; None without one."""
    of_the_driver = {each.values.get("event"): each for each in events if each.trial_id == DRIVER}
    if (crash := of_the_driver.get(CRASHED)) is None:
        return None
    goes_on = (each for each in events if each.trial_id != DRIVER or each is of_the_driver.get(BEGUN))
    return None if any(each.time > crash.time for each in goes_on) else crash
