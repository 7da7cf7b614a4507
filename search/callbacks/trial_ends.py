"""Hears from Ray Tune that a trial has ended, when all others have written down what they had to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune import Callback


class TrialEnds(Callback):
    """Ray Tune's callback that tells of each end; it stands behind those that write."""

    def __init__(self, tell: Callable[[], None]) -> None:
        """Takes who is told, who must not take long."""
        self._tell = tell

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles callbacks for a restore of its own, and a run is resumed from its logs."""
        return {}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tells."""
        self._tell()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tells."""
        self._tell()
