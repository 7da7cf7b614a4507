"""What happens to the trials of a search, in the words of this project: heard by all that write it down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.stop import StopRequest
from trainables.report import Epoch, TrialStatus

DIVERGED = "diverged"
"""What the reason begins with that a trial has failed for whose loss is no number any more."""


class TrialListener:
    """Hears what `Monitor` hears from Ray Tune; each listener does something about what concerns it."""

    def begins(self, trial_id: str, config: Mapping[str, Any]) -> None:
        """A trial begins, or goes on after it was interrupted or its worker died."""

    def reports(self, trial_id: str, config: Mapping[str, Any], epoch: Epoch, status: TrialStatus) -> None:
        """A trial has trained an epoch, which leaves it in this state unless it has diverged."""

    def repeats(self, trial_id: str, epoch: Epoch) -> None:
        """A trial has trained an epoch again after a restart: with the same numbers, but perhaps on a GPU."""

    def ends(self, trial_id: str, status: TrialStatus, reason: str | None, traceback: str | None) -> None:
        """A trial ends: for good, which is heard once, or because the search does."""

    def closes(self) -> None:
        """The last trial has ended."""

    def prunes(self) -> None:
        """All workers have ended, and write no more."""


def status_after(epoch: Epoch, params: Mapping[str, Any], max_epochs: int, stop: StopRequest) -> TrialStatus:
    """The state that an epoch leaves its trial in, unless it has diverged.

    Args:
        epoch: As the trial reported it.
        params: What the trial was given.
        max_epochs: Epochs of a trial that has none of its own.
        stop: Knows which trials it ended, which are done before these epochs, and which go on beyond them.
    """
    if epoch.report.epoch >= num_epochs(params, max_epochs):
        return TrialStatus.FINISHED if epoch.is_last or params["trial_id"] not in stop.going_on else TrialStatus.RUNNING
    if params["trial_id"] in stop.ended:
        return TrialStatus.INTERRUPTED
    if not epoch.is_last:
        return TrialStatus.RUNNING
    return TrialStatus.FINISHED if params["trial_id"] in stop.past_their_best else TrialStatus.STOPPED


def num_epochs(params: Mapping[str, Any], max_epochs: int) -> int:
    """Epochs that a trial is to train: its own number, or the `max_epochs` of all."""
    own = params.get("task", {})
    return own.get("last_epoch") or own.get("epochs") or max_epochs
