from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from optuna.trial import TrialState

from search.engine.last_steps import LastSteps
from search.engine.scheduler import RungScheduler, build_scheduler
from search.engine.searcher import StudySearcher, build_searcher

GOAL: dict[str, Any] = {"metric": "score", "mode": "max", "max_epochs": 9}


@dataclass
class FakeTrial:
    trial_id: str


def space(trial: Any) -> None:
    trial.suggest_float("lr", 1e-5, 1e-1, log=True)


@pytest.fixture
def searcher() -> StudySearcher:
    return build_searcher(space, **GOAL, seed=0)


@pytest.fixture
def scheduler() -> RungScheduler:
    return build_scheduler(**GOAL, grace_period=1)


@pytest.fixture
def steps(searcher: StudySearcher, scheduler: RungScheduler) -> LastSteps:
    return LastSteps(searcher, scheduler, 9, lambda trial_id: True)


def train(searcher: StudySearcher, name: str, *values: float, seconds: float = 10.0, ends: bool = True) -> None:
    searcher.suggest(name)
    for epoch, value in enumerate(values, start=1):
        result = {"training_iteration": epoch, "score": value, "seconds": seconds}
        if ends and epoch == len(values):
            searcher.on_trial_complete(name, result)
        else:
            searcher.on_trial_result(name, result)


def test_while_a_new_trial_can_become_a_member_none_goes_on(searcher: StudySearcher, steps: LastSteps) -> None:
    assert steps.trial_to_continue(5.0, can_begin=True) is None  # nothing is known yet
    train(searcher, "a", 0.1, 0.3, 0.5)
    train(searcher, "b", 0.1, 0.4)
    train(searcher, "c", 0.3)
    assert steps.seconds_to_a_member() == 20  # .3 came after 20, 20 and 10 s
    assert steps.trial_to_continue(20.0, can_begin=True) is None
    assert steps.trial_to_continue(19.0, can_begin=True) == "a"


def test_the_best_stopped_trial_goes_on_and_after_it_the_next(searcher: StudySearcher, steps: LastSteps) -> None:
    train(searcher, "finished", *[0.9] * 9)
    train(searcher, "broken", 0.8, float("nan"))
    train(searcher, "running", 0.7, ends=False)
    train(searcher, "good", 0.5, 0.6)
    train(searcher, "weak", 0.2)
    assert [steps.trial_to_continue(15.0, can_begin=False) for _ in range(3)] == ["good", "weak", None]


def test_a_trial_whose_next_epoch_would_not_end_in_time_does_not_go_on(
    searcher: StudySearcher, steps: LastSteps
) -> None:
    train(searcher, "dear", 0.9, seconds=100.0)
    train(searcher, "cheap", 0.2, seconds=1.0)
    assert steps.trial_to_continue(50.0, can_begin=False) == "cheap"


def test_a_trial_whose_state_is_gone_does_not_go_on(searcher: StudySearcher, scheduler: RungScheduler) -> None:
    train(searcher, "gone", 0.9)
    train(searcher, "there", 0.2)
    steps = LastSteps(searcher, scheduler, 9, lambda trial_id: trial_id == "there")
    assert steps.trial_to_continue(50.0, can_begin=False) == "there"


def test_what_goes_on_runs_in_the_study_keeps_its_configuration_and_is_not_stopped_again(
    searcher: StudySearcher, scheduler: RungScheduler, steps: LastSteps
) -> None:
    for name, value in (("a", 0.9), ("b", 0.8), ("c", 0.7)):
        train(searcher, name, value, ends=name != "a")
        scheduler.adopt(name, [value])
    config = searcher.suggest("b")
    assert steps.trial_to_continue(50.0, can_begin=False) == "b"
    assert searcher.suggest("b") == config
    assert [trial.state for trial in searcher.study.trials] == [
        TrialState.RUNNING,
        TrialState.RUNNING,
        TrialState.PRUNED,
    ]
    for epoch in range(2, 9):
        result = {"training_iteration": epoch, "score": 0.1, "seconds": 10.0}
        assert scheduler.on_trial_result(None, FakeTrial("b"), result) == "CONTINUE"
        searcher.on_trial_result("b", result)
    searcher.on_trial_complete("b", {"training_iteration": 9, "score": 0.95, "seconds": 10.0})
    trial = searcher.study.trials[1]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.95)


def test_a_smaller_value_may_be_the_better_one(scheduler: RungScheduler) -> None:
    searcher = build_searcher(space, metric="score", mode="min", max_epochs=9, seed=0)
    train(searcher, "high", 0.9)
    train(searcher, "low", 0.2)
    steps = LastSteps(searcher, scheduler, 9, lambda trial_id: True)
    assert steps.trial_to_continue(50.0, can_begin=False) == "low"
    assert steps.is_new("another")
    assert not steps.is_new("low")
