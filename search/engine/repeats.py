"""What the end of a time budget is spent on: the best configuration trained again, to answer together with itself.

Trainings of one configuration are equally good and better together, on any data (docs/score.md). What a search would
begin instead so late is a configuration of which it can learn no more than that it is not obviously bad.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from search.engine.study_journal import SearchTrial
from trainables.report import TrialStatus

MOST_TOGETHER = 3
"""Trainings of one configuration that are wanted: the second gained .025 macro-F1 on materials, the third .011, the
fourth .002 (docs/score.md), which is less than another configuration may gain."""


class Clock(Protocol):
    """Whoever knows how much time there is."""

    @property
    def seconds_left(self) -> float:
        """Until the time budget ends."""


@dataclass
class Repeats:
    """Says when a slot that is free had better train the best configuration again than a new one."""

    clock: Clock
    length: int
    """Epochs of a whole training."""
    long: float
    """Epochs after which a trial may be the best, and answer together with another of its configuration."""
    first_look: int
    """Epochs after which a new configuration may be stopped: with no time for that and for the trainings that are still
    wanted, none is begun."""
    slots: int
    """Trials at a time."""
    most: int = MOST_TOGETHER
    """Trainings of one configuration that are wanted."""
    spared: set[str] = field(default_factory=set)
    """trial_id of the trials that no rung stops, to which those are added that train a configuration again."""

    def which(self, trials: Sequence[SearchTrial], sign: float) -> SearchTrial | None:
        """The trial whose configuration is to be trained again now; None while there is time for others.

        Args:
            trials: All so far.
            sign: Of the metric: 1 where larger is better, else -1.
        """
        alive = [trial for trial in trials if trial.state != TrialStatus.FAILED]
        scored = [
            (trial, found[1], sum(map(math.isfinite, trial.values.values())))
            for trial in alive
            if (found := trial.best(sign))
        ]
        trained = [each for each in scored if each[2] >= self.long]
        if not trained:
            return None
        best, _, num_epochs = max(trained, key=lambda each: sign * each[1])
        wanted = self.most - sum(trial.params == best.params for trial in alive)
        length = max(self.length, num_epochs)  # it may have gone on
        epochs = math.ceil(wanted / self.slots) * length + self.first_look
        if wanted <= 0 or self.clock.seconds_left >= epochs * median(best.seconds.values()):
            return None
        return best

    def note(self, trial: SearchTrial, earlier: Sequence[SearchTrial]) -> None:
        """Takes in a trial that was not drawn by chance: if its configuration has been trained before, it is spared."""
        if any(other.params == trial.params for other in earlier):
            self.spared.add(trial.trial_id)
