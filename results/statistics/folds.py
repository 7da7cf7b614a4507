"""People dealt out into folds for cross-fitting: what is chosen on some people is scored on others.

Letters: `N` pictures, `R` repeats, `F` folds, `C` classes.
"""

from __future__ import annotations

import numpy as np

NUM_FOLDS = 5
"""Four fifths of the people choose, the others judge."""
NUM_REPEATS = 5
"""Ways of dealing them out, over which the luck of one is averaged."""


def fold_of_pictures(groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """The fold of each picture in each repeat, `(R, N) int64`; all pictures of a group are in one.

    Folds get as many groups each, as far as that goes; fewer groups than folds make a fold each.
    """
    names, place = np.unique(groups, return_inverse=True)
    num_folds = min(NUM_FOLDS, len(names))
    rng = np.random.default_rng(seed)
    dealt = [rng.permutation(np.arange(len(names)) % num_folds) for _ in range(NUM_REPEATS)]
    return np.stack(dealt)[:, place]


def class_counts(labels: np.ndarray, answers: np.ndarray, num_classes: int, weights: np.ndarray) -> np.ndarray:
    """What macro-F1 is made of, `(3, C) float64`: right answers, pictures and answers of a class, by weights `(N,)`."""
    right = np.where(labels == answers, weights, 0.0)
    return np.stack(
        [
            np.bincount(labels, right, num_classes),
            np.bincount(labels, weights, num_classes),
            np.bincount(answers, weights, num_classes),
        ]
    )
