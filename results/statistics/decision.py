"""A decision rule for macro-F1 with one parameter: probabilities divided by the training prior to the power tau.

A network that was trained on many pictures of one class answers it more readily, and macro-F1 counts every class as
much. Dividing by the prior to the power of 1 makes up for all of that (Menon et al. 2021, eq. 9), to the power of 0 for
nothing; a network that was shown small classes more often, by the root of their size, needs about half of it. A bias
for every class fits the validation people better and new people no better: it is not tried.

Letters: `N` pictures, `C` classes.
"""

from __future__ import annotations

import numpy as np

from results.statistics.measure import MACRO_F1, Measure

TAUS = tuple(round(0.1 * step, 1) for step in range(11))
"""Powers that are tried."""


def decide(probabilities: np.ndarray, prior: np.ndarray, tau: float) -> np.ndarray:
    """The class answered to each picture `(N,)`, for probabilities `(N, C)` and the prior `(C,)`."""
    return (probabilities / prior**tau).argmax(axis=1)


def best_tau(probabilities: np.ndarray, labels: np.ndarray, prior: np.ndarray, measure: Measure = MACRO_F1) -> float:
    """The power with the highest score on these pictures, smoothed over its neighbours; of equals the smallest.

    A single power may be best by a picture or two: each counts as the mean of itself and those beside it.
    """
    answers = (decide(probabilities, prior, tau) for tau in TAUS)
    scores = measure.score(np.stack([measure.of_pictures(labels, each, len(prior)) for each in answers]))
    padded = np.pad(scores, 1, mode="edge")
    smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    return TAUS[int(np.argmax(smooth > smooth.max() - 1e-12))]
