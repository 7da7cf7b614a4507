"""Syne Tune's schedulers as a searcher and a scheduler of the simulations, where its package is installed."""

from __future__ import annotations

import datetime
import importlib
import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, IntDistribution

from search.engine.rungs import default_grace_period
from spaces.sampling import RecordedTrial, at_share, config_of

DRAWS = 200
"""Random configurations in which every parameter of a conditional space is met."""


class SyneTunePolicy:
    """One of Syne Tune's baselines with our rungs' epochs; of a conditional space it sees all parameters at once."""

    def __init__(self, kind: str, task: Any, metric: str, seed: int) -> None:
        """Builds it.

        Args:
            kind: Name in `syne_tune.optimizer.baselines`.
            task: With `space` and `epochs`.
            metric: Key of the value in each result; larger is better.
            seed: Of its draws.
        """
        logging.getLogger("syne_tune").setLevel(logging.ERROR)
        self._task, self._metric = task, metric
        self._trial = importlib.import_module("syne_tune.backend.trial_status").Trial
        self._scheduler = getattr(importlib.import_module("syne_tune.optimizer.baselines"), kind)(
            _flat_space(task),
            metric=metric,
            time_attr="training_iteration",
            max_t=task.epochs,
            do_minimize=False,
            random_seed=seed,
            grace_period=default_grace_period(task.epochs),
            reduction_factor=3,
        )
        self._trials: dict[str, Any] = {}

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """A configuration of the space."""
        flat = self._scheduler.suggest().config
        trial = self._trial(trial_id=int(trial_id), config=flat, creation_time=datetime.datetime.now())
        self._trials[trial_id] = trial
        self._scheduler.on_trial_add(trial)
        return config_of(self._task.space, RecordedTrial(lambda name, _: flat[name]))

    def on_trial_add(self, controller: None, trial: Any) -> None:
        """Knows it from `suggest`."""

    def on_trial_result(self, first: Any, second: Any, result: Mapping[str, Any] | None = None) -> str:
        """Decides, when asked as a scheduler; as a searcher it has learned it then already."""
        if result is None:
            return "CONTINUE"
        if not math.isfinite(result[self._metric]):
            return "STOP"
        decision = self._scheduler.on_trial_result(self._trials[second.trial_id], dict(result))
        return "CONTINUE" if decision == "CONTINUE" else "STOP"

    def on_trial_complete(self, first: Any, second: Any = None, result: Mapping[str, Any] | None = None) -> None:
        """Takes in the end of a trial, when told as a searcher."""
        if not isinstance(first, str):
            return
        if math.isfinite(second[self._metric]):
            self._scheduler.on_trial_complete(self._trials[first], dict(second))
        else:
            self._scheduler.on_trial_error(self._trials[first])


def _flat_space(task: Any) -> dict[str, Any]:
    space = importlib.import_module("syne_tune.config_space")
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for _ in range(DRAWS):
        trial = RecordedTrial(lambda name, distribution: at_share(distribution, rng.random()))
        task.space(trial)
        found |= trial.distributions
    flat = {}
    for name, distribution in found.items():
        if isinstance(distribution, CategoricalDistribution):
            flat[name] = space.choice(list(distribution.choices))
        elif isinstance(distribution, IntDistribution):
            flat[name] = (space.lograndint if distribution.log else space.randint)(distribution.low, distribution.high)
        else:
            flat[name] = (space.loguniform if distribution.log else space.uniform)(distribution.low, distribution.high)
    return flat
