"""The end of a time budget: whether a new trial can still come to something, or a stopped one is continued."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median

from search.engine.scheduler import RungScheduler
from search.engine.searcher import StudySearcher
from search.engine.study_journal import SearchTrial
from trainables.report import TrialStatus

MEMBERS = 3
"""A new trial has come to something when it is among the best so many: what a small ensemble is made of."""
OVERHEAD = 1.2
"""What a trial that goes on takes until its next report, in its own epochs: it loads its state first."""


class LastSteps:
    """Says what a free worker does with the seconds that are left.

    As long as there is time for what a member of the ensemble has taken to become one, new trials are begun. After
    that the best of the stopped trials goes on from where it was, and no scheduler stops it again.
    """

    def __init__(
        self,
        searcher: StudySearcher,
        scheduler: RungScheduler,
        max_epochs: int,
        can_go_on: Callable[[str], bool],
    ) -> None:
        """Looks on.

        Args:
            searcher: Knows the trials.
            scheduler: Told which trials are not to be stopped any more.
            max_epochs: Epochs of a trial that is not stopped.
            can_go_on: Whether the state of a trial, by its trial_id, is still there.
        """
        self._searcher = searcher
        self._scheduler = scheduler
        self._max_epochs = max_epochs
        self._can_go_on = can_go_on

    def is_new(self, trial_id: str) -> bool:
        """Whether a trial has not been suggested yet."""
        return all(trial.trial_id != trial_id for trial in self._searcher.trials)

    def trial_to_continue(self, seconds_left: float, *, can_begin: bool) -> str | None:
        """The stopped trial that a free worker goes on with; it counts as running from then on.

        Args:
            seconds_left: Of the time budget.
            can_begin: Whether there is a new trial, and time for its first epoch.

        Returns:
            Its trial_id; None where a new trial is worth more, or no stopped one can go on.
        """
        if can_begin and seconds_left >= self.seconds_to_a_member():
            return None
        stopped = [trial for trial in self._searcher.trials if self._fits(trial, seconds_left)]
        if not stopped:
            return None
        best = max(stopped, key=lambda trial: (self._best(trial), trial.trial_id))
        self._searcher.reopen(best.trial_id)
        self._scheduler.spare(best.trial_id)
        return best.trial_id

    def seconds_to_a_member(self) -> float:
        """Seconds in which trials have come to what the least of the best few has; 0 before there are so many."""
        trials = [trial for trial in self._searcher.trials if self._best(trial) > -math.inf]
        best = sorted((self._best(trial) for trial in trials), reverse=True)[:MEMBERS]
        if len(best) < MEMBERS:
            return 0.0
        return median(seconds for trial in trials if (seconds := self._seconds_to(trial, best[-1])) is not None)

    def _seconds_to(self, trial: SearchTrial, value: float) -> float | None:
        """Seconds in which a trial has reached a value; None if it has not."""
        spent = 0.0
        for epoch in sorted(trial.values):
            spent += trial.seconds.get(epoch, 0.0)
            if self._searcher.sign * trial.values[epoch] >= value:
                return spent
        return None

    def _fits(self, trial: SearchTrial, seconds_left: float) -> bool:
        return (
            trial.state == TrialStatus.STOPPED
            and max(trial.values) < self._max_epochs
            and OVERHEAD * median(trial.seconds.values()) <= seconds_left
            and self._can_go_on(trial.trial_id)
        )

    def _best(self, trial: SearchTrial) -> float:
        return max(
            (self._searcher.sign * value for value in trial.values.values() if math.isfinite(value)), default=-math.inf
        )
