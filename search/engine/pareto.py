"""Two objectives in one study, the score and what a network costs to answer: how proposals and stopping weigh them.

Proposals follow ParEGO (Knowles 2006): each draws a weight at random and asks the sampler for what is best by the
weighted worse of the two, so that over a search all parts of the front are sought. Stopping compares a trial only with
trials that are not dearer: what is best among the cheap goes on, whatever the dear ones reach.

Letters: `N` trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from search.engine.draws import Seen

LEAST_WEIGHT = 0.05
"""Of the score, at least: without any, the cheapest network would be proposed whatever it scores."""
MIXED_IN = 0.05
"""Share of the weighted sum beside the weighted worse of the two, as in ParEGO: where these are equal, the other
objective decides."""


@dataclass(frozen=True)
class SecondObjective:
    """What counts beside the score; picklable, as the searcher is."""

    name: str
    """ms or parameters."""
    costs: Mapping[tuple[str, str], float]
    """By backbone and formulation."""

    def cost(self, config: Mapping[str, Any]) -> float:
        """What the network of a configuration costs; the most that is known where it is not."""
        name = (str(config.get("backbone")), str(config.get("formulation", "joint")))
        return self.costs.get(name, max(self.costs.values()))

    def scalarized(self, values: np.ndarray, costs: np.ndarray, weight: float) -> np.ndarray:
        """One value for both, larger is better, `(N,)`.

        Args:
            values: Scores `(N,)`, larger is better. They count by how far they are below the best, in units of the
                distance between the best and the median: the many bad ones would else press the good ones together.
            costs: What each costs, `(N,)`; logarithms count, between the cheapest network there is and the dearest.
            weight: Of the score, 0 to 1.
        """
        reach = float(values.max() - np.median(values))
        behind = (values.max() - values) / (reach or 1.0)
        low, high = (float(np.log(end(list(self.costs.values())))) for end in (min, max))
        dear = (np.log(costs) - low) / ((high - low) or 1.0)
        both = np.stack([weight * behind, (1 - weight) * dear])
        return np.asarray(-(both.max(axis=0) + MIXED_IN * both.sum(axis=0)))

    def weighed(
        self,
        seen: Sequence[Seen],
        configs: Sequence[Mapping[str, Any]],
        rng: np.random.Generator,
    ) -> list[Seen]:
        """The trials as the sampler is to see them for the next proposal: by a weight that is drawn for it.

        Args:
            seen: Trials with their scores, or None while they run; one that failed counts as the worst of all, however
                cheap it is.
            configs: Configuration of each.
            rng: Draws the weight.
        """
        weight = float(rng.uniform(LEAST_WEIGHT, 1.0))
        known = [index for index, trial in enumerate(seen) if trial.value is not None]
        if not known:
            return list(seen)
        scores = np.array([seen[index].value for index in known], dtype=float)
        costs = np.array([self.cost(configs[index]) for index in known])
        values = dict(zip(known, self.scalarized(scores, costs, weight), strict=True))
        worst = min(values.values())
        return [
            replace(trial, value=float(worst if trial.has_failed else values[index])) if index in values else trial
            for index, trial in enumerate(seen)
        ]
