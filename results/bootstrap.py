"""How far a score on a handful of people can be trusted: intervals from a bootstrap over groups.

Pictures of one person rise and fall together, so it is people that are drawn anew, not pictures.

Letters: `G` groups, `C` classes, `R` resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

NUM_RESAMPLES = 4000
LEVEL = 0.95

Statistic = Callable[[np.ndarray], np.ndarray]
"""From confusion matrices `(..., C, C)` to a score each, `(...)`."""


@dataclass(frozen=True)
class Interval:
    """A score and its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def macro_f1(confusions: np.ndarray) -> np.ndarray:
    """Macro-F1 of confusion matrices `(..., C, C)`, over the classes in truth or answers, as `EpochReport` has it."""
    hits = np.diagonal(confusions, axis1=-2, axis2=-1)
    both = confusions.sum(axis=-1) + confusions.sum(axis=-2)
    present = both > 0
    f1 = np.divide(2.0 * hits, both, out=np.zeros(both.shape), where=present)
    return f1.sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)


def accuracy(confusions: np.ndarray) -> np.ndarray:
    """Share of right answers of confusion matrices `(..., C, C)`."""
    hits = np.trace(confusions, axis1=-2, axis2=-1)
    return hits / np.maximum(confusions.sum(axis=(-2, -1)), 1)


def group_confusions(
    labels: Sequence[int], answers: Sequence[int], groups: Sequence[str], num_classes: int
) -> np.ndarray:
    """A confusion matrix a group, `(G, C, C) int64`, groups in sorted order."""
    names, place = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    confusions = np.zeros((len(names), num_classes, num_classes), dtype=np.int64)
    np.add.at(confusions, (place, np.asarray(labels), np.asarray(answers)), 1)
    return confusions
