from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest

from search.engine.rungs import default_grace_period, rung_epochs
from search.engine.scheduler import RungScheduler, build_scheduler

GOAL = {"metric": "score", "mode": "max", "max_epochs": 27}


@dataclass
class FakeTrial:
    trial_id: str


def report(scheduler: RungScheduler, name: str, epoch: int, value: float) -> str:
    return scheduler.on_trial_result(None, FakeTrial(name), {"training_iteration": epoch, "score": value})


def test_only_the_best_third_goes_on_from_a_rung() -> None:
    scheduler = build_scheduler(**GOAL, grace_period=3, reduction_factor=3)
    decisions = [report(scheduler, f"t{i}", 3, value) for i, value in enumerate([0.5, 0.4, 0.6, 0.1, 0.2, 0.55, 0.58])]
    assert decisions == ["CONTINUE", "STOP", "CONTINUE", "STOP", "STOP", "CONTINUE", "CONTINUE"]


def test_between_rungs_every_trial_goes_on_and_at_the_end_every_trial_stops() -> None:
    scheduler = build_scheduler(**GOAL, grace_period=3, reduction_factor=3)
    assert report(scheduler, "good", 3, 0.9) == "CONTINUE"
    assert [report(scheduler, "bad", epoch, 0.0) for epoch in (1, 2)] == ["CONTINUE", "CONTINUE"]
    assert report(scheduler, "good", 27, 0.9) == "STOP"


def test_smaller_is_better_with_mode_min() -> None:
    scheduler = build_scheduler(metric="score", mode="min", max_epochs=27, grace_period=3)
    assert [report(scheduler, f"t{i}", 3, value) for i, value in enumerate([0.5, 0.6, 0.4])] == [
        "CONTINUE",
        "STOP",
        "CONTINUE",
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_value_that_is_no_number_ends_its_trial_in_that_epoch_and_is_worst_at_the_next_rung(value: float) -> None:
    scheduler = build_scheduler(**GOAL, grace_period=3, reduction_factor=3)
    assert report(scheduler, "diverged", 2, value) == "STOP"
    assert scheduler.rungs[3] == {"diverged": -math.inf}
    assert report(scheduler, "sound", 3, 0.0) == "CONTINUE"


def test_rungs_are_the_same_after_the_trials_were_adopted() -> None:
    earlier, later = (build_scheduler(**GOAL) for _ in range(2))
    curves = {f"t{i}": [0.01 * i * epoch for epoch in range(1, 8)] for i in (5, 3, 1, 4)} | {"nan": [0.1, math.nan]}
    for name, curve in curves.items():
        for epoch, value in enumerate(curve, start=1):
            report(earlier, name, epoch, value)
    for name, curve in curves.items():
        later.adopt(name, curve)
    assert later.rungs == earlier.rungs
    assert report(later, "t9", 2, 0.0) == report(earlier, "t9", 2, 0.0) == "STOP"


def test_an_interrupted_trial_is_not_judged_twice_at_a_rung() -> None:
    scheduler = build_scheduler(**GOAL, grace_period=3)
    scheduler.adopt("interrupted", [0.1, 0.1, 0.1])
    scheduler.adopt("better", [0.5, 0.5, 0.5])
    assert report(scheduler, "interrupted", 3, 0.1) == "CONTINUE"
    assert report(scheduler, "interrupted", 4, 0.1) == "CONTINUE"


def test_a_trial_is_known_by_the_identifier_it_was_given_before_rays_own() -> None:
    scheduler = build_scheduler(**GOAL, grace_period=1)
    trial = FakeTrial("of-ray")
    trial.config = {"trial_id": "00007"}  # type: ignore[attr-defined]
    scheduler.on_trial_result(None, trial, {"training_iteration": 1, "score": 0.5})
    assert scheduler.rungs[1] == {"00007": 0.5}


@pytest.mark.parametrize("max_epochs", range(1, 201))
def test_every_number_of_epochs_has_a_sensible_default(max_epochs: int) -> None:
    grace = default_grace_period(max_epochs)
    assert 1 <= grace <= max(1, max_epochs // 4)
    rungs = rung_epochs(max_epochs, grace, 3)
    assert rungs == sorted(set(rungs))
    assert all(grace <= rung < max_epochs for rung in rungs)
    scheduler = build_scheduler(metric="score", mode="max", max_epochs=max_epochs)
    assert report(scheduler, "t", max_epochs, 0.5) == "STOP"


@pytest.mark.parametrize(
    ("max_epochs", "grace", "rungs"),
    [(10, 3, [3]), (16, 5, [5]), (28, 9, [9]), (10, 1, [1, 3]), (12, 1, [1, 3, 9]), (27, 1, [1, 3, 9]), (3, 2, [2])],
)
def test_no_trial_is_stopped_right_before_its_end(max_epochs: int, grace: int, rungs: list[int]) -> None:
    assert rung_epochs(max_epochs, grace, 3) == rungs


def test_grace_grows_with_the_epochs() -> None:
    assert [default_grace_period(epochs) for epochs in (1, 9, 27, 52, 100, 200)] == [1, 1, 2, 2, 3, 5]


def test_a_result_without_the_metric_decides_nothing() -> None:
    scheduler = build_scheduler(**GOAL)
    assert scheduler.on_trial_result(None, FakeTrial("t"), {"training_iteration": 27}) == "CONTINUE"


def test_state_survives_pickle_and_save(tmp_path: Path) -> None:
    scheduler = build_scheduler(**GOAL)
    scheduler.adopt("t", [0.1, 0.2, 0.3])
    assert pickle.loads(pickle.dumps(scheduler)).rungs == scheduler.rungs
    scheduler.save(str(tmp_path / "state"))
    restored = build_scheduler(**GOAL)
    restored.restore(str(tmp_path / "state"))
    assert restored.rungs == scheduler.rungs


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "best"}, "mode is 'best'"),
        ({"max_epochs": 0}, "max_epochs is 0"),
        ({"grace_period": 0}, "grace_period is 0"),
        ({"reduction_factor": 1}, "reduction_factor is 1"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_scheduler(**{**GOAL, **wrong})


def test_a_spared_trial_counts_at_the_rungs_and_is_not_stopped() -> None:
    scheduler = build_scheduler(**GOAL, grace_period=1, reduction_factor=3, spared=("default",))
    assert [report(scheduler, name, 1, 0.5) for name in "abc"] == 3 * ["CONTINUE"]
    assert report(scheduler, "default", 1, 0.1) == "CONTINUE"
    assert scheduler.rungs[1]["default"] == 0.1
    assert report(scheduler, "other", 1, 0.1) == "STOP"
    assert report(scheduler, "default", 27, 0.1) == "STOP"
    assert report(build_scheduler(**GOAL, spared=("default",)), "default", 2, math.nan) == "STOP"
