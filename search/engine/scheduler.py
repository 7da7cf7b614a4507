"""ASHA: stops a trial at a rung unless it is among the best that came there.

Grace period and reduction factor follow from the number of epochs; a value that is no number is worst and ends its
trial at once; the rungs can be built again from the values of earlier trials, so they survive a resume.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.engine.rungs import DEFAULT_REDUCTION_FACTOR, default_grace_period, rung_epochs

MOST_SPARED = 4
"""Trials that begin at once and are trained to their end whatever they show."""


def build_scheduler(
    *,
    metric: str,
    mode: str,
    max_epochs: int,
    grace_period: int | None = None,
    reduction_factor: float | None = None,
    spared: Collection[str] = (),
    cost_of: Callable[[Mapping[str, Any]], float] | None = None,
) -> RungScheduler:
    """Builds the scheduler of one search.

    Args:
        metric: Key of the value in each result.
        mode: "max" or "min".
        max_epochs: Epochs of a trial that is not stopped.
        grace_period: Epochs before a trial can be stopped; by default from `max_epochs` (`default_grace_period`).
        reduction_factor: One trial in so many goes on at each rung, and rungs are that factor apart; by default 3.
        spared: Trials that count at the rungs and are not stopped there. It is asked at each rung: there may come more.
        cost_of: What the network of a configuration costs to answer, where that counts: a trial is then compared only
            with trials that are not dearer.
    """
    return RungScheduler(
        metric=metric,
        mode=mode,
        max_epochs=max_epochs,
        grace_period=default_grace_period(max_epochs) if grace_period is None else grace_period,
        reduction_factor=DEFAULT_REDUCTION_FACTOR if reduction_factor is None else reduction_factor,
        spared=spared,
        cost_of=cost_of,
    )


class RungScheduler(FIFOScheduler):
    """Asynchronous successive halving (arXiv 1810.05934) in its stopping form; `build_scheduler` says the arguments."""

    def __init__(
        self,
        *,
        metric: str,
        mode: str,
        max_epochs: int,
        grace_period: int,
        reduction_factor: float,
        spared: Collection[str] = (),
        cost_of: Callable[[Mapping[str, Any]], float] | None = None,
    ) -> None:
        if mode not in ("max", "min"):
            raise ValueError(f"mode is {mode!r}: it must be max or min")
        if max_epochs < 1:
            raise ValueError(f"max_epochs is {max_epochs!r}: it must be at least 1")
        if grace_period < 1:
            raise ValueError(f"grace_period is {grace_period!r}: it must be at least 1")
        if not reduction_factor > 1:
            raise ValueError(f"reduction_factor is {reduction_factor!r}: it must be more than 1")
        super().__init__()
        self._metric: str = metric
        self._sign = 1.0 if mode == "max" else -1.0
        self._max_epochs = max_epochs
        self._reduction_factor = reduction_factor
        self._rungs: dict[int, dict[str, float]] = {
            epoch: {} for epoch in rung_epochs(max_epochs, grace_period, reduction_factor)
        }
        self._best: dict[str, float] = {}
        self._spared = spared
        self._cost_of = cost_of
        self._costs: dict[str, float] = {}

    @property
    def rungs(self) -> dict[int, dict[str, float]]:
        """Epoch of each rung to the value that each trial had there, larger is better."""
        return {epoch: dict(values) for epoch, values in self._rungs.items()}

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Nothing to do: a trial is known from its first result."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Decides after an epoch whether the trial goes on."""
        if "training_iteration" not in result or self._metric not in result:
            return TrialScheduler.CONTINUE
        self._note_cost(trial_name(trial), getattr(trial, "config", None))
        return self._decide(trial_name(trial), int(result["training_iteration"]), result[self._metric])

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> None:
        """Takes in the last result of a trial that ended."""
        self.on_trial_result(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Keeps the rungs as they are: what the trial showed before is still true."""

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Keeps the rungs as they are."""

    def adopt(self, trial_id: str, values: Sequence[float], config: Mapping[str, Any] | None = None) -> None:
        """Takes in the values after each epoch of a trial of an earlier start, and its configuration if costs count."""
        self._note_cost(trial_id, config)
        for epoch, value in enumerate(values, start=1):
            self._decide(trial_id, epoch, value)

    def debug_string(self) -> str:
        """One line about the rungs."""
        return "Rungs: " + " | ".join(f"epoch {epoch}: {len(values)} trials" for epoch, values in self._rungs.items())

    def save(self, checkpoint_path: str) -> None:
        """Pickles the state."""
        Path(checkpoint_path).write_bytes(pickle.dumps(self.__dict__))

    def restore(self, checkpoint_path: str) -> None:
        """Takes over the state that `save` wrote."""
        self.__dict__.update(pickle.loads(Path(checkpoint_path).read_bytes()))

    def _decide(self, trial_id: str, epoch: int, value: float | None) -> str:
        number = math.nan if value is None else float(value)
        diverged = not math.isfinite(number)
        here = -math.inf if diverged else self._sign * number
        best = self._best[trial_id] = max(here, self._best.get(trial_id, -math.inf))
        rung = self._rung(epoch, diverged)
        if diverged or epoch >= self._max_epochs:
            if diverged and rung is not None:
                self._rungs[rung].setdefault(trial_id, -math.inf)
            return TrialScheduler.STOP
        if rung is None or trial_id in self._rungs[rung]:
            return TrialScheduler.CONTINUE
        values = self._rungs[rung]
        values[trial_id] = best
        values = self._not_dearer(trial_id, values)
        better = sum(value > best for value in values.values())
        goes_on = better < max(1, int(len(values) / self._reduction_factor))
        return TrialScheduler.CONTINUE if goes_on or trial_id in self._spared else TrialScheduler.STOP

    def _note_cost(self, trial_id: str, config: Mapping[str, Any] | None) -> None:
        if self._cost_of is not None and trial_id not in self._costs:
            self._costs[trial_id] = self._cost_of(config or {})

    def _not_dearer(self, trial_id: str, values: dict[str, float]) -> dict[str, float]:
        """Of the trials of a rung those that a trial is compared with, itself among them."""
        if self._cost_of is None:
            return values
        return {name: value for name, value in values.items() if self._costs[name] <= self._costs[trial_id]}

    def _rung(self, epoch: int, diverged: bool) -> int | None:
        """The rung that a trial stands on at an epoch; for a diverged one the rung it was on its way to."""
        if diverged:
            return min((rung for rung in self._rungs if rung >= epoch), default=None)
        return max((rung for rung in self._rungs if rung <= epoch), default=None)


def trial_name(trial: Any) -> str:
    """What a trial is called in its search: the trial_id it was given, which outlives Ray's own."""
    return (getattr(trial, "config", None) or {}).get("trial_id", trial.trial_id)
