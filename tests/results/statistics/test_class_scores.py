"""Scores of classes from a confusion matrix are scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from results.statistics.class_scores import class_scores


def test_they_are_those_of_scikit_learn_also_for_classes_that_are_absent_or_never_answered() -> None:
    counts = [[5, 2, 0, 0], [1, 7, 0, 0], [0, 0, 0, 0], [1, 2, 0, 0]]
    truth = [row for row, values in enumerate(counts) for _ in range(sum(values))]
    answers = [column for values in counts for column, value in enumerate(values) for _ in range(value)]
    wanted = precision_recall_fscore_support(truth, answers, labels=range(4), zero_division=0)
    found = class_scores(counts, ["a", "b", "c", "d"])
    for part, values in zip(("precision", "recall", "f1", "support"), wanted, strict=True):
        assert [getattr(score, part) for score in found] == pytest.approx(list(np.asarray(values)))
