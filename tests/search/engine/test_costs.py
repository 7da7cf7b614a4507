from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from optuna.distributions import BaseDistribution

from search.engine.costs import EpochCosts
from search.engine.draws import Seen
from search.engine.sampler import propose
from search.engine.scheduler import build_scheduler
from search.engine.searcher import build_searcher
from spaces.sampling import RecordedTrial, at_share
from trainables.report import TrialStatus

ACTIVATIONS = {"small": 1.0, "large": 30.0}


def space(trial: Any) -> None:
    if trial.suggest_categorical("backbone", list(ACTIVATIONS)) == "large":
        trial.suggest_float("drop_path", 0.0, 0.5)
    trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    trial.suggest_categorical("mix", ["none", "cutmix"])


def drawn(seed: int, **known: Any) -> RecordedTrial:
    rng = np.random.default_rng(seed)
    trial = RecordedTrial(lambda name, found: known.get(name, at_share(found, rng.random())))
    space(trial)
    return trial


@dataclass
class TimedTrial:
    placed: tuple[dict[str, Any], dict[str, BaseDistribution]]
    seconds: dict[int, float] = field(default_factory=dict)


def took(trial: RecordedTrial, *seconds: float) -> TimedTrial:
    return TimedTrial((trial.params, trial.distributions), dict(enumerate(seconds, start=1)))


def test_before_anything_was_trained_the_networks_say_what_costs_more() -> None:
    price = EpochCosts(ACTIVATIONS).price([])
    small, large = price([drawn(0, backbone="small"), drawn(0, backbone="large")])
    assert large - small == pytest.approx(np.log(30))


def test_what_trials_took_corrects_what_was_known() -> None:
    trials = [
        took(drawn(i, backbone=name), 2.0) for i, name in enumerate(["small", "large"] * 6)
    ]  # as slow as each other
    small, large = EpochCosts(ACTIVATIONS).price(trials)([drawn(20, backbone="small"), drawn(20, backbone="large")])
    assert abs(large - small) < np.log(2)


def test_a_switch_that_makes_epochs_longer_is_found_out() -> None:
    trials = [took(drawn(i, mix=mix), 3.0 if mix == "cutmix" else 1.0) for i, mix in enumerate(["none", "cutmix"] * 8)]
    none, cutmix = EpochCosts({}).price(trials)([drawn(30, backbone="small", mix=mix) for mix in ("none", "cutmix")])
    assert cutmix - none == pytest.approx(np.log(3), abs=0.3)


def test_trials_without_a_timed_epoch_say_nothing() -> None:
    candidates = [drawn(0), drawn(1)]
    untimed = [took(drawn(2)), took(drawn(3), 0.0)]
    assert (EpochCosts(ACTIVATIONS).price(untimed)(candidates) == EpochCosts(ACTIVATIONS).price([])(candidates)).all()


def test_the_first_trials_are_cheap_ones_and_dear_ones_come_too() -> None:
    price = EpochCosts({"small": 1.0, "large": 4.0}).price([])
    first = [propose(space, [], np.random.default_rng(seed), price).params["backbone"] for seed in range(60)]
    assert 0.65 < first.count("small") / 60 < 0.95


def test_a_price_that_is_the_same_for_all_changes_no_proposal() -> None:
    seen = [Seen(trial.params, trial.distributions, float(i % 5)) for i in range(12) for trial in [drawn(i)]]
    free = propose(space, seen, np.random.default_rng(1))
    priced = propose(space, seen, np.random.default_rng(1), lambda candidates: np.full(len(candidates), 7.0))
    assert free.params == priced.params


def test_of_two_that_promise_the_same_the_cheaper_one_is_proposed() -> None:
    seen = [Seen(trial.params, trial.distributions, float(i % 4)) for i in range(12) for trial in [drawn(i)]]
    price = EpochCosts({"small": 1.0, "large": 1e6}).price([])
    proposed = [propose(space, seen, np.random.default_rng(seed), price).params["backbone"] for seed in range(5)]
    assert proposed == ["small"] * 5


def test_a_resumed_search_prices_as_one_that_was_never_interrupted() -> None:
    goal: dict[str, Any] = {"metric": "score", "mode": "max", "max_epochs": 3}
    costs = EpochCosts(ACTIVATIONS)
    through = build_searcher(space, **goal, seed=5, costs=costs)
    resumed = build_searcher(space, **goal, seed=5, costs=costs)
    scheduler = build_scheduler(**goal)
    for number in range(12):
        trial_id = f"{number:05d}"
        config = through.suggest(trial_id)
        seconds = 2.0 * ACTIVATIONS[config["backbone"]] * (1 + config["lr"])
        values = [0.01 * number, 0.02 * number, 0.03 * number]
        for epoch, value in enumerate(values, start=1):
            result = {"training_iteration": epoch, "score": value, "seconds": seconds}
            (through.on_trial_complete if epoch == 3 else through.on_trial_result)(trial_id, result)
        resumed.adopt(trial_id, config, values, state=TrialStatus.FINISHED, seconds=[seconds] * 3)
        scheduler.adopt(trial_id, values)
    assert through.suggest("00012") == resumed.suggest("00012")
    assert through.suggest("00013") == resumed.suggest("00013")
    assert build_searcher(space, **goal, seed=5).suggest("00000") is not None
