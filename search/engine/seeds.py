"""What each trial trains from: networks that answer together gain most if order, augmentation and dropout differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from search.engine.searcher import StudySearcher


class OwnSeeds:
    """A searcher whose trials have a seed each; the first has the search's, as if it were trained alone."""

    def __init__(self, inner: StudySearcher, seed: int) -> None:
        """Takes who knows the configurations, and the seed of the search."""
        self._inner = inner
        self._seed = seed

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The configuration of this trial, and its seed."""
        return {**self._inner.suggest(trial_id), "task": {"seed": seed_of(trial_id, self._seed)}}

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Passes an epoch on."""
        self._inner.on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None, error: bool, reason: str | None, is_done: bool = False
    ) -> None:
        """Passes the end of a trial on."""
        self._inner.on_trial_complete(trial_id, result, error, reason, is_done)


def seed_of(trial_id: str, seed: int) -> int:
    """What a trial trains from, told by its number alone: the same after a resume, on every machine.

    Drawn, not counted up: a re-training takes the seeds that follow the search's.
    """
    number = int(trial_id)
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) if number else seed
