"""What an epoch of a configuration costs, told before one of it was trained: where time is what a search has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import numpy as np
from optuna.distributions import BaseDistribution

from search.engine.columns import Described, columns_of, encode
from search.engine.sampler import Price

SHRINKAGE = 0.3
"""Pull of every coefficient towards 0, in trials: what two trials say of a choice is believed for the most part."""
BACKBONE = "backbone"
"""The parameter that names the network."""


class Timed(Protocol):
    """A trial, as far as its cost is concerned."""

    @property
    def placed(self) -> tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]:
        """Its values and their ranges."""

    @property
    def seconds(self) -> Mapping[int, float]:
        """Of each epoch."""


@dataclass(frozen=True)
class EpochCosts:
    """A linear model of the logarithm of seconds: a network, a size or a switch multiplies what an epoch takes.

    It begins with what is known of the networks and learns from the epochs that were trained. It knows nothing but
    these, so a search that is resumed prices as one that was never interrupted.
    """

    networks: Mapping[str, float]
    """What a step of each backbone costs, in any unit, such as activations; one that is missing is as the median."""

    def price(self, trials: Sequence[Timed]) -> Price:
        """Says of candidates the logarithm of the seconds of an epoch, but for a constant.

        Args:
            trials: All of the search so far; those without a timed epoch say nothing.
        """
        timed = [(_Placed(*trial.placed), median(took)) for trial in trials if (took := _above_zero(trial.seconds))]
        trained, seconds = [trial for trial, _ in timed], [took for _, took in timed]
        return lambda candidates: self.log_seconds(candidates, trained, seconds)

    def log_seconds(
        self, candidates: Sequence[Described], trained: Sequence[Described], seconds: Sequence[float]
    ) -> np.ndarray:
        """Logarithm of the seconds of an epoch of each candidate, but for a constant that all share.

        Args:
            candidates: `M` configurations.
            trained: `N` that were trained.
            seconds: Of an epoch of each of these, above 0.

        Returns:
            `(M,)`.
        """
        known = self._known(candidates)
        if not trained:
            return known
        rest = np.log(np.asarray(seconds)) - self._known(trained)
        columns = columns_of([*trained, *candidates])
        features, at = encode(trained, columns), encode(candidates, columns)
        center = features.mean(axis=0)
        features, at = features - center, at - center
        weights = np.linalg.solve(features @ features.T + SHRINKAGE * np.eye(len(rest)), rest - rest.mean())
        return known + rest.mean() + at @ (features.T @ weights)

    def _known(self, trials: Sequence[Described]) -> np.ndarray:
        typical = median(self.networks.values()) if self.networks else 1.0
        return np.array([math.log(self.networks.get(trial.params.get(BACKBONE, ""), typical)) for trial in trials])


@dataclass(frozen=True)
class _Placed:
    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]


def _above_zero(seconds: Mapping[int, float]) -> list[float]:
    return [took for took in seconds.values() if took > 0]
