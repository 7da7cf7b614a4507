"""The trainable: failures are results, memory that runs out is tried in parts, nothing stays behind."""

from __future__ import annotations

import gc
import math
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from ray import tune

from tests.out_of_memory import room_for
from trainables import classifier
from trainables.classifier import train_trial
from trainables.config import TaskConfig, TrialConfig
from trainables.errors import NodeFaultError
from trainables.report import METRIC
from trainables.training import loop
from trainables.training.loop import fit
from trainables.training.state import Checkpointer

CONFIG = {**asdict(TrialConfig(backbone="test_resnet", dropout=0.0, lr=3e-3)), "trial_id": "00000"}


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is reported, taken down in Ray's place."""
    taken: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", taken.append)
    return taken


def test_every_epoch_is_reported_with_its_number(task: TaskConfig, reports: list[dict[str, Any]]) -> None:
    train_trial(CONFIG, task)
    assert [report["training_iteration"] for report in reports] == [1, 2, 3]
    assert all(0 <= report["val_macro_f1"] <= 1 for report in reports)
    folder = Path(task.checkpoint_dir) / "00000"
    assert (folder / "best.pt").exists()


def test_a_trial_that_is_run_again_goes_on_from_its_checkpoint(
    task: TaskConfig, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_trial(CONFIG, task)
    whole = [report["val_loss"] for report in reports]
    reports.clear()
    (Path(task.checkpoint_dir) / "00000" / "last.pt").unlink()

    def dies_after_two(report: dict[str, Any]) -> None:
        reports.append(report)
        if report["training_iteration"] == 3:
            raise SystemExit  # as Ray ends a thread, before the epoch counts

    monkeypatch.setattr(tune, "report", dies_after_two)
    with pytest.raises(SystemExit):
        train_trial(CONFIG, task)
    monkeypatch.setattr(tune, "report", reports.append)
    train_trial(CONFIG, task)
    assert [report["epoch"] for report in reports][-1] == 3
    assert len(reports) < 6  # it did not start from the beginning
    assert [reports[index]["val_loss"] for index in (0, 1)] == whole[:2]
    assert reports[-1]["val_loss"] == whole[2]


def test_a_trial_gives_back_what_one_that_ray_ended_has_left(task: TaskConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    before = living_networks()
    living = []

    def ends(report: dict[str, Any]) -> None:
        living.append(living_networks() - before)
        raise SystemExit

    def ended() -> None:
        with suppress(SystemExit):
            train_trial(CONFIG, task)

    monkeypatch.setattr(tune, "report", ends)
    gc.disable()  # so that only what a trial does itself sets memory free
    try:
        for _ in range(2):
            thread = threading.Thread(target=ended)
            thread.start()
            thread.join()
    finally:
        gc.enable()
    assert living == [2, 2]  # a network and its average: nothing of the first is left beside the second


def living_networks() -> int:
    """Networks of the configuration's kind that take up memory."""
    return sum(type(one) is timm.models.ResNet for one in gc.get_objects())


def test_an_exception_is_the_trials_result_with_its_reason(task: TaskConfig, reports: list[dict[str, Any]]) -> None:
    train_trial({**CONFIG, "backbone": "no_such_network"}, task)
    [report] = reports
    assert math.isnan(report[METRIC])
    assert "no_such_network" in report["failure"]
    assert "Traceback" in report["traceback"]


def test_memory_that_runs_out_is_tried_once_more_in_parts(task: TaskConfig, reports: list[dict[str, Any]]) -> None:
    with room_for(task.batch_size // 4):
        train_trial(CONFIG, task)
    assert [report["epoch"] for report in reports] == [1, 2, 3]
    assert {report["micro_batches"] for report in reports} == {4}


def test_memory_that_is_never_enough_makes_the_configuration_infeasible(
    task: TaskConfig, reports: list[dict[str, Any]]
) -> None:
    with room_for(0):
        train_trial(CONFIG, task)
    [report] = reports
    assert report["failure"].startswith("infeasible: out of memory")


@pytest.mark.parametrize("before", [0, 5_000_000_000])
def test_memory_that_others_take_is_its_machines_fault_and_what_they_had_is_not(
    task: TaskConfig, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    missing = iter([before, 5_000_000_000])
    monkeypatch.setattr("trainables.machine.epoch_meter.bytes_missing", lambda *_: next(missing))
    with room_for(0):
        if before:
            train_trial(CONFIG, task)
        else:
            with pytest.raises(NodeFaultError, match=r"others have taken 5.0 GB of the GPU's memory"):
                train_trial(CONFIG, task)
    assert len(reports) == (1 if before else 0)


def test_memory_that_others_took_before_a_trial_began_is_its_machines_fault_too(
    task: TaskConfig, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(share: float, free_before: int | None = None) -> int:
        return 5_000_000_000 if free_before is None else 80_000_000_000 - free_before

    monkeypatch.setattr("trainables.machine.epoch_meter.bytes_missing", missing)
    with room_for(0):
        with pytest.raises(NodeFaultError, match=r"others have taken 5.0 GB of the GPU's memory"):
            train_trial(CONFIG, task, free_before=80_000_000_000)
        train_trial(CONFIG, task, free_before=75_000_000_000)
    assert len(reports) == 1


def test_a_failure_is_told_though_the_gpu_is_lost_with_it(
    task: TaskConfig, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    frees = []

    def lost() -> None:
        frees.append(1)
        if len(frees) > 1:
            raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(classifier, "_free_memory", lost)
    train_trial({**CONFIG, "backbone": "no_such_network"}, task)
    assert len(frees) == 2
    [report] = reports
    assert "no_such_network" in report["failure"]


def test_a_full_disk_is_its_machines_fault_and_no_result(
    task: TaskConfig, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(NodeFaultError, match="No space left on device"):
        train_trial(CONFIG, task)
    assert not any("failure" in report for report in reports)


@pytest.mark.parametrize("gone", ["cache_path", "split_path", "weights"])
def test_inputs_that_are_not_there_are_its_machines_fault_and_no_result(
    task: TaskConfig, reports: list[dict[str, Any]], tmp_path: Path, gone: str
) -> None:
    nowhere = str(tmp_path / "nowhere" / "file")
    value = {"test_resnet": nowhere} if gone == "weights" else nowhere
    with pytest.raises(NodeFaultError, match="nowhere"):
        train_trial(CONFIG, replace(task, **{gone: value}))
    assert not reports


def test_a_device_that_does_not_start_is_its_machines_fault_and_travels_to_the_driver(
    task: TaskConfig, reports: list[dict[str, Any]]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("it starts here")
    with pytest.raises(NodeFaultError, match="cuda:0 does not start") as caught:
        train_trial(CONFIG, replace(task, device="cuda"))
    sent = pickle.loads(pickle.dumps(caught.value))
    assert (sent.reason, sent.node) == (caught.value.reason, caught.value.node)
    assert not reports


def test_parts_of_a_batch_add_up_to_its_gradient(task: TaskConfig, reports: list[dict[str, Any]]) -> None:
    from trainables.data.batches import load_data
    from trainables.training.loop import fit
    from trainables.training.state import TrainState

    losses = []
    for parts in (1, 4):  # a network without batch normalization, which would see the parts
        config = TrialConfig(backbone="test_vit", dropout=0.0, lr=1e-3)
        data = load_data(task, torch.device("cpu"))
        state = TrainState.start(config, replace(task, epochs=2), len(data.train) // task.batch_size, parts)
        losses.append([report.train_loss for report in fit(state, data)])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_a_trial_that_is_ready_after_the_time_budget_does_not_begin(
    task: TaskConfig, reports: list[dict[str, Any]]
) -> None:
    train_trial(CONFIG, task, ends_at=time.time() - 1)
    [report] = reports
    assert report["not_begun"]
    assert not Path(task.checkpoint_dir).exists()


def test_the_epoch_that_the_time_budget_ends_in_is_cut_short_where_it_may_be(
    task: TaskConfig, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0])
    monkeypatch.setattr("time.time", lambda: next(clock, 1e9))  # it was ready in time, and all that follows is too late
    train_trial(CONFIG, task, ends_at=1.0, cuts=True)
    assert [report["trained_share"] < 1 for report in reports] == [True] * task.epochs


@pytest.mark.parametrize(("epoch_seconds", "saved"), [(100.0, True), (10.0, False)])
def test_the_state_of_a_trial_that_the_time_may_end_is_on_the_disk(
    task: TaskConfig,
    reports: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    epoch_seconds: float,
    saved: bool,
) -> None:
    def ends_with_the_second(report: dict[str, Any]) -> None:
        reports.append(report)
        if len(reports) == 2:
            raise SystemExit

    def slow(*args: Any) -> Iterator[Any]:
        return (replace(report, seconds=epoch_seconds) for report in fit(*args))

    monkeypatch.setattr(tune, "report", ends_with_the_second)
    monkeypatch.setattr(loop, "fit", slow)
    monkeypatch.setattr(Checkpointer, "_is_due", lambda _: False)  # as where to save takes long
    with pytest.raises(SystemExit):
        train_trial(CONFIG, task, ends_at=time.time() + 50, cuts=True)
    assert (Path(task.checkpoint_dir) / "00000" / "last.pt").exists() == saved
    train_trial(CONFIG, task)
    assert [report["training_iteration"] for report in reports[2:]] == ([3] if saved else [1, 2, 3])


def test_a_trial_whose_last_epoch_was_cut_short_goes_on_with_the_next(
    task: TaskConfig, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends_with_the_cut(report: dict[str, Any]) -> None:
        reports.append(report)
        if report["trained_share"] < 1:
            raise SystemExit  # as Ray ends a thread that the scheduler ends

    clock = iter([0.0])
    monkeypatch.setattr(tune, "report", ends_with_the_cut)
    with monkeypatch.context() as late, pytest.raises(SystemExit):
        late.setattr("time.time", lambda: next(clock, 1e9))
        train_trial(CONFIG, task, ends_at=1.0, cuts=True)
    train_trial(CONFIG, task)
    assert [report["training_iteration"] for report in reports] == [1, 2, 3]
    assert [report["trained_share"] < 1 for report in reports] == [True, False, False]
