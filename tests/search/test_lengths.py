"""How long trials are: by the pictures, by the time, and never against what the user said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from search.lengths import (
    FIRST_STEP_SECONDS,
    LEAST_EPOCHS,
    LONG_TOGETHER,
    MOST_EPOCHS,
    MOST_IN_A_BUDGET,
    PATIENCE,
    PacedLength,
    paced_length,
    suit_lengths,
)
from search.study import AskedStudy, SettledStudy

SLOW = {"default": 10.0, "cheap": 2.0}


def study(tmp_path: Path, **flags: object) -> SettledStudy:
    asked = AskedStudy.of(storage=tmp_path / "runs", readme=tmp_path / "README.md", **flags)
    return asked.settle(num_cpus=2, num_gpus=0)


@pytest.mark.parametrize(
    ("pictures", "epochs"), [(100, MOST_EPOCHS), (32 * 100, 30), (32 * 200, 15), (32 * 1000, LEAST_EPOCHS), (3, 30)]
)
def test_without_a_budget_the_pictures_decide(tmp_path: Path, pictures: int, epochs: int) -> None:
    found = suit_lengths(study(tmp_path), train_pictures=pictures)
    assert (found.epochs, found.trials) == (epochs, 12)
    assert found.options["epochs"] == epochs


@pytest.mark.parametrize("minutes", [1, 2, 5, 15, 60, 600])
def test_in_a_budget_there_is_work_until_its_end(tmp_path: Path, minutes: int) -> None:
    left = 60.0 * minutes
    found = suit_lengths(study(tmp_path), train_pictures=64, epoch_seconds=SLOW, default="default", seconds_left=left)
    least = found.grace_period * sum(SLOW.values()) / len(SLOW)  # of a trial that the first rung stops
    assert found.trials * least >= left - FIRST_STEP_SECONDS


def test_more_time_is_longer_trials_and_more_of_them(tmp_path: Path) -> None:
    found = [
        suit_lengths(study(tmp_path), train_pictures=64, epoch_seconds=SLOW, default="cheap", seconds_left=left)
        for left in (45.0, 120.0, 300.0, 3600.0)
    ]
    epochs, trials = [each.epochs for each in found], [each.trials for each in found]
    assert epochs == sorted(set(epochs)) and epochs[-1] == MOST_IN_A_BUDGET
    assert trials == sorted(set(trials))


def test_what_is_trained_together_is_as_long_as_measured_best(tmp_path: Path) -> None:
    found = suit_lengths(
        study(tmp_path, time_budget="4m"),
        train_pictures=64,
        epoch_seconds=SLOW,
        default="default",
        seconds_left=200.0 + FIRST_STEP_SECONDS,
    )
    assert (found.concurrency, found.grace_period) == (2, 7)  # two that see a picture 20 times, of room for 40 epochs
    assert found.epochs == 20 and found.goes_on
    assert found.trials > 2 * 40 / found.grace_period  # twice too slow an estimate would leave no time unused


def test_where_time_trials_and_epochs_are_not_all_open_no_trial_goes_on(tmp_path: Path) -> None:
    budget = {"epoch_seconds": SLOW, "default": "default", "seconds_left": 900.0}
    found = suit_lengths(study(tmp_path, time_budget="15m"), train_pictures=64, **budget)
    assert (found.epochs, found.grace_period, found.goes_on) == (44, 15, True)  # of 88 each that there is time for
    for asked in ({}, {"time_budget": "15m", "trials": 2}, {"time_budget": "15m", "epochs": 20}):
        assert not suit_lengths(study(tmp_path, **asked), train_pictures=64, **budget).goes_on


@pytest.mark.parametrize(
    ("length", "epoch", "seconds_left", "more"),
    [
        (30, 30, 149.0, True),
        (30, 30, 150.0, False),
        (30, 59, 10.0, True),
        (30, 60, 10.0, False),
        (18, 18, 119.0, True),
        (18, 18, 120.0, False),
    ],
)
def test_a_trial_goes_on_where_another_would_come_to_less_than_half_or_not_surely_to_ten_epochs(
    length: int, epoch: int, seconds_left: float, more: bool
) -> None:
    assert PacedLength(length, slots=1, most=length).goes_on("x", epoch, 10.0, seconds_left) is more


def test_where_epochs_are_faster_than_was_expected_trials_are_longer() -> None:
    length = PacedLength(28, slots=2, most=60)
    decisions = [length.goes_on("x", epoch, 10.0, 1470.0 - 10 * epoch) for epoch in range(28, 50)]
    assert decisions == 21 * [True] + [False], "three of 49 each fit into the time in each place"
    assert (length.epochs("x"), length.epochs("slower")) == (49, 28)
    for epoch, more in ((28, True), (48, True), (49, False)):  # one of the last round, of which little is left
        assert length.goes_on("x", epoch, 10.0, 490.0 - 10 * epoch + 250.0) is more


@pytest.mark.parametrize(("most", "epochs"), [(28, 28), (40, 40), (60, 60)])
def test_a_trial_is_no_longer_than_the_pictures_ask_for(most: int, epochs: int) -> None:
    length = PacedLength(28, slots=1, most=most)
    ends = next(epoch for epoch in range(28, 99) if not length.goes_on("x", epoch, 1.0, 10_000.0))
    assert (ends, length.end) == (epochs, max(56, most))


@pytest.mark.parametrize(
    ("planned", "epoch", "best", "seconds_left", "done"),
    [
        (22, 15, 7, 190.0, True),
        (22, 14, 7, 200.0, False),  # it may still become better
        (22, 15, 7, 119.0, False),  # nothing long enough fits behind it
        (22, 9, 1, 250.0, False),  # too short to answer together with another
        (9, 9, 1, 80.0, True),
    ],
)
def test_a_trial_that_has_long_been_no_better_makes_room_for_another_that_fits(
    planned: int, epoch: int, best: int, seconds_left: float, done: bool
) -> None:
    length = PacedLength(planned, slots=1, most=60)
    assert length.is_past_its_best(epoch, best, 10.0, seconds_left) is done


def test_at_the_expected_pace_and_at_a_slower_one_a_trial_has_the_length_that_was_planned() -> None:
    for seconds in (10.0, 20.0):
        length = PacedLength(30, slots=1, most=60)
        assert not length.goes_on("x", 30, seconds, 600.0 if seconds == 10 else 300.0)
        assert length.epochs("x") == 30


def test_the_pictures_limit_a_length_and_score_and_cost_fix_it(tmp_path: Path) -> None:
    budget = {"epoch_seconds": {"default": 10.0}, "default": "default", "seconds_left": 400.0}
    for asked, pictures, most in (
        ({}, 64, MOST_IN_A_BUDGET),
        ({}, 4800, MOST_IN_A_BUDGET),
        ({}, 32 * 1000, 30),
        ({"objective": "f1,ms"}, 64, 28),
    ):
        found = suit_lengths(study(tmp_path, time_budget="9m", **asked), train_pictures=pictures, **budget)
        assert paced_length(found, pictures).most == most


@pytest.mark.parametrize(
    ("seconds", "at_a_time", "epochs", "rounds"),
    [(145.0, 1, 20, 1), (199.0, 1, 28, 1), (300.0, 2, 30, 1), (600.0, 2, 30, 2), (1000.0, 2, 50, 2)],
)
def test_whole_networks_fit_into_a_budget_one_after_another_of_fifteen_epochs_at_least(
    tmp_path: Path, seconds: float, at_a_time: int, epochs: int, rounds: int
) -> None:
    left = seconds + FIRST_STEP_SECONDS
    budget = {"epoch_seconds": {"default": 10.0}, "default": "default", "seconds_left": left}
    found = suit_lengths(study(tmp_path), train_pictures=64, **budget)
    assert (found.concurrency, found.epochs, found.rounds) == (at_a_time, epochs, rounds)


@pytest.mark.parametrize(("seconds", "epochs", "rounds"), [(299.0, 29, 1), (300.0, 15, 2)])
def test_one_at_a_time_as_the_user_says_has_the_epochs_that_it_takes(
    tmp_path: Path, seconds: float, epochs: int, rounds: int
) -> None:
    left = seconds + FIRST_STEP_SECONDS
    budget = {"epoch_seconds": {"default": 10.0}, "default": "default", "seconds_left": left}
    found = suit_lengths(study(tmp_path, concurrency=1), train_pictures=64, **budget)
    assert (found.concurrency, found.epochs, found.rounds) == (1, epochs, rounds)


def test_in_a_search_for_score_and_cost_every_network_has_its_turn(tmp_path: Path) -> None:
    seconds = {"default": 10.0, "larger": 15.0, "largest": 25.0}
    budget = {"epoch_seconds": seconds, "default": "default"}
    left = 400.0 + FIRST_STEP_SECONDS
    found = suit_lengths(study(tmp_path, time_budget="9m"), train_pictures=64, seconds_left=left, **budget)
    assert found.epochs == 40
    both = study(tmp_path, time_budget="9m", objective="f1,ms")
    found = suit_lengths(both, train_pictures=64, seconds_left=left, **budget)
    assert (found.epochs, found.grace_period) == (16, 5)  # 2 x 400 s for 50 s an epoch of all
    found = suit_lengths(both, train_pictures=64, seconds_left=left / 4, **budget)
    assert found.epochs == LEAST_EPOCHS


def test_a_short_budget_trains_one_after_another_with_all_cores(tmp_path: Path) -> None:
    asked = study(tmp_path)
    budget = {"epoch_seconds": SLOW, "default": "default", "seconds_left": 80.0}
    found = suit_lengths(asked, train_pictures=64, **budget)
    assert (asked.concurrency, asked.cpus_per_trial) == (2, 1)
    assert (found.concurrency, found.cpus_per_trial) == (1, 2)
    assert (found.options["concurrency"], found.options["cpus_per_trial"]) == (1, 2)
    said = suit_lengths(study(tmp_path, concurrency=2), train_pictures=64, **budget)
    assert (said.concurrency, said.cpus_per_trial) == (2, 1)


@pytest.mark.parametrize(("seconds", "at_a_time"), [(190.0, 1), (200.0, 2), (900.0, 2)])
def test_two_are_trained_side_by_side_where_each_comes_to_twenty_epochs(
    tmp_path: Path, seconds: float, at_a_time: int
) -> None:
    left = seconds + FIRST_STEP_SECONDS
    found = suit_lengths(study(tmp_path), train_pictures=64, epoch_seconds=SLOW, default="default", seconds_left=left)
    assert (found.concurrency, found.cpus_per_trial) == (at_a_time, 2 // at_a_time)


def test_what_the_user_says_stays(tmp_path: Path) -> None:
    asked = study(tmp_path, epochs=4, trials=3, grace_period=2)
    budget = {"epoch_seconds": SLOW, "seconds_left": 100.0}
    for found in (
        suit_lengths(asked, train_pictures=10_000),
        suit_lengths(asked, train_pictures=10_000, **budget),
    ):
        assert (found.epochs, found.trials, found.grace_period) == (4, 3, 2)
    found = suit_lengths(study(tmp_path, epochs=4), train_pictures=10_000, **budget)
    assert found.epochs == 4 and found.trials > 2


def test_a_space_of_one_configuration_is_tried_once(tmp_path: Path) -> None:
    found = suit_lengths(study(tmp_path), train_pictures=64, epoch_seconds=SLOW, seconds_left=900.0, most_trials=1)
    assert found.trials == 1
    assert (found.concurrency, found.cpus_per_trial, found.epochs) == (1, 2, MOST_IN_A_BUDGET)


@pytest.mark.parametrize(("trials", "epochs"), [(1, 44), (2, 44), (2, 60)])
def test_no_time_is_left_for_more_trials_than_are_asked_for(tmp_path: Path, trials: int, epochs: int) -> None:
    asked = study(tmp_path, trials=trials)
    budget = {"epoch_seconds": {"default": 10.0}, "default": "default"}
    seconds = epochs * 10.0 * -(-trials // asked.concurrency)
    found = suit_lengths(asked, train_pictures=64, seconds_left=seconds + FIRST_STEP_SECONDS, **budget)
    assert (found.trials, found.epochs) == (trials, epochs)


def test_a_budget_whose_epochs_nobody_knows_is_searched_at_full_length(tmp_path: Path) -> None:
    found = suit_lengths(study(tmp_path, time_budget="15m"), train_pictures=100, seconds_left=900.0)
    assert found.fills_its_budget
    assert (found.epochs, found.trials, found.rounds) == (MOST_EPOCHS, 90, 1)
    asked = suit_lengths(study(tmp_path, trials=5), train_pictures=100, seconds_left=900.0)
    assert (asked.trials, asked.trials_open) == (5, False)
    few = suit_lengths(study(tmp_path), train_pictures=100, seconds_left=900.0, most_trials=4)
    assert few.trials == 4


def test_a_large_set_in_a_long_budget_is_trained_for_longer_than_the_least(tmp_path: Path) -> None:
    budget = {"epoch_seconds": {"default": 60.0}, "default": "default"}
    for seconds, epochs in ((1200.0, 20), (3600.0, 30), (36_000.0, 60)):
        asked = study(tmp_path, time_budget="10h")
        found = suit_lengths(asked, train_pictures=16_000, seconds_left=seconds + FIRST_STEP_SECONDS, **budget)
        assert found.epochs == epochs
        assert paced_length(found, 16_000).most == 60
    assert suit_lengths(study(tmp_path), train_pictures=36_000).epochs == LEAST_EPOCHS


def test_trials_do_not_run_out_where_the_cheapest_network_wins(tmp_path: Path) -> None:
    seconds = {"cheap": 1.0, "dear": 40.0}
    left = 3600.0 + FIRST_STEP_SECONDS
    found = suit_lengths(
        study(tmp_path, time_budget="1h"), train_pictures=64, epoch_seconds=seconds, default="cheap", seconds_left=left
    )
    of_the_cheapest = found.concurrency * 3600 / (LONG_TOGETHER * seconds["cheap"])
    assert found.trials >= of_the_cheapest


def test_the_patience_of_a_small_set_has_as_many_steps_as_that_of_a_larger_one(tmp_path: Path) -> None:
    budget = {"epoch_seconds": {"default": 1.0}, "default": "default", "seconds_left": 900.0}
    for pictures, patience in ((160, 60), (1200, 9), (3200, PATIENCE)):
        found = suit_lengths(study(tmp_path, time_budget="15m"), train_pictures=pictures, **budget)
        length = paced_length(found, pictures)
        assert length.patience == patience
        assert not length.is_past_its_best(patience + 19, 20, 1.0, 900.0)
        assert length.is_past_its_best(patience + 20, 20, 1.0, 900.0)


@pytest.mark.parametrize(
    ("cores", "epochs", "at_a_time", "cpus"),
    [(4, 45, 2, 2), (4, 65, 2, 2), (4, 85, 4, 1), (8, 65, 2, 4), (8, 150, 4, 2), (3, 45, 1, 3)],
)
def test_where_there_is_less_time_each_trial_has_more_cores_for_it(
    tmp_path: Path, cores: int, epochs: int, at_a_time: int, cpus: int
) -> None:
    asked = AskedStudy.of(storage=tmp_path / "runs", readme=tmp_path / "README.md")
    study = asked.settle(num_cpus=cores, num_gpus=0)
    left = FIRST_STEP_SECONDS + epochs * 10.0 / study.concurrency
    budget = {"epoch_seconds": {"default": 10.0}, "default": "default", "seconds_left": left}
    found = suit_lengths(study, train_pictures=64, **budget)
    assert (found.concurrency, found.cpus_per_trial) == (at_a_time, cpus)
    three = suit_lengths(replace(study, trials=3, trials_open=False), train_pictures=64, **budget)
    assert three.concurrency == min(3, at_a_time), "with three trials in all, no second round for the third"


@pytest.mark.parametrize(("cores", "cpus"), [(6, 6), (7, 7), (4, 4)])
def test_one_at_a_time_has_all_cores_also_where_more_would_not_share_them_evenly(
    tmp_path: Path, cores: int, cpus: int
) -> None:
    asked = AskedStudy.of(storage=tmp_path / "runs", readme=tmp_path / "README.md")
    budget = {"epoch_seconds": SLOW, "default": "default", "seconds_left": 40.0}
    found = suit_lengths(asked.settle(num_cpus=cores, num_gpus=0), train_pictures=64, **budget)
    assert (found.concurrency, found.cpus_per_trial) == (1, cpus)
