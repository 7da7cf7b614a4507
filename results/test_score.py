"""The score on people never seen: of the pick, of the default configuration, and how far apart they are.

Letters: `N` pictures, `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from results.bootstrap import (
    Interval,
    accuracy,
    difference_interval,
    group_counts,
    mean_interval,
    score_interval,
    verdict,
)

SMALLEST_PROBABILITY = 1e-12
"""A probability below counts as this in the loss: float32 hardly tells it from 0, whose logarithm is infinite."""


@dataclass(frozen=True)
class TestScore:
    """What a test side says; every interval is over its groups."""

    __test__ = False  # pytest takes the name for a test

    macro_f1: Interval
    accuracy: Interval
    loss: Interval
    default: Interval
    """Macro-F1 of the default configuration."""
    difference: Interval
    """Macro-F1 of the pick less that of the default, on the same people."""
    verdict: str
    """The difference in words."""
    pictures: int
    groups: int
    missing: tuple[str, ...]
    """Classes without a picture here: the score says nothing of them."""

    def to_json(self) -> dict[str, Any]:
        """As in `RetrainedModel.test`."""
        return {
            "macro_f1": self.macro_f1.to_json(),
            "accuracy": self.accuracy.to_json(),
            "loss": self.loss.to_json(),
            "pictures": self.pictures,
            "groups": self.groups,
            "missing": list(self.missing),
        }


def score_test(
    probabilities: np.ndarray,
    default: np.ndarray | None,
    labels: Sequence[str],
    groups: Sequence[str],
    classes: Sequence[str],
) -> TestScore:
    """Scores two models on the same pictures.

    Args:
        probabilities: `(N, C) float32` of the pick.
        default: `(N, C) float32` of the default configuration; None if the pick is that.
        labels: True class of each picture.
        groups: Group (person) of each picture.
        classes: Names of the classes, in order.
    """
    truth = [list(classes).index(label) for label in labels]
    counts = group_counts(truth, probabilities.argmax(1).tolist(), groups, len(classes))
    if default is None:
        other, words = counts, "it is the default configuration"
    else:
        other = group_counts(truth, default.argmax(1).tolist(), groups, len(classes))
        words = verdict(difference_interval(counts, other), "the default")
    right = probabilities[np.arange(len(truth)), truth].astype(float)
    return TestScore(
        macro_f1=score_interval(counts),
        accuracy=score_interval(counts, accuracy),
        loss=mean_interval((-np.log(np.maximum(right, SMALLEST_PROBABILITY))).tolist(), groups),
        default=score_interval(other),
        difference=difference_interval(counts, other),
        verdict=words,
        pictures=len(truth),
        groups=len(set(groups)),
        missing=tuple(name for name in classes if name not in set(labels)),
    )
