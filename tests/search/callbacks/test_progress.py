"""What the terminal says of the time to go: from what was measured, and no later than the time budget."""

from __future__ import annotations

import io
import re
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from search.callbacks.progress import Progress
from search.stop import StopRequest
from tests.records import a_report


class Clock:
    """What the searches of these tests take for the time."""

    now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    return clock


def progress(trials: int, concurrency: int = 1, budget: float | None = None, mean_epochs: float = 3.0) -> Progress:
    console = Console(file=io.StringIO())
    return Progress(console, trials, 9, concurrency, StopRequest(budget), mean_epochs=mean_epochs)


def a_trial(number: int) -> Any:
    return SimpleNamespace(trial_id=str(number), config={"backbone": "resnet18", "trial_id": f"{number:05d}"})


def epoch(number: int, seconds: float = 10.0, **more: Any) -> dict[str, Any]:
    return {**asdict(a_report(number, 0.5, seconds=seconds)), **more}


def to_go(shown: Progress) -> int:
    found = re.search(r"about (\d+):(\d+) to go", shown.summary())
    assert found is not None, shown.summary()
    return 60 * int(found[1]) + int(found[2])


def train(shown: Progress, clock: Clock, number: int, epochs: int, beside: float = 0.0) -> None:
    shown.on_trial_start(0, [], a_trial(number))
    clock.now += beside
    for count in range(1, epochs + 1):
        clock.now += 10
        shown.on_trial_result(0, [], a_trial(number), epoch(count, done=count == epochs))


def test_what_fills_its_budget_tells_the_time_and_no_number_of_trials(clock: Clock) -> None:
    out = io.StringIO()
    console = Console(file=out, width=120)
    shown = Progress(console, 90, 9, 1, StopRequest(100.0), fills_its_budget=True)
    train(shown, clock, 0, 3)
    assert shown.summary().endswith("0 failed | best 0.5000 by 00000 | 0:30 gone, 1:10 to go")
    console.print(shown._draw())
    assert "30%" in out.getvalue()
    assert "90" not in out.getvalue()


def test_a_trial_that_goes_on_beyond_its_length_is_shown_with_as_many_epochs(clock: Clock) -> None:
    stop, out = StopRequest(100.0), io.StringIO()
    shown = Progress(Console(file=out, width=200), 2, 2, 1, stop, fills_its_budget=True)
    stop.going_on.add("00000")
    train(shown, clock, 0, 4)
    assert re.findall(r"epoch (\d/\d):", out.getvalue()) == ["1/2", "2/3", "3/4", "4/4"]
    assert "1 finished" in shown.summary()


def test_the_last_trial_that_has_outlived_the_others_goes_on_to_its_last_epoch(clock: Clock) -> None:
    shown = progress(4, concurrency=2)
    for number in range(3):
        train(shown, clock, number, 3)
        shown.on_trial_complete(0, [], a_trial(number))
    shown.on_trial_start(0, [], a_trial(3))
    told = []
    for count in range(1, 8):
        clock.now += 10
        shown.on_trial_result(0, [], a_trial(3), epoch(count, done=False))
        told.append(to_go(shown))
    assert told[:2] == [20, 10]  # of three epochs as the others had: a second core is no help to one alone
    assert told[-2:] == [30, 20]  # of nine


def test_nothing_is_known_before_the_first_epoch(clock: Clock) -> None:
    shown = progress(10)
    shown.on_trial_start(0, [], a_trial(0))
    assert "time to go not known yet" in shown.summary()


def test_after_one_epoch_a_trial_is_what_asha_is_expected_to_leave_of_it(clock: Clock) -> None:
    shown = progress(10)
    shown.on_trial_start(0, [], a_trial(0))
    clock.now = 60.0  # the start of Ray and of the worker come once
    shown.on_trial_result(0, [], a_trial(0), epoch(1))
    assert to_go(shown) == 9 * 30 + 20


def test_later_a_trial_is_what_trials_took_with_what_passes_between_them(clock: Clock) -> None:
    shown = progress(10)
    train(shown, clock, 0, 2)
    for number in range(1, 5):
        train(shown, clock, number, 2, beside=5.0)
    assert to_go(shown) == round(5 * 20 * 120 / 100)


def test_trials_that_run_side_by_side_share_what_is_left(clock: Clock) -> None:
    shown = progress(6, concurrency=2)
    for number in (0, 1):
        shown.on_trial_start(0, [], a_trial(number))
    clock.now = 10.0
    for number in (0, 1):
        shown.on_trial_result(0, [], a_trial(number), epoch(1))
    assert to_go(shown) == (4 * 30 + 2 * 20) / 2


def test_the_time_budget_ends_it_sooner(clock: Clock) -> None:
    shown = progress(1000, budget=100.0)
    train(shown, clock, 0, 3)
    assert to_go(shown) == 70


def test_a_worker_that_dies_before_its_trial_began_is_shown_as_one_that_failed() -> None:
    shown = progress(2)
    shown.on_trial_error(0, [], a_trial(1))
    assert "1 failed of 2" in shown.summary()


def test_a_trial_that_goes_on_from_epochs_of_before_is_timed_by_those_of_now(clock: Clock) -> None:
    shown = progress(1, mean_epochs=9.0)
    shown.on_trial_start(0, [], a_trial(0))
    clock.now += 10
    shown.on_trial_result(0, [], a_trial(0), epoch(7, done=False))
    assert to_go(shown) == 20  # two epochs of ten seconds
