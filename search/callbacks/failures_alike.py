"""Ends a search of which nothing but failures comes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from results.records.trials import TrialHistory, num_over
from search.callbacks.listener import DIVERGED, TrialListener
from search.stop import StopRequest
from trainables.report import TrialStatus

FAILURES_ALIKE = 3
"""So many trials failing for one reason, and none that did not, and the search ends: the fiftieth would too."""
DIVERGED_ALIKE = 12
"""The same for trials that diverged: the first few share the learning rate of the default, further ones do not."""


class FailuresAlike(TrialListener):
    """Counts the trials that have ended, and the reasons of those that failed."""

    def __init__(self, stop: StopRequest, earlier: Sequence[TrialHistory] = ()) -> None:
        """Counts on from the trials of earlier starts.

        Args:
            stop: Told when all trials fail alike.
            earlier: Trials of earlier starts.
        """
        self._stop = stop
        self._num_ended = num_over(earlier)
        self._kinds = [_kind(trial.reason or "") for trial in earlier if trial.status == TrialStatus.FAILED]

    def ends(self, trial_id: str, status: TrialStatus, reason: str | None, traceback: str | None) -> None:
        """Asks for the end of the search if this is the last of the first few, and all failed alike."""
        self._num_ended += status.is_over
        if status != TrialStatus.FAILED:
            return
        self._kinds.append(_kind(reason or ""))
        most = DIVERGED_ALIKE if (reason or "").startswith(DIVERGED) else FAILURES_ALIKE
        if len(self._kinds) == self._num_ended == most and len(set(self._kinds)) == 1:
            self._stop.ask(f"{most} failures alike from the first trial on: {reason}")


def _kind(reason: str) -> str:
    """A reason without the numbers and paths in which failures of one kind differ."""
    return re.sub(r"/\S+|\d[\d.]*", "#", reason)
