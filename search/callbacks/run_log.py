"""The logs of a run, written by the driver as reports arrive: `trials.jsonl`, `events.jsonl`, confusion matrices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from results.records.confusion import save_confusion
from results.records.run_folder import RunFolder
from results.records.trials import PLACED, REPEATED, STARTED, TrialHistory, score_of
from search.callbacks.listener import TrialListener
from search.stop import StopRequest
from trainables.report import Epoch, EpochReport, TrialStatus


class RunLog(TrialListener):
    """Writes all that a run is resumed from; a disk that is full ends the search, with everything before intact."""

    def __init__(
        self, folder: RunFolder, classes: Sequence[str], stop: StopRequest, earlier: Sequence[TrialHistory] = ()
    ) -> None:
        """Writes on where the logs end.

        Args:
            folder: The run's folder.
            classes: Names of the classes.
            stop: Told when something cannot be written.
            earlier: Trials of earlier starts, whose configuration stands in the logs.
        """
        self._folder = folder
        self._classes = classes
        self._stop = stop
        self._described = {trial.trial_id for trial in earlier}
        self._logged = {(trial.trial_id, each.epoch): _numbers(each) for trial in earlier for each in trial.reports}
        self._parts: dict[str, int] = {}

    def begins(self, trial_id: str, config: Mapping[str, Any]) -> None:
        """Notes it with the configuration, so that also a trial without an epoch is known by it."""
        self._event(trial_id, STARTED, config=dict(config))

    def reports(self, trial_id: str, config: Mapping[str, Any], epoch: Epoch, status: TrialStatus) -> None:
        """Writes the line of the epoch, the first one with the configuration."""
        self._note_parts(trial_id, epoch)
        self._note_place(trial_id, epoch)
        first = trial_id not in self._described
        self._described.add(trial_id)
        if status == TrialStatus.INTERRUPTED:  # which is the search's affair: the event says it
            status = TrialStatus.RUNNING
        self._append(trial_id, status, epoch.report, config if first else None)
        self._keep_confusion(trial_id, epoch)

    def repeats(self, trial_id: str, epoch: Epoch) -> None:
        """Notes that it happened; the line is there already, unless the numbers are others, as on a GPU they may be.

        What counts then is what the trial's weights and answers are of.
        """
        self._note_parts(trial_id, epoch)
        self._note_place(trial_id, epoch)
        self._event(trial_id, REPEATED, epoch=epoch.report.epoch)
        if self._logged.get((trial_id, epoch.report.epoch)) != _numbers(epoch.report):
            self._append(trial_id, TrialStatus.RUNNING, epoch.report, None)
        self._keep_confusion(trial_id, epoch)

    def ends(self, trial_id: str, status: TrialStatus, reason: str | None, traceback: str | None) -> None:
        """Notes how and why."""
        self._event(trial_id, status, reason, **({} if traceback is None else {"traceback": traceback}))

    def _append(
        self, trial_id: str, status: TrialStatus, report: EpochReport, config: Mapping[str, Any] | None
    ) -> None:
        self._logged[trial_id, report.epoch] = _numbers(report)
        with self._stopping():
            self._folder.append_epoch(trial_id, status, report, config)

    def _note_parts(self, trial_id: str, epoch: Epoch) -> None:
        """Notes once that the batches of a trial go through its network in parts."""
        parts = epoch.micro_batches
        if parts != self._parts.setdefault(trial_id, 1):
            self._parts[trial_id] = parts
            self._event(trial_id, "micro_batches", f"out of memory with whole batches, goes on in {parts} parts")

    def _note_place(self, trial_id: str, epoch: Epoch) -> None:
        """Notes the machine and process that a trial is on, with the first epoch after each start."""
        if epoch.node:
            self._event(trial_id, PLACED, node=epoch.node, hardware=epoch.hardware, pid=epoch.pid)

    def _keep_confusion(self, trial_id: str, epoch: Epoch) -> None:
        """Writes the confusion matrix of a trial's best epoch so far."""
        if epoch.confusion:
            path = self._folder.confusion_csv(trial_id)
            with self._stopping(f"{path} cannot be written: "):
                save_confusion(path, epoch.confusion, self._classes)

    def _event(self, trial_id: str, event: str, reason: str | None = None, **more: Any) -> None:
        with self._stopping():
            self._folder.append_event(trial_id, event, reason, **more)

    @contextmanager
    def _stopping(self, what: str = "") -> Iterator[None]:
        """Ends the search where the disk is full."""
        try:
            yield
        except OSError as error:
            self._stop.ask(f"{what}{error}")


def _numbers(report: EpochReport) -> tuple[str, ...]:
    """What a repetition has the same of an epoch: not how long it took. As text, in which NaN equals NaN."""
    numbers = (report.train_loss, report.val_loss, score_of(report), report.best_epoch, report.highest_epoch)
    return tuple(map(repr, numbers))
