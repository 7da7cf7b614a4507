"""A metric as intervals, choices and ensembles take it: what they count, and the score of what they counted.

Letters: `G` groups, `N` pictures, `C` classes, `D` numbers that are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from results.statistics.bootstrap import group_counts, group_places
from results.statistics.folds import class_counts
from trainables.metric_names import in_words
from trainables.parts.registry import is_own
from trainables.scores import OF_COUNTS, own_score


@dataclass(frozen=True)
class Measure:
    """A metric of a task. Counts add up: those of two groups of pictures together are the sum of each one's."""

    metric: str = "macro_f1"
    """As `TaskConfig.metric`."""

    @property
    def words(self) -> str:
        """As pages name it."""
        return in_words(self.metric)

    def by_group(
        self, labels: Sequence[int], answers: Sequence[int], groups: Sequence[str], num_classes: int
    ) -> np.ndarray:
        """Counts a group each, `(G, ...)`, groups as `group_places` has them.

        The three of `group_counts`, `(G, 3, C)`; for a metric of the user's own confusion matrices, `(G, C, C)`.
        """
        if not is_own(self.metric):
            return group_counts(labels, answers, groups, num_classes)
        num_groups, place = group_places(groups)
        counts = np.zeros((num_groups, num_classes, num_classes), dtype=np.int64)
        np.add.at(counts, (place, np.asarray(labels, dtype=np.int64), np.asarray(answers, dtype=np.int64)), 1)
        return counts

    def of_pictures(
        self, labels: np.ndarray, answers: np.ndarray, num_classes: int, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """Counts of all pictures `(...)` together, each as often as its weight `(N,)` says; by default once."""
        weights = np.ones(len(labels)) if weights is None else weights
        if is_own(self.metric):
            flat = np.bincount(labels * num_classes + answers, weights, num_classes * num_classes)
            return flat.reshape(num_classes, num_classes)
        return class_counts(labels, answers, num_classes, weights)

    def score(self, counts: np.ndarray) -> np.ndarray:
        """The metric of counts, `(...)` of `(..., 3, C)` or `(..., C, C)`."""
        if not is_own(self.metric):
            return OF_COUNTS[self.metric](counts)
        flat = counts.reshape(-1, *counts.shape[-2:])
        return np.array([own_score(self.metric, each) for each in flat]).reshape(counts.shape[:-2])

    def score_of(
        self, labels: np.ndarray, answers: np.ndarray, num_classes: int, weights: np.ndarray | None = None
    ) -> float:
        """The metric of answers `(N,)`, each picture counted by its weight."""
        return float(self.score(self.of_pictures(labels, answers, num_classes, weights)))


MACRO_F1 = Measure()
