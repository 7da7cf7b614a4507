"""What the best of many trials and epochs is worth: a score that was not picked for being high.

The highest of many noisy scores is high by luck too. So people are dealt out into folds: the trial and epoch that are
best on the people of all other folds answer those of a fold. No answer is then scored by the people it was picked on.
What is left in is what the trials themselves owe to these people: which were stopped, and what was proposed next.

Letters: `N` pictures, `E` epochs of a trial, `R` repeats, `F` folds, `G` groups, `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from results.statistics.bootstrap import Interval, score_interval
from results.statistics.folds import fold_of_pictures
from results.statistics.measure import MACRO_F1, Measure
from trainables.report import as_good


def corrected_score(
    labels: np.ndarray,
    groups: np.ndarray,
    answers: Sequence[np.ndarray],
    num_classes: int,
    measure: Measure = MACRO_F1,
) -> Interval:
    """The score of picking the best trial at its best epoch, with its interval over people who did not pick.

    Args:
        labels: True classes `(N,)`.
        groups: Person of each picture `(N,)`.
        answers: Class indices `(E, N)` of the epochs of each trial.
        num_classes: Classes.
        measure: The metric.

    Returns:
        The score pooled over all repeats; NaN throughout with fewer than two people.
    """
    folds = fold_of_pictures(groups)
    num_folds = int(folds.max()) + 1
    if num_folds < 2:
        return Interval(np.nan, np.nan, np.nan)
    others = np.array([[np.sum(fold != number) for number in range(num_folds)] for fold in folds])
    epochs, scores = [], []
    for trial in answers:
        outside = (_outside(labels, each, num_classes, folds, num_folds, measure) for each in trial)
        by_epoch = np.stack([measure.score(each) for each in outside])  # (E, R, F)
        fit = as_good(by_epoch, by_epoch.max(axis=0), others)
        epochs.append(len(trial) - 1 - fit[::-1].argmax(axis=0))  # the latest
        scores.append(np.take_along_axis(by_epoch, epochs[-1][None], axis=0)[0])
    picked = np.stack(scores).argmax(axis=0)  # (R, F), the first of equals
    epoch = np.take_along_axis(np.stack(epochs), picked[None], axis=0)[0]
    total = sum(
        measure.by_group(
            labels.tolist(),
            _answers_of(answers, picked[repeat], epoch[repeat], fold).tolist(),
            groups.tolist(),
            num_classes,
        )
        for repeat, fold in enumerate(folds)
    )
    return score_interval(np.asarray(total), measure.score)


def _outside(
    labels: np.ndarray, answers: np.ndarray, num_classes: int, folds: np.ndarray, num_folds: int, measure: Measure
) -> np.ndarray:
    """Counts `(R, F, ...)` of all people but those of a fold."""
    if measure != MACRO_F1:
        every = [
            [measure.of_pictures(labels, answers, num_classes, 1.0 * (fold != number)) for number in range(num_folds)]
            for fold in folds
        ]
        return np.array(every)
    right = labels == answers
    inside = np.empty((len(folds), num_folds, 3, num_classes))
    for repeat, fold in enumerate(folds):
        places = (fold[right] * num_classes + labels[right], fold * num_classes + labels, fold * num_classes + answers)
        for part, place in enumerate(places):
            counts = np.bincount(place, minlength=num_folds * num_classes)
            inside[repeat, :, part] = counts.reshape(num_folds, num_classes)
    return inside.sum(axis=1, keepdims=True) - inside


def _answers_of(answers: Sequence[np.ndarray], picked: np.ndarray, epoch: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """What the pick of each fold answers to its people, `(N,)`."""
    out = np.empty(len(fold), dtype=np.int64)
    for number, pick in enumerate(picked):
        out[fold == number] = answers[pick][epoch[number]][fold == number]
    return out
