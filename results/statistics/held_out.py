"""The score on people never seen: of the pick, of the default configuration, and how far apart they are.

Letters: `N` pictures, `C` classes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from results.statistics.bootstrap import (
    Interval,
    accuracy,
    difference_interval,
    group_counts,
    log_losses,
    mean_interval,
    score_interval,
    verdict,
)
from results.statistics.measure import MACRO_F1, Measure


@dataclass(frozen=True)
class TestScore:
    """What a test side says; every interval is over its groups."""

    __test__ = False  # pytest takes the name for a test

    macro_f1: Interval
    accuracy: Interval
    loss: Interval
    default: Interval
    """The score of the default configuration; NaN if it could not be trained."""
    difference: Interval
    """The score of the pick less that of the default, on the same people; NaN likewise."""
    verdict: str
    """The difference in words."""
    pictures: int
    groups: int
    missing_answers: Mapping[str, int]
    """Classes without a picture here, and how often each was answered all the same: macro-F1 counts those as 0."""
    other: Interval | None = None
    """The metric of the search, where that is another than macro-F1."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Classes without a picture here."""
        return tuple(self.missing_answers)

    @property
    def score(self) -> Interval:
        """By the metric of the search."""
        return self.macro_f1 if self.other is None else self.other

    def to_json(self) -> dict[str, Any]:
        """As in `RetrainedModel.test`."""
        return {
            "macro_f1": self.macro_f1.to_json(),
            "accuracy": self.accuracy.to_json(),
            "loss": self.loss.to_json(),
            "pictures": self.pictures,
            "groups": self.groups,
            "missing": list(self.missing),
            "missing_answers": dict(self.missing_answers),
            **({} if self.other is None else {"score": self.other.to_json()}),
        }


def score_test(
    probabilities: np.ndarray,
    default: np.ndarray | str,
    labels: Sequence[str],
    groups: Sequence[str],
    classes: Sequence[str],
    measure: Measure = MACRO_F1,
) -> TestScore:
    """Scores two models on the same pictures.

    Args:
        probabilities: `(N, C) float32` of the pick.
        default: `(N, C) float32` of the default configuration, or the reason why there is none; the very same array
            if the pick is the default.
        labels: True class of each picture.
        groups: Group (person) of each picture.
        classes: Names of the classes, in order.
        measure: The metric of the search.
    """
    index_of = {name: index for index, name in enumerate(classes)}
    truth = [index_of[label] for label in labels]
    chosen, num = probabilities.argmax(1).tolist(), len(classes)
    counts = group_counts(truth, chosen, groups, num)
    measured = measure.by_group(truth, chosen, groups, num)
    score = score_interval(measured, measure.score)
    unknown = Interval(math.nan, math.nan, math.nan)
    if isinstance(default, str):
        other, difference, words = unknown, unknown, f"the default could not be trained ({default})"
    elif default is probabilities:
        other, difference, words = score, Interval(0.0, 0.0, 0.0), "it is the default configuration"
    else:
        others = measure.by_group(truth, default.argmax(1).tolist(), groups, num)
        other = score_interval(others, measure.score)
        difference = difference_interval(measured, others, measure.score)
        words = verdict(difference, "the default")
    shown, answered = set(labels), Counter(chosen)
    return TestScore(
        macro_f1=score_interval(counts),
        accuracy=score_interval(counts, accuracy),
        loss=mean_interval(log_losses(probabilities, np.array(truth)).tolist(), groups),
        default=other,
        difference=difference,
        verdict=words,
        pictures=len(truth),
        groups=len(set(groups)),
        missing_answers={name: answered[index] for index, name in enumerate(classes) if name not in shown},
        other=None if measure == MACRO_F1 else score,
    )
