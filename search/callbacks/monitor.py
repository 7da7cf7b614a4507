"""Hears from Ray Tune what happens to the trials, decodes it once, and tells it to all that write it down."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from ray.tune import Callback

from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory
from search.callbacks.checkpoints import CheckpointKeeper
from search.callbacks.failures_alike import FailuresAlike
from search.callbacks.listener import DIVERGED, TrialListener, status_after
from search.callbacks.run_log import RunLog
from search.callbacks.tensorboard import TensorBoard
from search.stop import StopRequest
from trainables.classifier import split_params
from trainables.config import TaskConfig
from trainables.machine.hardware import precision_on
from trainables.report import METRIC, Failure, NotBegun, TrialStatus, outcome_of


def build_monitor(
    folder: RunFolder,
    task: TaskConfig,
    keep: int,
    stop: StopRequest,
    earlier: Sequence[TrialHistory] = (),
    handed_out_again: Container[str] = (),
    cost_of: Callable[[Mapping[str, Any]], float] | None = None,
) -> Monitor:
    """All that a run's trials leave on disk: logs first, then curves, then weights.

    A training without validation, whose weights are what it is for, counts as the best of all.

    Args:
        folder: The run's folder.
        task: What its trials share.
        keep: Trials whose best weights stay on disk.
        stop: Told when something cannot be written, or when all trials fail alike.
        earlier: Trials of earlier starts, from the logs. The curves of those that go on are drawn anew.
        handed_out_again: Ray's names of trials whose worker died before they began: nothing happened yet.
        cost_of: As in `CheckpointKeeper`.
    """
    listeners = (
        RunLog(folder, task.classes, stop, earlier),
        TensorBoard(folder, task.classes, stop, earlier),
        CheckpointKeeper(task.checkpoint_dir, keep, task.epochs, earlier, cost_of),
        FailuresAlike(stop, earlier, precision_on(task.device, task.precision)),
    )
    return Monitor(listeners, task.epochs, stop, earlier, handed_out_again)


class Monitor(Callback):
    """Ray Tune's callback behind which the listeners stand; each is done before the next epoch begins."""

    def __init__(
        self,
        listeners: Sequence[TrialListener],
        max_epochs: int,
        stop: StopRequest,
        earlier: Sequence[TrialHistory] = (),
        handed_out_again: Container[str] = (),
    ) -> None:
        """Takes the listeners, in the order in which they are told.

        Args:
            listeners: Each told all that happens.
            max_epochs: Epochs of a trial that has none of its own.
            stop: Knows which trials it ended, and why.
            earlier: Trials of earlier starts.
            handed_out_again: Ray's names of trials whose worker died before they began: nothing happened yet.
        """
        self._listeners = listeners
        self._max_epochs = max_epochs
        self._stop = stop
        self._handed_out_again = handed_out_again
        self._epochs = {trial.trial_id: max((r.epoch for r in trial.reports), default=0) for trial in earlier}
        self._over = {trial.trial_id for trial in earlier if trial.status.is_over}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles callbacks for a restore of its own, and a run is resumed from its logs."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tells that a trial begins, or goes on after it was interrupted or its worker died."""
        config, trial_id = split_params(trial.config)
        for listener in self._listeners:
            listener.begins(trial_id, config)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Mapping[str, Any], **info: Any
    ) -> None:
        """Tells of an epoch; one that was told before is a repetition after a restart."""
        config, trial_id = split_params(trial.config)
        outcome = outcome_of(result)
        if isinstance(outcome, Failure):
            return self._end(trial_id, TrialStatus.FAILED, outcome.reason, outcome.traceback)
        if isinstance(outcome, NotBegun):
            return self._end(trial_id, TrialStatus.INTERRUPTED, self._stop.why)
        report, status = outcome.report, status_after(outcome, trial.config, self._max_epochs, self._stop)
        is_new = report.epoch > self._epochs.get(trial_id, 0)
        for listener in self._listeners:
            if is_new:
                listener.reports(trial_id, config, outcome, status)
            else:
                listener.repeats(trial_id, outcome)
        if is_new:
            self._epochs[trial_id] = report.epoch
        if report.diverged:
            self._end(trial_id, TrialStatus.FAILED, f"{DIVERGED}: {METRIC} is NaN after epoch {report.epoch}")
        elif status != TrialStatus.RUNNING:
            self._end(trial_id, status, self._stop.why if status == TrialStatus.INTERRUPTED else None)
        return None

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tells that a trial's worker died more often than it is retried."""
        if trial.trial_id in self._handed_out_again:
            return
        error = trial.get_error()
        words = str(error).strip().splitlines() if error is not None else []
        trial_id = split_params(trial.config)[1]
        self._end(trial_id, TrialStatus.FAILED, words[-1] if words else "worker died", str(error))

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Closes what is open."""
        for listener in self._listeners:
            listener.closes()

    def prune(self) -> None:
        """Deletes what nobody wants; called when no worker writes any more."""
        for listener in self._listeners:
            listener.prunes()

    def _end(self, trial_id: str, status: TrialStatus, reason: str | None, traceback: str | None = None) -> None:
        if trial_id in self._over:
            return
        if status.is_over:
            self._over.add(trial_id)
        for listener in self._listeners:
            listener.ends(trial_id, status, reason, traceback)
