"""Between Ray and our searcher and scheduler: names, the request to end, failures."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState
from ray.tune.execution import class_cache
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from search import tuner
from search.callbacks.listener import status_after
from search.engine.scheduler import build_scheduler
from search.engine.searcher import StudySearcher, build_searcher
from search.lengths import PATIENCE, PacedLength
from search.stop import StopRequest
from search.tuner import SHORTEST_EPOCH, NamedSearcher, StoppableScheduler, fit, trial_ids
from spaces import get_space
from tests.records import a_report
from trainables import classifier
from trainables.classifier import train_trial
from trainables.report import METRIC, MODE, Epoch, TrialStatus, outcome_of

EPOCHS = 9
A_LENGTH = 20


@pytest.fixture
def stop() -> StopRequest:
    return StopRequest(None)


@pytest.fixture
def inner() -> StudySearcher:
    return build_searcher(get_space("toy").suggest, metric=METRIC, mode=MODE, max_epochs=EPOCHS, seed=0)


def result(epoch: int, value: float, **more: Any) -> dict[str, Any]:
    return {**asdict(a_report(epoch, value, seconds=0.0)), "training_iteration": epoch, **more}


def a_trial(number: int) -> Any:
    return SimpleNamespace(trial_id=f"ray{number}", config={"trial_id": f"{number:05d}", "backbone": "x"})


def test_trials_are_numbered_whatever_ray_calls_them(inner: StudySearcher, stop: StopRequest) -> None:
    searcher = NamedSearcher(inner, stop, trial_ids([], 2))
    assert [searcher.suggest(name)["trial_id"] for name in ("abc", "xyz")] == ["00000", "00001"]


def test_no_trial_is_proposed_once_the_search_shall_end(inner: StudySearcher, stop: StopRequest) -> None:
    stop.ask("Ctrl-C")
    assert NamedSearcher(inner, stop, trial_ids([], 2)).suggest("abc") == Searcher.FINISHED


def test_a_trial_that_asha_lets_go_on_ends_with_the_search_and_is_not_closed(
    inner: StudySearcher, stop: StopRequest
) -> None:
    searcher = NamedSearcher(inner, stop, trial_ids([], 2))
    scheduler = StoppableScheduler(build_scheduler(metric=METRIC, mode=MODE, max_epochs=EPOCHS), stop)
    searcher.suggest("ray0")
    assert scheduler.on_trial_result(None, a_trial(0), result(1, 0.5)) == TrialScheduler.CONTINUE
    stop.ask("Ctrl-C")
    assert scheduler.on_trial_result(None, a_trial(0), result(2, 0.5)) == TrialScheduler.STOP
    searcher.on_trial_complete("ray0", result(2, 0.5))
    assert inner.study.trials[0].state == TrialState.RUNNING  # until the searcher is closed, or it goes on


def test_a_trial_that_finishes_after_the_request_to_end_is_finished(inner: StudySearcher, stop: StopRequest) -> None:
    searcher = NamedSearcher(inner, stop, trial_ids([], 2))
    scheduler = StoppableScheduler(build_scheduler(metric=METRIC, mode=MODE, max_epochs=EPOCHS), stop)
    searcher.suggest("ray0")
    stop.ask("time budget")
    assert scheduler.on_trial_result(None, a_trial(0), result(EPOCHS, 0.5)) == TrialScheduler.STOP
    searcher.on_trial_complete("ray0", result(EPOCHS, 0.5))
    assert inner.study.trials[0].state == TrialState.COMPLETE


def test_what_asha_stops_is_stopped_also_when_the_search_shall_end(inner: StudySearcher, stop: StopRequest) -> None:
    searcher = NamedSearcher(inner, stop, trial_ids([], 2))
    scheduler = StoppableScheduler(build_scheduler(metric=METRIC, mode=MODE, max_epochs=EPOCHS), stop)
    for number in range(2):
        searcher.suggest(f"ray{number}")
    scheduler.on_trial_result(None, a_trial(0), result(1, 0.9))
    stop.ask("Ctrl-C")
    assert scheduler.on_trial_result(None, a_trial(1), result(1, 0.1)) == TrialScheduler.STOP
    assert stop.ended == set()
    searcher.on_trial_complete("ray1", result(1, 0.1))
    assert inner.study.trials[1].state == TrialState.PRUNED


def that_goes_on(stop: StopRequest) -> StoppableScheduler:
    """Of a search whose trials may go on."""
    length = PacedLength(EPOCHS, slots=1, most=EPOCHS)
    return StoppableScheduler(build_scheduler(metric=METRIC, mode=MODE, max_epochs=EPOCHS), stop, length=length)


@pytest.mark.parametrize(
    ("seconds_left", "goes_on"),
    [(95.0, True), (81.0, False), (79.0, True), (4.1, True), (3.9, False)],
    ids=[
        "asha has not stopped it",
        "another has room",
        "no other has room",
        "part of an epoch has room",
        "no part has room",
    ],
)
def test_a_trial_at_its_length_goes_on_where_no_other_has_room(
    inner: StudySearcher, seconds_left: float, goes_on: bool
) -> None:
    stop = StopRequest(seconds_left)
    searcher = NamedSearcher(inner, stop, trial_ids([], 2))
    scheduler = that_goes_on(stop)
    searcher.suggest("ray0")
    epoch = EPOCHS - 1 if seconds_left > 90 else EPOCHS
    last = result(epoch, 0.5) | {"seconds": 10.0}
    decision = scheduler.on_trial_result(None, a_trial(0), last)
    assert decision == (TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)
    assert stop.ended == set()
    assert stop.going_on == ({"00000"} if goes_on and epoch == EPOCHS else set())
    if epoch == EPOCHS and goes_on:
        stop.ask("Ctrl-C")
        last = result(EPOCHS + 1, 0.6) | {"seconds": 10.0}
        assert scheduler.on_trial_result(None, a_trial(0), last) == TrialScheduler.STOP
    searcher.on_trial_complete("ray0", last | {"done": True})
    whole = last["training_iteration"] >= EPOCHS
    assert inner.study.trials[0].state == (TrialState.COMPLETE if whole else TrialState.PRUNED)


@pytest.mark.parametrize("epoch", [12, A_LENGTH, A_LENGTH + 5], ids=["before", "at", "behind"])
def test_a_trial_that_has_long_been_no_better_is_finished_whatever_its_length_and_stays_so(epoch: int) -> None:
    inner = build_searcher(get_space("toy").suggest, metric=METRIC, mode=MODE, max_epochs=A_LENGTH, seed=0)
    stop = StopRequest(1000.0)
    searcher = NamedSearcher(inner, stop, trial_ids([], 2))
    asha = build_scheduler(metric=METRIC, mode=MODE, max_epochs=A_LENGTH, grace_period=A_LENGTH)
    scheduler = StoppableScheduler(asha, stop, length=PacedLength(A_LENGTH, slots=1, most=60))
    searcher.suggest("ray0")
    for number, best, decision in ((epoch - 1, epoch - PATIENCE, "CONTINUE"), (epoch, epoch - PATIENCE, "STOP")):
        last = result(number, 0.5, highest_epoch=best, seconds=10.0)
        assert scheduler.on_trial_result(None, a_trial(0), last) == decision
    searcher.on_trial_complete("ray0", last | {"done": True})
    assert inner.study.trials[0].state == TrialState.COMPLETE
    outcome = outcome_of({**last, "done": True})
    assert isinstance(outcome, Epoch)
    assert status_after(outcome, a_trial(0).config, A_LENGTH, stop) == TrialStatus.FINISHED
    assert stop.ended == set()


def test_a_trial_that_goes_on_ends_at_twice_its_length_and_one_that_diverges_at_once() -> None:
    stop = StopRequest(50.0)
    scheduler = that_goes_on(stop)
    for epoch, value, decision in (
        (2 * EPOCHS - 1, 0.5, TrialScheduler.CONTINUE),
        (2 * EPOCHS, 0.5, TrialScheduler.STOP),
        (2 * EPOCHS - 1, math.nan, TrialScheduler.STOP),
    ):
        values = result(epoch, value, diverged=math.isnan(value)) | {"seconds": 10.0}
        assert scheduler.on_trial_result(None, a_trial(0), values) == decision


def test_a_failure_is_no_epoch_and_leaves_the_rungs_alone(inner: StudySearcher, stop: StopRequest) -> None:
    searcher = NamedSearcher(inner, stop, trial_ids([], 2))
    asha = build_scheduler(metric=METRIC, mode=MODE, max_epochs=EPOCHS)
    scheduler = StoppableScheduler(asha, stop)
    searcher.suggest("ray0")
    searcher.on_trial_result("ray0", result(1, 0.4))
    before = asha.rungs
    failed = result(2, math.nan, failure="RuntimeError: no")
    assert scheduler.on_trial_result(None, a_trial(0), failed) == TrialScheduler.STOP
    searcher.on_trial_complete("ray0", failed)
    assert asha.rungs == before
    [trial] = inner.study.trials
    assert trial.state == TrialState.FAIL
    assert trial.intermediate_values == {1: 0.4}
    assert trial.user_attrs["stop_reason"] == "RuntimeError: no"


def test_a_trial_whose_worker_died_before_it_began_is_handed_out_again(inner: StudySearcher, stop: StopRequest) -> None:
    searcher = NamedSearcher(inner, stop, trial_ids([], 2))
    first = searcher.suggest("ray0")
    searcher.suggest("ray1")
    assert searcher.suggest("ray2") is None  # one that is out may come back
    searcher.on_trial_complete("ray0", error=True)
    assert searcher.handed_out_again == {"ray0"}
    assert searcher.suggest("ray3") == first
    for name in ("ray1", "ray3"):
        searcher.on_trial_result(name, result(1, 0.5))
        searcher.on_trial_complete(name, result(EPOCHS, 0.5))
    assert searcher.suggest("ray4") == Searcher.FINISHED
    assert [trial.state for trial in inner.study.trials] == [TrialState.COMPLETE] * 2


def test_a_trial_whose_workers_die_again_and_again_fails(inner: StudySearcher, stop: StopRequest) -> None:
    searcher = NamedSearcher(inner, stop, trial_ids([], 1))
    for name in ("ray0", "ray1", "ray2", "ray3"):
        assert searcher.suggest(name)["trial_id"] == "00000"
        searcher.on_trial_complete(name, error=True)
    assert searcher.suggest("ray4") == Searcher.FINISHED
    assert inner.study.trials[0].state == TrialState.FAIL


def test_a_trial_that_had_reported_is_not_handed_out_again(inner: StudySearcher, stop: StopRequest) -> None:
    searcher = NamedSearcher(inner, stop, trial_ids([], 1))
    searcher.suggest("ray0")
    searcher.on_trial_result("ray0", result(1, 0.5))
    searcher.on_trial_complete("ray0", error=True)
    assert inner.study.trials[0].state == TrialState.FAIL


def test_a_trial_that_cannot_reach_its_next_epoch_in_time_ends_with_this_one(inner: StudySearcher) -> None:
    stop = StopRequest(60)
    searcher = NamedSearcher(inner, stop, trial_ids([], 1))
    scheduler = StoppableScheduler(None, stop)
    searcher.suggest("ray0")
    assert scheduler.on_trial_result(None, a_trial(0), result(1, 0.5, seconds=1.0)) == TrialScheduler.CONTINUE
    assert stop.why is None
    compiling = result(2, 0.5, seconds=100.0, compile_seconds=99.0)  # which the next epoch does not
    assert scheduler.on_trial_result(None, a_trial(0), compiling) == TrialScheduler.CONTINUE
    assert scheduler.on_trial_result(None, a_trial(0), result(3, 0.5, seconds=100.0)) == TrialScheduler.STOP
    assert stop.ended == {"00000"}
    assert stop.reason is None  # the other trials go on
    assert stop.why == "time budget"
    searcher.on_trial_complete("ray0", result(2, 0.5))
    assert inner.study.trials[0].state == TrialState.RUNNING  # to go on when the run is resumed


def test_where_lengths_are_open_the_time_budget_may_end_in_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    stop = StopRequest(60)
    scheduler = that_goes_on(stop)
    clock[0] = 60 - 100 * SHORTEST_EPOCH
    assert scheduler.on_trial_result(None, a_trial(0), result(1, 0.5, seconds=100.0)) == TrialScheduler.CONTINUE
    clock[0] += 1
    assert scheduler.on_trial_result(None, a_trial(0), result(1, 0.5, seconds=100.0)) == TrialScheduler.STOP
    assert stop.why == "time budget"


def test_an_epoch_that_was_cut_short_is_a_trials_last() -> None:
    stop = StopRequest(60)
    scheduler = that_goes_on(stop)
    cut = result(1, 0.5, seconds=0.1, trained_share=0.7)
    assert scheduler.on_trial_result(None, a_trial(0), cut) == TrialScheduler.STOP
    assert stop.ended == {"00000"}
    assert stop.why == "time budget"


def test_an_epoch_that_was_cut_short_is_not_judged_at_a_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = StopRequest(60)
    scheduler = that_goes_on(stop)
    assert scheduler._inner is not None
    monkeypatch.setattr(scheduler._inner, "on_trial_result", lambda *_: TrialScheduler.STOP)
    cut = result(1, 0.1, seconds=0.1, trained_share=0.2)
    assert scheduler.on_trial_result(None, a_trial(0), cut) == TrialScheduler.STOP
    assert stop.ended == {"00000"}, "it goes on when the search does"
    whole = result(1, 0.1, seconds=0.1)
    assert scheduler.on_trial_result(None, a_trial(1), whole) == TrialScheduler.STOP
    assert stop.ended == {"00000"}, "it was stopped"


@pytest.mark.parametrize(("cuts", "least"), [(False, 25.0), (True, 25 * SHORTEST_EPOCH)])
def test_no_trial_is_begun_whose_first_epoch_would_not_end_in_time(
    inner: StudySearcher, monkeypatch: pytest.MonkeyPatch, cuts: bool, least: float
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    stop = StopRequest(60)
    searcher = NamedSearcher(inner, stop, trial_ids([], 9), cuts=cuts)
    searcher.suggest("ray0")
    clock[0] = 25.0
    searcher.on_trial_complete("ray0", result(EPOCHS, 0.5))  # the first took 25 seconds
    clock[0] = 60 - least
    assert searcher.suggest("ray1") is not None
    clock[0] += 1
    assert searcher.suggest("ray2") == Searcher.FINISHED
    assert stop.reason is None
    assert stop.why == "time budget"


def test_the_clock_of_the_budget_may_have_begun_before() -> None:
    now = time.monotonic()
    assert StopRequest(60, now - 61).reason == "time budget"
    assert StopRequest(60, now - 61).seconds_left == 0
    assert 0 < StopRequest(60, now - 1).seconds_left < 60
    assert StopRequest(None).seconds_left == math.inf


def test_what_ends_a_tuner_is_the_reason_of_the_search(stop: StopRequest) -> None:
    def broken() -> None:
        raise RuntimeError("no")

    tuner: Any = SimpleNamespace(fit=broken)
    fit(tuner, stop, one_node=True)
    assert stop.reason == "RuntimeError: no"


def test_a_trial_that_had_no_time_to_begin_goes_on_when_the_run_is_resumed(
    inner: StudySearcher, stop: StopRequest
) -> None:
    searcher = NamedSearcher(inner, stop, trial_ids([], 1))
    asha = build_scheduler(metric=METRIC, mode=MODE, max_epochs=EPOCHS)
    searcher.suggest("ray0")
    nothing = result(1, math.nan, not_begun=True)
    assert StoppableScheduler(asha, stop).on_trial_result(None, a_trial(0), nothing) == TrialScheduler.STOP
    searcher.on_trial_complete("ray0", nothing)
    assert inner.study.trials[0].state == TrialState.RUNNING
    assert all(not values for values in asha.rungs.values())


def test_the_end_of_the_budget_is_told_to_workers_by_the_clock_on_the_wall() -> None:
    assert StopRequest(60).ends_at == pytest.approx(time.time() + 60, abs=5)
    assert StopRequest(None).ends_at == math.inf


@pytest.mark.parametrize("one_node", [True, False])
def test_shortcuts_through_ray_are_taken_while_trials_run(stop: StopRequest, one_node: bool) -> None:
    usual = class_cache.DEFAULT_ENV_VARS
    seen = []

    def look() -> None:
        seen.append(class_cache.DEFAULT_ENV_VARS)

    tuner: Any = SimpleNamespace(fit=look)
    fit(tuner, stop, one_node=one_node)
    assert seen == [{} if one_node else usual]
    assert class_cache.DEFAULT_ENV_VARS is usual
    assert usual  # Ray still sets it


def test_a_trial_that_ends_without_a_report_has_failed(inner: StudySearcher, stop: StopRequest) -> None:
    searcher = NamedSearcher(inner, stop, trial_ids([], 1))
    searcher.suggest("ray0")
    searcher.on_trial_complete("ray0", {"done": True, "trial_id": "ray0", "time_total_s": 1.0})  # by Ray's own hand
    assert inner.study.trials[0].state == TrialState.FAIL


def test_a_process_that_ends_waits_for_what_its_trial_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    base = type("Base", (), {"cleanup": lambda self: order.append("told")})
    monkeypatch.setattr(tuner, "wrap_function", lambda trainable: base)
    monkeypatch.setattr(tuner, "wait_until_written", lambda: order.append("written"))
    tuner.named_after("a.run", train_trial)().cleanup()
    assert order == ["told", "written"]


def test_what_a_trial_writes_at_its_end_is_waited_for() -> None:
    written: list[float] = []

    def write() -> None:
        with classifier._WRITING:
            time.sleep(0.6)
            written.append(time.monotonic())

    thread = threading.Thread(target=write)
    thread.start()
    classifier.wait_until_written()
    assert written
    thread.join()
