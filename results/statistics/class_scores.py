"""Precision, recall, F1 and support of every class, from a confusion matrix.

Letters: `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
    answered = [sum(column) for column in zip(*confusion, strict=True)]
    scores = []
    for index, (name, row) in enumerate(zip(classes, confusion, strict=True)):
        right, support = row[index], sum(row)
        whole = support + answered[index]
        scores.append(
            ClassScore(
                name=name,
                precision=right / answered[index] if answered[index] else 0.0,
                recall=right / support if support else 0.0,
                f1=2 * right / whole if whole else 0.0,
                support=support,
            )
        )
    return scores
