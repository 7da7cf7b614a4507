"""Trials that Ray gives up without a word: noticed, and handed out again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from ray.tune import Callback
from ray.tune.experiment import Trial


class Proposals(Protocol):
    """Where trials come from, as far as one that is lost goes back to it."""

    @property
    def live(self) -> Iterable[str]:
        """Ray's names of the trials that are out."""

    def note_lost(self, trial_id: str) -> None:
        """Says that the next end of this trial is no fault of its own."""


class LostTrials(Callback):
    """Ray Tune's callback that finds the trials which Ray ended without telling the searcher.

    Ray does so where it cannot give a trial the process of the trial before it, whose thread has not ended in time
    (`_on_trial_reset`). A search that waits for such a trial waits for ever, and has one worker less from then on.
    """

    def __init__(self, proposals: Proposals, limited: Any) -> None:
        """Takes both sides of the searcher.

        Args:
            proposals: Told which trial is lost.
            limited: What Ray asks for trials, which is told that the trial has ended.
        """
        self._proposals = proposals
        self._limited = limited

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles callbacks for a restore of its own, and a run is resumed from its logs."""
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Hands out again what Ray has ended and the searcher still waits for."""
        live = set(self._proposals.live)
        for trial in trials:
            if trial.trial_id in live and trial.status == Trial.ERROR:
                self._proposals.note_lost(trial.trial_id)
                self._limited.on_trial_complete(trial.trial_id, error=True)
