"""Precision, recall, F1 and support of every class, from a confusion matrix.

Letters: `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from results.statistics import evaluation


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """One class; 0 where its denominator is 0, as scikit-learn has it."""

    name: str
    precision: float
    """Share of the pictures answered as this class that are of it."""
    recall: float
    """Share of its pictures that were answered as it."""
    f1: float
    support: int
    """Pictures of the class."""


def class_scores(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> list[ClassScore]:
    """The scores of all classes, in their order.

    Args:
        confusion: `(C, C)` pictures of true class (row) answered as class (column).
        classes: Names of the classes.
    """
    return [
        ClassScore(
            name=one.name,
            precision=one.precision or 0.0,
            recall=one.recall or 0.0,
            f1=one.f1 or 0.0,
            support=one.count,
        )
        for one in evaluation.class_scores(np.asarray(confusion), classes)
    ]
