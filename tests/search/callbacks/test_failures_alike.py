"""A search of which nothing but failures comes ends early."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from results.records.run_folder import RunFolder
from search.callbacks.failures_alike import ALIKE_BY_CONFIGURATION
from search.callbacks.monitor import Monitor, build_monitor
from search.stop import StopRequest
from tests.monitored import a_failure, a_result, a_trial, run
from trainables.classifier import INFEASIBLE
from trainables.config import TaskConfig


@pytest.fixture
def stop() -> StopRequest:
    return StopRequest(None)


@pytest.fixture
def monitor(task: TaskConfig, tmp_path: Path, stop: StopRequest) -> Monitor:
    return build_monitor(RunFolder(tmp_path), task, 1, stop)


def test_three_failures_alike_from_the_start_end_the_search(monitor: Monitor, stop: StopRequest) -> None:
    for number in range(3):
        assert stop.reason is None
        run(
            monitor,
            a_trial(f"{number:05d}"),
            a_failure(),
        )
    assert "RuntimeError: no" in (stop.reason or "")


def test_failures_after_a_success_or_of_other_kinds_do_not_end_it(monitor: Monitor, stop: StopRequest) -> None:
    run(monitor, a_trial("00000"), a_result(1, 0.3, done=True))
    for number in range(1, 5):
        run(
            monitor,
            a_trial(f"{number:05d}"),
            a_failure(),
        )
    assert stop.reason is None


def test_trials_that_diverge_end_it_only_once_other_rates_have_been_tried(monitor: Monitor, stop: StopRequest) -> None:
    for number in range(ALIKE_BY_CONFIGURATION):
        assert stop.reason is None
        run(monitor, a_trial(f"{number:05d}"), {**a_result(1 + number % 3, math.nan, done=True), "diverged": True})
    assert f"{ALIKE_BY_CONFIGURATION} failures alike from the first trial on: diverged" in (stop.reason or "")
    assert "--precision" not in (stop.reason or "")


def test_in_float16_the_way_out_is_another_precision(task: TaskConfig, tmp_path: Path, stop: StopRequest) -> None:
    monitor = build_monitor(RunFolder(tmp_path), replace(task, precision="float16"), 1, stop)
    for number in range(ALIKE_BY_CONFIGURATION):
        run(monitor, a_trial(f"{number:05d}"), {**a_result(1, math.nan, done=True), "diverged": True})
    assert (stop.reason or "").endswith("try --precision float32")


def test_trials_without_memory_end_it_only_once_other_networks_have_been_tried(
    monitor: Monitor, stop: StopRequest
) -> None:
    for number in range(ALIKE_BY_CONFIGURATION):
        assert stop.reason is None
        wanted = f"{number + 1}.50 {'GiB' if number % 2 else 'MiB'}"
        failure = f"{INFEASIBLE}: out of memory even in 4 parts a batch: tried to allocate {wanted}"
        run(monitor, a_trial(f"{number:05d}"), a_failure(failure))
    assert INFEASIBLE in (stop.reason or "")


def test_failures_alike_are_told_without_their_numbers_and_paths(monitor: Monitor, stop: StopRequest) -> None:
    for number in range(3):
        failure = f"OSError: no file /run/{number:05d}/last.pt, tried {number}.5 GiB"
        run(monitor, a_trial(f"{number:05d}"), a_failure(failure))
    assert stop.reason is not None
