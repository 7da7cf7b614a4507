"""The end of a time budget is spent on further trainings of the best configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from search.engine.repeats import MOST_TOGETHER, Repeats
from search.engine.scheduler import build_scheduler
from search.engine.searcher import StudySearcher, build_searcher
from tests.search.engine.test_scheduler import report

LENGTH, LONG, LOOK = 6, 4, 2


@dataclass
class Clock:
    """Has the time that it is told."""

    seconds_left: float = 1000.0


def space(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", 0.0, 1.0)}


def a_search(clock: Clock, slots: int = 1, most: int = MOST_TOGETHER) -> tuple[StudySearcher, Repeats]:
    """Of trials of six epochs, whose points are .1 twice, .2 and .3."""
    repeats = Repeats(clock, LENGTH, LONG, LOOK, slots, most)
    points = [{"x": x} for x in (0.1, 0.1, 0.2, 0.3)]
    goal = {"metric": "f1", "mode": "max", "max_epochs": LENGTH}
    return build_searcher(space, **goal, seed=0, points=points, repeats=repeats), repeats


def train(searcher: StudySearcher, trial_id: str, best: float, epochs: int = LENGTH) -> float:
    """Trains the next trial, a second an epoch; returns its configuration."""
    x = searcher.suggest(trial_id)["x"]
    for epoch in range(1, epochs + 1):
        result = {"training_iteration": epoch, "f1": best if epoch == 2 else best / 2, "seconds": 1.0}
        searcher.on_trial_result(trial_id, result)
    searcher.on_trial_complete(trial_id, result)
    return float(x)


def test_with_time_for_more_than_the_last_trainings_others_are_tried() -> None:
    searcher, _ = a_search(Clock(1000.0))
    assert [train(searcher, f"{number}", 0.5 + number / 10) for number in range(4)] == [0.1, 0.1, 0.2, 0.3]
    assert train(searcher, "4", 0.1) not in (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("slots", "seconds"), [(1, 2 * LENGTH + LOOK), (2, LENGTH + LOOK), (8, LENGTH + LOOK)]
)  # two more trainings are wanted
def test_with_less_time_the_best_is_trained_again_until_it_is_as_many_as_are_wanted(slots: int, seconds: int) -> None:
    clock = Clock()
    searcher, _ = a_search(clock, slots, most=4)
    assert [train(searcher, name, 0.5) for name in "ab"] == [0.1, 0.1]
    clock.seconds_left = seconds
    assert train(searcher, "c", 0.4) == 0.2, "that is just enough"
    clock.seconds_left = seconds - 0.1
    assert train(searcher, "d", 0.5) == 0.1
    clock.seconds_left = 1.0
    assert train(searcher, "e", 0.5) == 0.1
    assert train(searcher, "f", 0.5) == 0.3, "four are enough"


def test_as_much_time_is_kept_for_the_last_trainings_as_the_best_took() -> None:
    clock = Clock()
    searcher, _ = a_search(clock, most=2)
    assert [train(searcher, "a", 0.5, epochs=LENGTH + 3), train(searcher, "b", 0.4)] == [0.1, 0.1]
    assert train(searcher, "c", 0.6, epochs=LENGTH + 3) == 0.2
    clock.seconds_left = LENGTH + 3 + LOOK - 0.1
    assert train(searcher, "d", 0.4) == 0.2


def test_what_was_tried_first_gives_way_at_the_end_to_the_best_of_it() -> None:
    clock = Clock()
    searcher, repeats = a_search(clock)
    scores = {"a": 0.5, "b": 0.5, "c": 0.7, "d": 0.4}
    assert [train(searcher, name, score) for name, score in scores.items()] == [0.1, 0.1, 0.2, 0.3]
    for name, rounds in (("e", 2), ("f", 1)):
        clock.seconds_left = rounds * LENGTH
        assert train(searcher, name, 0.4) == 0.2
    assert repeats.most == MOST_TOGETHER == 3
    assert train(searcher, "g", 0.4) != 0.2


def test_the_best_is_what_was_trained_for_long_and_scored_highest_in_any_epoch() -> None:
    clock = Clock()
    searcher, _ = a_search(clock)
    assert [train(searcher, name, score) for name, score in (("a", 0.5), ("b", 0.6), ("c", 0.7))] == [0.1, 0.1, 0.2]
    train(searcher, "d", 0.9, epochs=3)
    clock.seconds_left = 3.0
    assert [train(searcher, name, 0.4) for name in "ef"] == [0.2, 0.2]


def test_the_best_is_by_the_epoch_whose_weights_are_kept() -> None:
    clock = Clock()
    searcher, _ = a_search(clock)
    for name, values, kept in (("a", [0.80] * 6, 6), ("b", [0.83] + [0.75] * 5, 6), ("c", [0.5] * 6, 1)):
        searcher.suggest(name)
        for epoch, value in enumerate(values, start=1):
            result = {"training_iteration": epoch, "f1": value, "seconds": 1.0, "best_epoch": min(epoch, kept)}
            searcher.on_trial_result(name, result)
        searcher.on_trial_complete(name, result)
    assert [trial.value for trial in searcher.study.trials] == [0.80, 0.75, 0.5]
    assert [trial.user_attrs["best_epoch"] for trial in searcher.study.trials] == [6, 6, 1]
    best = Repeats(Clock(0.0), LENGTH, LONG, LOOK, 1, 3).which(list(searcher._trials.values()), 1.0)
    assert best is not None and best.trial_id == "a"


def test_what_still_runs_may_be_the_best_of_those_that_began_at_once() -> None:
    clock = Clock()
    searcher, _ = a_search(clock, slots=3)
    for name in "abc":
        searcher.suggest(name)
    for epoch in range(1, LENGTH + 1):
        result = {"training_iteration": epoch, "seconds": 1.0}
        searcher.on_trial_result("c", {**result, "f1": 0.4})
        if epoch <= LONG:
            searcher.on_trial_result("a", {**result, "f1": 0.5})
    searcher.on_trial_complete("c", {**result, "f1": 0.4})
    clock.seconds_left = 3.0
    assert searcher.suggest("d") == {"x": 0.1}


def test_no_more_than_are_wanted_and_no_point_a_time_too_often() -> None:
    clock = Clock(3.0)
    searcher, _ = a_search(clock, most=2)
    assert [train(searcher, name, 0.5) for name in "abc"] == [0.1, 0.1, 0.2]


def test_before_anything_was_trained_whole_the_points_are_tried() -> None:
    searcher, _ = a_search(Clock(1.0))
    assert train(searcher, "a", 0.5, epochs=3) == 0.1
    assert [searcher.suggest(name)["x"] for name in "bc"] == [0.1, 0.2]


def test_what_is_trained_again_is_not_stopped_at_a_rung_nor_after_a_restart() -> None:
    clock = Clock()
    searcher, repeats = a_search(clock)
    scheduler = build_scheduler(
        metric="score", mode="max", max_epochs=27, grace_period=1, reduction_factor=3, spared=repeats.spared
    )
    assert [report(scheduler, name, 1, 0.5) for name in ("w", "v", "u")] == 3 * ["CONTINUE"]
    train(searcher, "a", 0.5)
    searcher.suggest("b")
    assert repeats.spared == {"b"}
    assert report(scheduler, "b", 1, 0.1) == "CONTINUE"
    assert report(scheduler, "c", 1, 0.1) == "STOP"
    restarted, again = a_search(clock)
    for name in "ab":
        restarted.adopt(name, {"x": 0.1}, [0.5], state=searcher._trials[name].state)
    assert again.spared == {"b"}
    assert restarted.suggest("b") == {"x": 0.1}
