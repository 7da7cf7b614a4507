"""Where ASHA looks at trials: how soon, how often, and how many it lets go on. Numbers only, no Ray."""

from __future__ import annotations

import math

DEFAULT_REDUCTION_FACTOR = 3.0
"""Over 27 to 52 epochs far better than Ray's default of 4 with a grace period of 1."""
NEARLY_DONE = 1.2
"""Length over the epoch of a rung, below which it is none."""


def default_grace_period(max_epochs: int) -> int:
    """A third of the square root, at least 1: 2 of 27 and of 52 (measured), 1 of up to 20, 3 of 100, 5 of 200."""
    return max(1, round(math.sqrt(max_epochs) / 3))


def rung_epochs(max_epochs: int, grace_period: int, reduction_factor: float) -> list[int]:
    """Epochs at which trials are compared, ascending, all before `max_epochs`.

    A later one with next to nothing left behind it is none: a trial that has come so far had better be finished.
    """
    epochs: list[int] = []
    epoch = float(grace_period)
    while round(epoch) < max_epochs:
        if not epochs or NEARLY_DONE * round(epoch) <= max_epochs:
            epochs.append(round(epoch))
        epoch *= reduction_factor
    return sorted(set(epochs))
