"""What the driver logs: every epoch once, whatever happens."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from results.records.run_folder import RunFolder
from results.records.trials import load_trials
from search.callbacks.monitor import Monitor, build_monitor
from search.stop import StopRequest
from tests.monitored import CONFIG, a_failure, a_result, a_trial, lines, run
from trainables.config import TaskConfig
from trainables.report import METRIC, EpochReport


@pytest.fixture
def stop() -> StopRequest:
    return StopRequest(None)


@pytest.fixture
def monitor(task: TaskConfig, tmp_path: Path, stop: StopRequest) -> Monitor:
    return build_monitor(RunFolder(tmp_path), task, 1, stop)


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder)).Reload()
    return [(event.step, float(make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]


def test_each_epoch_is_a_line_and_the_first_has_the_configuration(monitor: Monitor, tmp_path: Path) -> None:
    run(monitor, a_trial(), a_result(1, 0.2), a_result(2, 0.4), a_result(3, 0.3, 0.4, done=True))
    written = lines(tmp_path / "trials.jsonl")
    assert [line["epoch"] for line in written] == [1, 2, 3]
    assert [line["status"] for line in written] == ["running", "running", "finished"]
    assert written[0]["config"] == asdict(CONFIG)
    assert "config" not in written[1]
    assert set(EpochReport.__dataclass_fields__) <= set(written[0])


def test_states_tell_a_stopped_from_a_finished_a_diverged_and_a_broken_trial(monitor: Monitor, tmp_path: Path) -> None:
    run(monitor, a_trial("00000"), a_result(1, 0.2, done=True))
    run(monitor, a_trial("00001"), a_result(1, 0.2), a_result(2, 0.2), a_result(3, 0.2, done=True))
    run(monitor, a_trial("00002"), a_result(1, math.nan, done=True))
    run(monitor, a_trial("00003"), a_failure())
    trials = load_trials(tmp_path)
    assert [trial.status for trial in trials] == ["stopped", "finished", "failed", "failed"]
    assert "diverged" in (trials[2].reason or "")
    assert trials[3].reason == "RuntimeError: no"


def test_a_resumed_run_draws_on_and_repeats_nothing(
    monitor: Monitor, task: TaskConfig, tmp_path: Path, stop: StopRequest
) -> None:
    run(monitor, a_trial(), a_result(1, 0.2), a_result(2, 0.4))  # and then a kill
    again = build_monitor(RunFolder(tmp_path), task, 1, stop, load_trials(tmp_path))
    run(again, a_trial(), a_result(2, 0.4), a_result(3, 0.5, done=True))
    again.on_experiment_end([])
    assert [line["epoch"] for line in lines(tmp_path / "trials.jsonl")] == [1, 2, 3]
    points = curve(RunFolder(tmp_path).curves("00000"), "macro_f1/val")
    assert [step for step, _ in points] == [1, 2, 3]
    assert [line["event"] for line in lines(tmp_path / "events.jsonl")].count("repeated") == 1


def test_an_epoch_that_is_repeated_with_other_numbers_counts_with_those_of_its_weights(
    monitor: Monitor, task: TaskConfig, tmp_path: Path, stop: StopRequest
) -> None:
    run(monitor, a_trial(), a_result(1, 0.2), a_result(2, 0.6))  # on a GPU, and then a kill
    again = build_monitor(RunFolder(tmp_path), task, 1, stop, load_trials(tmp_path))
    run(again, a_trial(), a_result(2, 0.4), a_result(2, 0.4), a_result(3, 0.5, done=True))
    assert [line["epoch"] for line in lines(tmp_path / "trials.jsonl")] == [1, 2, 2, 3]
    (trial,) = load_trials(tmp_path)
    assert [report.val_score for report in trial.reports] == [0.2, 0.4, 0.5]
    assert trial.best is not None and trial.best.epoch == 3


def test_an_epoch_that_is_repeated_by_another_rule_for_the_best_is_written_anew(
    monitor: Monitor, task: TaskConfig, tmp_path: Path, stop: StopRequest
) -> None:
    run(monitor, a_trial(), a_result(1, 0.6), {**a_result(2, 0.59), "best_epoch": 1})  # by an earlier version
    again = build_monitor(RunFolder(tmp_path), task, 1, stop, load_trials(tmp_path))
    run(again, a_trial(), {**a_result(2, 0.59, done=True), "best_epoch": 2, "highest_epoch": 1})
    (trial,) = load_trials(tmp_path)
    assert trial.best is not None and trial.best.epoch == 2


def test_a_full_disk_leaves_whole_lines_and_ends_the_search(
    monitor: Monitor, tmp_path: Path, stop: StopRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monitor, a_trial(), a_result(1, 0.2))
    before = (tmp_path / "trials.jsonl").read_text()

    def half_then_full(*args: Any, **kwargs: Any) -> str:
        with (tmp_path / "trials.jsonl").open("a") as file:
            file.write("half a li")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dumps", half_then_full)
    monitor.on_trial_result(0, [], a_trial(), a_result(2, 0.3))
    assert (tmp_path / "trials.jsonl").read_text() == before
    assert "No space left" in (stop.reason or "")


def test_a_trial_that_ends_with_the_search_is_interrupted_not_stopped(
    monitor: Monitor, tmp_path: Path, stop: StopRequest
) -> None:
    monitor.on_trial_start(0, [], a_trial())
    stop.ask("Ctrl-C")
    stop.ended.add("00000")
    monitor.on_trial_result(0, [], a_trial(), a_result(1, 0.2, done=True))
    [trial] = load_trials(tmp_path)
    assert trial.status == "interrupted"
    assert trial.reason == "Ctrl-C"


def test_a_trial_that_had_no_time_to_begin_is_interrupted_and_has_no_epoch(
    monitor: Monitor, stop: StopRequest, tmp_path: Path
) -> None:
    stop.ask("time budget")
    run(monitor, a_trial(), {METRIC: math.nan, "not_begun": True, "training_iteration": 1})
    [trial] = load_trials(tmp_path)
    assert (trial.status, trial.reason, trial.reports) == ("interrupted", "time budget", ())


def test_a_trial_that_is_handed_out_again_has_not_failed(task: TaskConfig, stop: StopRequest, tmp_path: Path) -> None:
    monitor = build_monitor(RunFolder(tmp_path), task, 1, stop, handed_out_again={"ray-00000"})
    for trial in (a_trial("00000"), a_trial("00001")):
        run(monitor, trial)
        monitor.on_trial_error(0, [], trial)
    assert [trial.status for trial in load_trials(tmp_path)] == ["running", "failed"]


def test_the_end_of_a_trial_is_noted_once(monitor: Monitor, tmp_path: Path) -> None:
    run(monitor, a_trial(), a_result(3, 0.2, done=True))
    monitor.on_trial_error(0, [], a_trial())
    assert [line["event"] for line in lines(tmp_path / "events.jsonl")] == ["started", "finished"]


def test_a_trial_that_goes_on_in_parts_says_so_once(monitor: Monitor, tmp_path: Path) -> None:
    run(monitor, a_trial(), a_result(1, 0.2, micro_batches=4), a_result(2, 0.3, micro_batches=4))
    assert [line["event"] for line in lines(tmp_path / "events.jsonl")] == ["started", "micro_batches"]
