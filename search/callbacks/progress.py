"""The search in the terminal: a live table, or plain lines where the output is no terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback
from rich.console import Console, RenderableType

from results.records.trials import TrialHistory
from search.callbacks.listener import num_epochs, status_after
from search.callbacks.live_table import LiveTable, Row
from search.stop import StopRequest
from search.terminal import clock, drawing, idle, is_verbose, say, started_at
from trainables.classifier import split_params
from trainables.metric_names import in_words
from trainables.report import Failure, NotBegun, TrialStatus, outcome_of

TICKS_PER_SECOND = 1
"""How often the live table is drawn: more often costs the trials beside it more than it shows."""
FEW_TRIALS = 4
"""So many trials must have ended before the mean of what they took is taken for what a trial takes."""
COUNTED = (TrialStatus.RUNNING, TrialStatus.STOPPED, TrialStatus.FINISHED, TrialStatus.FAILED)
"""States of which the line at the end of the table says how many trials are in each."""


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
        checkpoint_dir: Path | None = None,
        metric: str = "macro_f1",
        fills_its_budget: bool = False,
    ) -> None:
        """Shows nothing until `begin`; trials of earlier starts stand in the table from then on.

        Args:
            console: Where to show it.
            num_trials: Trials that the search shall have in the end.
            max_epochs: Epochs of a trial that is not stopped.
            concurrency: Trials at the same time.
            stop: Knows why a trial ended early, and when the time budget ends.
            earlier: Trials of earlier starts.
            handed_out_again: Ray's names of trials whose worker died before they began.
            mean_epochs: Epochs that a trial is expected to train in the mean; by default `max_epochs`.
            checkpoint_dir: Where running trials tell how far within an epoch they are.
            metric: What is maximized, as in `TaskConfig`.
            fills_its_budget: Whether there are more trials than the time budget has room for.
        """
        self._fills_its_budget = fills_its_budget
        self._console = console
        self._metric = in_words(metric)
        self._handed_out_again = handed_out_again
        self._num_trials = num_trials
        self._max_epochs = max_epochs
        self._concurrency = concurrency
        self._stop = stop
        self._rows = {trial.trial_id: _row(trial, max_epochs) for trial in earlier if trial.status.is_over}
        self._mean_epochs = mean_epochs or max_epochs
        self._started = started_at(console)
        self._first_epoch_began: float | None = None
        self._trained_seconds = 0.0
        self._is_verbose = is_verbose(console)
        self._table = LiveTable(console, checkpoint_dir)
        self._live = drawing(console, self._draw, per_second=TICKS_PER_SECOND)

    def begin(self) -> None:
        """Begins to draw the live table, where there is a terminal: it ticks from now on, whatever happens."""
        idle(self._console)
        if self._live is not None and not self._live.is_started:
            self._live.start()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles callbacks for a restore of its own, and a run is resumed from its logs."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Adds a row."""
        config, trial_id = split_params(trial.config)
        row = self._rows.setdefault(trial_id, self._new(trial))
        row.state, row.since = TrialStatus.RUNNING, time.monotonic()
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
        if not row.seconds:  # one that goes on has had the epochs before elsewhere
            row.begun = report.epoch - 1
        row.epoch, row.score, row.best = report.epoch, report.val_score, report.best_val_score
        row.seconds += report.seconds
        row.since = time.monotonic()
        if self._first_epoch_began is None:
            self._first_epoch_began = time.monotonic() - report.seconds
        self._trained_seconds += report.seconds
        if report.diverged:
            return self._fail(trial_id, "diverged")
        row.state = status_after(outcome, trial.config, self._max_epochs, self._stop)
        row.epochs = max(row.epochs, row.epoch + (row.state == TrialStatus.RUNNING))  # it may go on beyond its length
        note = "" if row.state == TrialStatus.RUNNING else f", {row.state}"
        score = f"{self._metric} {row.score:.4f} (best {row.best:.4f})"
        if not report.class_f1:  # nothing is validated on
            score = f"train macro-F1 {report.train_macro_f1:.4f}"
        speed = f"{report.images_per_second:.0f} images/s"
        self._show(f"trial {trial_id} epoch {row.epoch}/{row.epochs}: {score}, {speed}{note}")
        return None

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Marks a row, unless the trial had not begun and is handed out again."""
        if trial.trial_id not in self._handed_out_again:
            trial_id = split_params(trial.config)[1]
            self._rows.setdefault(trial_id, self._new(trial))  # it may have died before the trial's start
            self._fail(trial_id, "its worker died")

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Leaves the last table standing."""
        self.close()

    def close(self) -> None:
        """Ends the live table, also after an exception."""
        if self._live is not None and self._live.is_started:
            self._live.stop()

    def summary(self) -> str:
        """One line: how many trials in which state, the best so far, time gone and time to go."""
        counts, _, times = self._counts_and_time().partition(" | ")
        return f"{counts} | {self._best() or 'no score yet'} | {times}"

    def _counts_and_time(self) -> str:
        states = [row.state for row in self._rows.values()]
        counts = ", ".join(f"{states.count(state)} {state}" for state in COUNTED)
        gone = time.monotonic() - self._started
        if self._fills_its_budget:
            return f"{counts} | {clock(gone)} gone, {clock(self._stop.seconds_left)} to go"
        return f"{counts} of {self._num_trials} | {clock(gone)} gone, {self._eta()}"

    def _best(self) -> str:
        scored = [(row.best, trial_id) for trial_id, row in self._rows.items() if row.best == row.best]
        return f"best {max(scored)[0]:.4f} by {max(scored)[1]}" if scored else ""

    def _new(self, trial: Any) -> Row:
        begun = trial.config.get("task", {}).get("start_epoch", 0)
        epochs = num_epochs(trial.config, self._max_epochs)
        return Row(split_params(trial.config)[0]["backbone"], epochs, epoch=begun, begun=begun)

    def _eta(self) -> str:
        if self._first_epoch_began is None or not self._trained_seconds:
            return "time to go not known yet"
        now = time.monotonic()
        gone = now - self._first_epoch_began
        running = [row for row in self._rows.values() if row.state == TrialStatus.RUNNING]
        workers = min(self._concurrency, max(1, len(running)))
        under_way = sum(min(now - row.since, self._an_epoch()) for row in running)
        trained = self._trained_seconds + under_way
        beside = max(1.0, gone * workers / trained)  # what passes between epochs and between trials
        left = beside * self._seconds_left(running, now)
        return f"about {clock(min(left, self._stop.seconds_left))} to go"

    def _seconds_left(self, running: Sequence[Row], now: float) -> float:
        """Seconds of epochs until the last trial ends.

        A trial takes what those that have ended took; while these are few, what ASHA is expected to leave of it. One
        that has been trained for longer has outlived the others, and goes on to its last epoch.
        """
        ended = [row for row in self._rows.values() if row.state != TrialStatus.RUNNING]
        an_epoch = self._an_epoch()
        if len(ended) >= max(FEW_TRIALS, self._concurrency):
            a_trial = sum(row.seconds for row in ended) / len(ended)
        else:
            a_trial = an_epoch * self._mean_epochs

        def left(row: Row) -> float:
            its_epoch = row.seconds / row.trained if row.trained else an_epoch
            epochs = max(0, row.epochs - row.epoch)
            to_go = its_epoch * epochs
            if row.seconds < a_trial:
                to_go = min(to_go, a_trial - row.seconds)
            return max(0.0, max(to_go, its_epoch) - min(now - row.since, its_epoch))

        waiting = max(0, self._num_trials - len(self._rows))
        each = [left(row) for row in running]
        return max((waiting * a_trial + sum(each)) / self._concurrency, *each, 0.0)

    def _an_epoch(self) -> float:
        """Mean seconds of the epochs so far."""
        return sum(row.seconds for row in self._rows.values()) / sum(row.trained for row in self._rows.values())

    def _fail(self, trial_id: str, reason: str) -> None:
        self._rows[trial_id].state = TrialStatus.FAILED
        self._show(f"trial {trial_id} failed: {reason}")

    def _show(self, line: str) -> None:
        if self._live is None or self._is_verbose:
            say(self._console, f"{line} | {self.summary()}")

    def _draw(self) -> RenderableType:
        gone = time.monotonic() - self._started
        share = gone / (gone + self._stop.seconds_left) if self._fills_its_budget else None
        return self._table.draw(self._rows, self._num_trials, self._counts_and_time(), self._best(), share)


def _row(trial: TrialHistory, epochs: int) -> Row:
    best = trial.best.val_score if trial.best is not None else math.nan
    epoch = trial.reports[-1].epoch if trial.reports else 0
    seconds = sum(report.seconds for report in trial.reports)
    return Row(trial.config.backbone, max(epochs, epoch), epoch, best, best, seconds, trial.status)
