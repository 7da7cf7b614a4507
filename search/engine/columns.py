"""Configurations as rows of numbers: of spaces that are conditional and categorical as well.

Letters: `N` configurations, `D` columns (one for a number, one for each choice of a category).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from spaces.sampling import share_of

ABSENT = -0.5
"""Stands for a parameter that a trial does not have; those that have it lie between 0 and 1."""


class Described(Protocol):
    """A configuration with the ranges it is from: a candidate, or a trial."""

    @property
    def params(self) -> Mapping[str, Any]:
        """What the space suggested."""

    @property
    def distributions(self) -> Mapping[str, BaseDistribution]:
        """The ranges it was suggested from."""


def columns_of(trials: Sequence[Described]) -> dict[Any, int]:
    """The `D` columns that some trials have together: by the name of a number, by name and choice of a category."""
    columns: dict[Any, int] = {}
    distinct = {(name, id(found)): found for trial in trials for name, found in trial.distributions.items()}
    for (name, _), distribution in distinct.items():
        if type(distribution) is CategoricalDistribution:
            for choice in distribution.choices:
                columns.setdefault((name, choice), len(columns))
        else:
            columns.setdefault(name, len(columns))
    return columns


def encode(trials: Sequence[Described], columns: Mapping[Any, int]) -> np.ndarray:
    """`(N, D) float64`: numbers as shares of their range, categories as ones and zeros."""
    encoded = np.full((len(trials), len(columns)), ABSENT)
    for row, trial in enumerate(trials):
        for name, distribution in trial.distributions.items():
            value = trial.params[name]
            if type(distribution) is CategoricalDistribution:
                for choice in distribution.choices:
                    encoded[row, columns[name, choice]] = float(choice == value)
            else:
                encoded[row, columns[name]] = share_of(distribution, value)
    return encoded
