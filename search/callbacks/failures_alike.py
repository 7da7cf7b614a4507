"""Ends a search of which nothing but failures comes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from results.records.trials import TrialHistory, num_over
from search.callbacks.listener import DIVERGED, TrialListener
from search.stop import StopRequest
from trainables.classifier import INFEASIBLE
from trainables.config import Precision
from trainables.report import TrialStatus

FAILURES_ALIKE = 3
"""So many trials failing for one reason, and none that did not, and the search ends: the fiftieth would too."""
ALIKE_BY_CONFIGURATION = 12
"""The same for trials that diverged, or had no memory: the first few share the learning rate of the default, or have a
large network, further ones do not."""


class FailuresAlike(TrialListener):
    """Counts the trials that have ended, and the reasons of those that failed."""

    def __init__(
        self, stop: StopRequest, earlier: Sequence[TrialHistory] = (), precision: Precision = "float32"
    ) -> None:
        """Counts on from the trials of earlier starts.

        Args:
            stop: Told when all trials fail alike.
            earlier: Trials of earlier starts.
            precision: What the trials compute in.
        """
        self._stop, self._in_float16 = stop, precision == "float16"
        self._num_ended = num_over(earlier)
        self._kinds = [_kind(trial.reason or "") for trial in earlier if trial.status == TrialStatus.FAILED]

    def ends(self, trial_id: str, status: TrialStatus, reason: str | None, traceback: str | None) -> None:
        """Asks for the end of the search if this is the last of the first few, and all failed alike."""
        self._num_ended += status.is_over
        if status != TrialStatus.FAILED:
            return
        self._kinds.append(_kind(reason or ""))
        diverged = (reason or "").startswith(DIVERGED)
        most = ALIKE_BY_CONFIGURATION if diverged or (reason or "").startswith(INFEASIBLE) else FAILURES_ALIKE
        if len(self._kinds) == self._num_ended == most and len(set(self._kinds)) == 1:
            way_out = "; float16 may be too little for these networks: try --precision float32"
            said = way_out if diverged and self._in_float16 else ""
            self._stop.ask(f"{most} failures alike from the first trial on: {reason}{said}")


def _kind(reason: str) -> str:
    """A reason without the numbers and paths in which failures of one kind differ."""
    if reason.startswith(INFEASIBLE):
        return INFEASIBLE
    return re.sub(r"/\S+|\d[\d.]*", "#", reason)
