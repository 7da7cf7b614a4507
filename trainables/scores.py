"""The metrics that a search may maximize, from answers on a side: the known ones, and one of the user's own.

All but the user's own are made of counts, as `results.statistics.bootstrap.group_counts` has them.

Letters: `N` pictures, `C` classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from trainables.errors import UserError
from trainables.parts.registry import is_own, knobs_for, part, told_apart, where


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of right answers of counts `(..., 3, C)`."""
    return counts[..., 0, :].sum(axis=-1) / np.maximum(counts[..., 1, :].sum(axis=-1), 1)


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """Macro-F1 of counts `(..., 3, C)`, over the classes in truth or answers, as `EpochReport` has it."""
    f1, present = _f1(counts)
    return f1.sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)


def weighted_f1(counts: np.ndarray) -> np.ndarray:
    """F1 of each class, weighted by its pictures (scikit-learn's `average="weighted"`), of counts `(..., 3, C)`."""
    pictures = counts[..., 1, :]
    return (_f1(counts)[0] * pictures).sum(axis=-1) / np.maximum(pictures.sum(axis=-1), 1)


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Mean share of right answers over the classes that have pictures, of counts `(..., 3, C)`."""
    pictures = counts[..., 1, :]
    present = pictures > 0
    recall = np.divide(1.0 * counts[..., 0, :], pictures, out=np.zeros(pictures.shape), where=present)
    return recall.sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)


def _f1(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F1 of each class, and whether it is in truth or answers, `(..., C)` each."""
    both = counts[..., 1, :] + counts[..., 2, :]
    present = both > 0
    return np.divide(2.0 * counts[..., 0, :], both, out=np.zeros(both.shape), where=present), present


OF_COUNTS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "macro_f1": macro_f1,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "weighted_f1": weighted_f1,
}


def score_confusion(metric: str, confusion: Any) -> float:
    """A metric of a confusion matrix `(C, C)`, true class (row) answered as class (column).

    Raises:
        UserError: One of the user's own fails, or is no number from 0 to 1.
    """
    matrix = np.asarray(confusion)
    if is_own(metric):
        return own_score(metric, matrix)
    counts = np.stack([np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0)])
    return float(OF_COUNTS[metric](counts))


def own_score(metric: str, confusion: np.ndarray) -> float:
    """A metric of the user's own, of a confusion matrix `(C, C)`; as `score_confusion`."""
    function = part("metric", metric)
    classes = len(confusion)
    knobs = knobs_for(function, 2, {"num_classes": classes}, "metric")
    cells = np.rint(confusion).astype(np.int64).ravel()
    truth, answers = (np.repeat(side, cells) for side in np.divmod(np.arange(classes * classes), classes))
    with told_apart("metric", metric):
        value = function(truth, answers, **knobs)
        number = float(value)
    if not (math.isfinite(number) and 0 <= number <= 1):
        shown = sorted(set(truth.tolist()))
        raise UserError(
            f"{where('metric', metric)} gives {number:g} for {len(truth)} pictures of {len(shown)} of {classes} "
            "classes: it must be a number from 0 to 1, more being better, whichever classes occur"
        )
    return number
