"""What the driver writes: every epoch once, whatever happens, and no checkpoint that nobody wants."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from results.records.run_folder import load_trials
from search.callbacks.run_log import Monitor, num_epochs
from search.stop import StopRequest
from tests.records import a_report
from trainables.config import TaskConfig, TrialConfig
from trainables.report import METRIC, EpochReport

CONFIG = TrialConfig(backbone="test_resnet")


def a_trial(trial_id: str = "00000") -> Any:
    """What Ray hands to a callback, as far as it is looked at."""
    return SimpleNamespace(config={**asdict(CONFIG), "trial_id": trial_id}, get_error=lambda: None)


def a_result(epoch: int, score: float, best: float | None = None, **more: Any) -> dict[str, Any]:
    report = a_report(
        epoch,
        score,
        val_loss=math.nan if math.isnan(score) else 1.0,
        class_f1=(0.1, 0.2, 0.3),
        best_val_macro_f1=score if best is None else best,
        diverged=math.isnan(score),
    )
    return {**asdict(report), "training_iteration": epoch, **more}


@pytest.fixture
def stop() -> StopRequest:
    return StopRequest(None)


@pytest.fixture
def monitor(task: TaskConfig, tmp_path: Path, stop: StopRequest) -> Monitor:
    return Monitor(tmp_path, task, 1, stop)


def run(monitor: Monitor, trial: Any, *results: dict[str, Any]) -> None:
    monitor.on_trial_start(0, [], trial)
    for result in results:
        monitor.on_trial_result(0, [], trial, result)


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder)).Reload()
    return [(event.step, float(make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_epoch_is_a_line_and_the_first_has_the_configuration(monitor: Monitor, tmp_path: Path) -> None:
    run(monitor, a_trial(), a_result(1, 0.2), a_result(2, 0.4), a_result(3, 0.3, 0.4, done=True))
    written = lines(tmp_path / "trials.jsonl")
    assert [line["epoch"] for line in written] == [1, 2, 3]
    assert [line["status"] for line in written] == ["running", "running", "finished"]
    assert written[0]["config"] == asdict(CONFIG)
    assert "config" not in written[1]
    assert set(EpochReport.__dataclass_fields__) <= set(written[0])


def test_a_final_training_that_was_done_before_a_restart_keeps_its_weights(task: TaskConfig, tmp_path: Path) -> None:
    first, second = a_trial("a-final"), a_trial("b-final")
    nothing = {"class_f1": (), "val_loss": math.nan, "val_accuracy": math.nan, "best_val_macro_f1": math.nan}
    last = {**a_result(task.epochs, math.nan), **nothing, "diverged": False}
    for trial in (first, second):
        folder = Path(task.checkpoint_dir) / trial.config["trial_id"]
        folder.mkdir(parents=True)
        (folder / "best.pt").touch()
    run(Monitor(tmp_path, task, 2, StopRequest(None)), first, last)
    earlier = load_trials(tmp_path)
    assert [trial.status for trial in earlier] == ["finished"]
    run(Monitor(tmp_path, task, 2, StopRequest(None), earlier), second, last)
    assert sorted(path.parent.name for path in Path(task.checkpoint_dir).glob("*/best.pt")) == ["a-final", "b-final"]


def test_curves_show_every_epoch_and_not_a_number_as_such(monitor: Monitor, tmp_path: Path) -> None:
    run(monitor, a_trial(), a_result(1, 0.25), a_result(2, math.nan, 0.25))
    monitor.on_experiment_end([])
    points = curve(tmp_path / "tensorboard" / "00000", "macro_f1/val")
    assert points[0] == (1, 0.25)
    assert points[1][0] == 2
    assert math.isnan(points[1][1])
    assert curve(tmp_path / "tensorboard" / "00000", "class_f1/square")[0] == (1, pytest.approx(0.2))


def test_states_tell_a_stopped_from_a_finished_a_diverged_and_a_broken_trial(monitor: Monitor, tmp_path: Path) -> None:
    run(monitor, a_trial("00000"), a_result(1, 0.2, done=True))
    run(monitor, a_trial("00001"), a_result(1, 0.2), a_result(2, 0.2), a_result(3, 0.2, done=True))
    run(monitor, a_trial("00002"), a_result(1, math.nan, done=True))
    run(monitor, a_trial("00003"), {"val_macro_f1": math.nan, "failure": "RuntimeError: no", "traceback": "..."})
    trials = load_trials(tmp_path)
    assert [trial.status for trial in trials] == ["stopped", "finished", "failed", "failed"]
    assert "diverged" in (trials[2].reason or "")
    assert trials[3].reason == "RuntimeError: no"


def test_a_resumed_run_draws_on_and_repeats_nothing(
    monitor: Monitor, task: TaskConfig, tmp_path: Path, stop: StopRequest
) -> None:
    run(monitor, a_trial(), a_result(1, 0.2), a_result(2, 0.4))  # and then a kill
    again = Monitor(tmp_path, task, 1, stop, load_trials(tmp_path))
    run(again, a_trial(), a_result(2, 0.4), a_result(3, 0.5, done=True))
    again.on_experiment_end([])
    assert [line["epoch"] for line in lines(tmp_path / "trials.jsonl")] == [1, 2, 3]
    points = curve(tmp_path / "tensorboard" / "00000", "macro_f1/val")
    assert [step for step, _ in points] == [1, 2, 3]
    assert [line["event"] for line in lines(tmp_path / "events.jsonl")].count("repeated") == 1


def test_only_the_best_weights_of_the_best_trials_stay(monitor: Monitor, task: TaskConfig, tmp_path: Path) -> None:
    checkpoints = Path(task.checkpoint_dir)
    for trial_id in ("00000", "00001", "00002"):
        (checkpoints / trial_id).mkdir(parents=True)
        for name in ("last.pt", "best.pt"):
            (checkpoints / trial_id / name).touch()
    run(monitor, a_trial("00000"), a_result(1, 0.3, done=True))
    run(monitor, a_trial("00001"), a_result(1, 0.5, done=True))
    run(monitor, a_trial("00002"), a_result(1, 0.4))  # still running
    left = sorted(str(path.relative_to(checkpoints)) for path in checkpoints.glob("*/*"))
    assert left == ["00001/best.pt", "00002/best.pt", "00002/last.pt"]


def test_three_failures_alike_from_the_start_end_the_search(monitor: Monitor, stop: StopRequest) -> None:
    for number in range(3):
        assert stop.reason is None
        run(
            monitor,
            a_trial(f"{number:05d}"),
            {"val_macro_f1": math.nan, "failure": "RuntimeError: no", "traceback": ""},
        )
    assert "RuntimeError: no" in (stop.reason or "")


def test_failures_after_a_success_or_of_other_kinds_do_not_end_it(monitor: Monitor, stop: StopRequest) -> None:
    run(monitor, a_trial("00000"), a_result(1, 0.3, done=True))
    for number in range(1, 5):
        run(
            monitor,
            a_trial(f"{number:05d}"),
            {"val_macro_f1": math.nan, "failure": "RuntimeError: no", "traceback": ""},
        )
    assert stop.reason is None


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


def test_a_changed_best_is_what_hparams_shows(monitor: Monitor, tmp_path: Path) -> None:
    run(monitor, a_trial(), a_result(1, 0.5), a_result(2, 0.3, 0.5))
    monitor.on_experiment_end([])
    assert curve(tmp_path / "tensorboard" / "00000", "macro_f1/best")[-1] == (2, 0.5)


def test_failures_alike_are_told_without_their_numbers_and_paths(monitor: Monitor, stop: StopRequest) -> None:
    for number in range(3):
        failure = f"OSError: no file /run/{number:05d}/last.pt, tried {number}.5 GiB"
        run(monitor, a_trial(f"{number:05d}"), {"val_macro_f1": math.nan, "failure": failure, "traceback": ""})
    assert stop.reason is not None


def test_curves_that_cannot_be_written_end_the_search_and_not_the_driver(
    monitor: Monitor, tmp_path: Path, stop: StopRequest
) -> None:
    (tmp_path / "tensorboard" / "00000").write_text("in the way")
    run(monitor, a_trial(), a_result(1, 0.2))
    assert "tensorboard cannot be written" in (stop.reason or "")
    assert [line["epoch"] for line in lines(tmp_path / "trials.jsonl")] == [1]


def test_confusion_matrices_of_all_trials_are_kept_and_drawn(monitor: Monitor, tmp_path: Path) -> None:
    confusion = [[3, 1, 0], [0, 4, 0], [1, 0, 3]]
    for number, score in enumerate((0.5, 0.4, 0.6)):
        run(monitor, a_trial(f"{number:05d}"), a_result(3, score, done=True, confusion=confusion))
    drawn = [
        bool(EventAccumulator(str(tmp_path / "tensorboard" / f"{number:05d}")).Reload().Tags()["images"])
        for number in range(3)
    ]
    assert drawn == [True, True, True]
    assert len(list((tmp_path / "confusion").glob("*.csv"))) == 3


def test_weights_written_after_a_trial_had_ended_are_deleted_at_the_end(
    monitor: Monitor, task: TaskConfig, tmp_path: Path
) -> None:
    folder = Path(task.checkpoint_dir)
    for number, score in enumerate((0.5, 0.4)):
        run(monitor, a_trial(f"{number:05d}"), a_result(3, score, done=True))
    for number in range(2):
        (folder / f"{number:05d}").mkdir(parents=True)
        (folder / f"{number:05d}" / "best.pt").write_text("")
    monitor.prune()
    assert [path.parent.name for path in folder.glob("*/best.pt")] == ["00000"]


@pytest.mark.parametrize(("own", "epochs"), [({}, 6), ({"epochs": 9}, 9), ({"epochs": 9, "last_epoch": 4}, 4)])
def test_a_training_that_has_epochs_of_its_own_ends_with_them(own: dict[str, int], epochs: int) -> None:
    assert num_epochs(SimpleNamespace(config={"task": own}), 6) == epochs
    assert num_epochs(a_trial(), 6) == 6


def test_a_trial_that_had_no_time_to_begin_is_interrupted_and_has_no_epoch(
    monitor: Monitor, stop: StopRequest, tmp_path: Path
) -> None:
    stop.ask("time budget")
    run(monitor, a_trial(), {METRIC: math.nan, "not_begun": True, "training_iteration": 1})
    [trial] = load_trials(tmp_path)
    assert (trial.status, trial.reason, trial.reports) == ("interrupted", "time budget", ())
