"""The search in the terminal: a live table, or plain lines where the output is no terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune import Callback
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from results.records.trials import TrialHistory
from search.callbacks.listener import num_epochs, status_after
from search.stop import StopRequest
from trainables.classifier import split_params
from trainables.report import Failure, NotBegun, TrialStatus, outcome_of

FEW_TRIALS = 4
"""So many trials must have ended before the mean of what they took is taken for what a trial takes."""
COUNTED = (TrialStatus.RUNNING, TrialStatus.STOPPED, TrialStatus.FINISHED, TrialStatus.FAILED)
"""States of which the line at the end of the table says how many trials are in each."""


@dataclass
class _Row:
    backbone: str
    epoch: int = 0
    score: float = float("nan")
    best: float = float("nan")
    seconds: float = 0.0
    state: TrialStatus = TrialStatus.RUNNING


class Progress(Callback):
    """Ray Tune's callback that shows how far the search is, the best so far, and when it will end."""

    def __init__(
        self,
        console: Console,
        num_trials: int,
        max_epochs: int,
        concurrency: int,
        stop: StopRequest,
        earlier: Sequence[TrialHistory] = (),
        handed_out_again: Container[str] = (),
        mean_epochs: float | None = None,
    ) -> None:
        """Shows nothing until the first trial starts; trials of earlier starts stand in the table from then on.

        Args:
            console: Where to show it.
            num_trials: Trials that the search shall have in the end.
            max_epochs: Epochs of a trial that is not stopped.
            concurrency: Trials at the same time.
            stop: Knows why a trial ended early, and when the time budget ends.
            earlier: Trials of earlier starts.
            handed_out_again: Ray's names of trials whose worker died before they began.
            mean_epochs: Epochs that a trial is expected to train in the mean; by default `max_epochs`.
        """
        self._console = console
        self._handed_out_again = handed_out_again
        self._num_trials = num_trials
        self._max_epochs = max_epochs
        self._concurrency = concurrency
        self._stop = stop
        self._rows = {trial.trial_id: _row(trial) for trial in earlier if trial.status.is_over}
        self._mean_epochs = mean_epochs or max_epochs
        self._started = time.monotonic()
        self._first_epoch_began: float | None = None
        self._trained_seconds = 0.0
        self._live = Live(console=console, refresh_per_second=2) if console.is_terminal else None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles callbacks for a restore of its own, and a run is resumed from its logs."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Adds a row."""
        config, trial_id = split_params(trial.config)
        if self._live is not None and not self._live.is_started:
            self._live.start()
        self._rows.setdefault(trial_id, _Row(config["backbone"])).state = TrialStatus.RUNNING
        self._show(f"trial {trial_id} starts: {config['backbone']}")

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Updates a row."""
        trial_id = split_params(trial.config)[1]
        row = self._rows[trial_id]
        outcome = outcome_of(result)
        if isinstance(outcome, Failure):
            return self._fail(trial_id, outcome.reason)
        if isinstance(outcome, NotBegun):
            row.state = TrialStatus.INTERRUPTED
            return self._show(f"trial {trial_id} had no time to begin")
        report = outcome.report
        row.epoch, row.score, row.best = report.epoch, report.val_macro_f1, report.best_val_macro_f1
        row.seconds += report.seconds
        if self._first_epoch_began is None:
            self._first_epoch_began = time.monotonic() - report.seconds
        self._trained_seconds += report.seconds
        if report.diverged:
            return self._fail(trial_id, "diverged")
        epochs = num_epochs(trial.config, self._max_epochs)
        row.state = status_after(outcome, trial.config, self._max_epochs, self._stop)
        note = "" if row.state == TrialStatus.RUNNING else f", {row.state}"
        score = f"macro-F1 {row.score:.4f} (best {row.best:.4f})"
        if not report.class_f1:  # nothing is validated on
            score = f"train macro-F1 {report.train_macro_f1:.4f}"
        speed = f"{report.images_per_second:.0f} images/s"
        self._show(f"trial {trial_id} epoch {row.epoch}/{epochs}: {score}, {speed}{note}")
        return None

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Marks a row, unless the trial had not begun and is handed out again."""
        if trial.trial_id not in self._handed_out_again:
            config, trial_id = split_params(trial.config)
            self._rows.setdefault(trial_id, _Row(config["backbone"]))  # it may have died before the trial's start
            self._fail(trial_id, "its worker died")

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Leaves the last table standing."""
        self.close()

    def close(self) -> None:
        """Ends the live table, also after an exception."""
        if self._live is not None and self._live.is_started:
            self._live.update(self._table(), refresh=True)
            self._live.stop()

    def summary(self) -> str:
        """One line: how many trials in which state, the best so far, time gone and time to go."""
        states = [row.state for row in self._rows.values()]
        counts = [f"{states.count(state)} {state}" for state in COUNTED]
        scored = [(row.best, trial_id) for trial_id, row in self._rows.items() if row.best == row.best]
        best = f"best {max(scored)[0]:.4f} by {max(scored)[1]}" if scored else "no score yet"
        gone = time.monotonic() - self._started
        return f"{', '.join(counts)} of {self._num_trials} | {best} | {_clock(gone)} gone, {self._eta()}"

    def _eta(self) -> str:
        if self._first_epoch_began is None or not self._trained_seconds:
            return "time to go not known yet"
        gone = time.monotonic() - self._first_epoch_began
        running = [row for row in self._rows.values() if row.state == TrialStatus.RUNNING]
        workers = min(self._concurrency, max(1, len(running)))
        beside = max(1.0, gone * workers / self._trained_seconds)  # what passes between epochs and between trials
        left = beside * self._seconds_left(running) / self._concurrency
        return f"about {_clock(min(left, self._stop.seconds_left))} to go"

    def _seconds_left(self, running: Sequence[_Row]) -> float:
        """Seconds of epochs that are still to be trained, all trials added up.

        A trial takes what those that have ended took; while these are few, what ASHA is expected to leave of it.
        """
        ended = [row for row in self._rows.values() if row.state != TrialStatus.RUNNING]
        epochs = sum(row.epoch for row in self._rows.values())
        an_epoch = sum(row.seconds for row in self._rows.values()) / epochs
        if len(ended) >= max(FEW_TRIALS, self._concurrency):
            a_trial = sum(row.seconds for row in ended) / len(ended)
        else:
            a_trial = an_epoch * self._mean_epochs
        waiting = max(0, self._num_trials - len(self._rows))
        return waiting * a_trial + sum(max(an_epoch, a_trial - row.seconds) for row in running)

    def _fail(self, trial_id: str, reason: str) -> None:
        self._rows[trial_id].state = TrialStatus.FAILED
        self._show(f"trial {trial_id} failed: {reason}")

    def _show(self, line: str) -> None:
        if self._live is not None:
            self._live.update(self._table())
        else:
            self._console.print(f"{line} | {self.summary()}", highlight=False, markup=False, soft_wrap=True)

    def _table(self) -> Group:
        table = Table("trial", "backbone", "epoch", "macro-F1", "best", "seconds", "state", box=None)
        running = [item for item in self._rows.items() if item[1].state == TrialStatus.RUNNING]
        others = sorted((item for item in self._rows.items() if item[1].state != TrialStatus.RUNNING), key=_by_best)
        room = max(3, self._console.height - 6 - len(running))
        for trial_id, row in running + others[:room]:
            table.add_row(
                trial_id,
                row.backbone,
                f"{row.epoch}/{self._max_epochs}",
                f"{row.score:.4f}",
                f"{row.best:.4f}",
                f"{row.seconds:.0f}",
                row.state,
            )
        hidden = len(others) - room
        more = [Text(f"and {hidden} trials more")] if hidden > 0 else []
        return Group(table, *more, Text(self.summary()))


def _row(trial: TrialHistory) -> _Row:
    best = trial.best.val_macro_f1 if trial.best is not None else math.nan
    epoch = trial.reports[-1].epoch if trial.reports else 0
    seconds = sum(report.seconds for report in trial.reports)
    return _Row(trial.config.backbone, epoch, best, best, seconds, trial.status)


def _by_best(item: tuple[str, _Row]) -> float:
    return -item[1].best if item[1].best == item[1].best else 1.0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
