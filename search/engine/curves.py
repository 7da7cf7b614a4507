"""Learning curves made comparable: what a trial that was stopped early would have reached at full length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def best_so_far(values: Sequence[float]) -> np.ndarray:
    """Running maximum of a curve `(epochs,)`; an epoch without a finite value keeps the one before (-inf at first)."""
    finite = np.array([value if math.isfinite(value) else -math.inf for value in values], dtype=float)
    return np.maximum.accumulate(finite) if len(finite) else finite


def is_flat(curve: Sequence[float], patience: int) -> bool:
    """Whether the last epochs of a curve, so many, brought no better one."""
    best = best_so_far(curve)
    return len(best) > patience and math.isfinite(best[-1]) and best[-1] == best[-1 - patience]


def extended_values(curves: Sequence[Sequence[float]], over: Sequence[bool] = ()) -> np.ndarray:
    """The best value of every curve, carried on to the length of the longest one.

    Values are maximized. A curve that ends early is extended stage by stage, a stage being the stretch between two
    lengths at which curves end: its best value grows by the mean gain over that stage of the curves that lasted
    longer. So all values are on the scale of the longest curve, and the order of curves of equal length stays theirs.

    Args:
        curves: The metric after each epoch, one sequence a trial.
        over: For each, whether it had become no better for so long that it was given up, and is taken to have stayed
            as it was; none given, none was.

    Returns:
        `(trials,)` extended values; -inf for a curve without a finite value.
    """
    best = [best_so_far(curve) for curve in curves]
    best = [curve if len(curve) and math.isfinite(curve[-1]) else np.empty(0) for curve in best]
    longest = max(map(len, best), default=0)
    for place, curve in enumerate(best):
        if over and over[place] and len(curve):
            best[place] = np.append(curve, np.full(longest - len(curve), curve[-1]))
    lengths = sorted({len(curve) for curve in best if len(curve)})
    still_to_gain = dict.fromkeys(lengths, 0.0)
    for here, following in reversed(list(pairwise(lengths))):
        gains = [curve[following - 1] - curve[here - 1] for curve in best if len(curve) >= following]
        finite = [gain for gain in gains if math.isfinite(gain)]
        still_to_gain[here] = still_to_gain[following] + (float(np.mean(finite)) if finite else 0.0)
    return np.array([curve[-1] + still_to_gain[len(curve)] if len(curve) else -math.inf for curve in best])
