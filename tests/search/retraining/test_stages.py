"""The order of trainings that are settled beforehand: the long ones are not left for the end."""

from __future__ import annotations

import math
from dataclasses import replace

from results.records.trials import TrialHistory
from results.statistics.ranking import Candidate
from search.retraining.stages import epoch_seconds
from tests.results.records.test_cost import a_trial


def test_an_epoch_is_as_long_as_it_was_in_the_search() -> None:
    trials: list[TrialHistory] = [a_trial(2, "finished", seconds=3.0), a_trial(1, "stopped", seconds=6.0)]
    config = trials[0].config
    other = replace(config, lr=0.5)
    assert epoch_seconds(trials, Candidate("00000", config, 0.5)) == 4.0
    assert epoch_seconds(trials, Candidate("default", other, None)) == math.inf  # comes first, in case it is long
