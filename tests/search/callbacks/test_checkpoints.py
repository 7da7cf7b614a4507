"""No checkpoint stays that nobody wants, and none goes that somebody does."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from results.records.run_folder import RunFolder
from results.records.trials import load_trials
from search.callbacks.monitor import Monitor, build_monitor
from search.stop import StopRequest
from tests.monitored import a_result, a_trial, run
from trainables.checkpoints import BEST
from trainables.config import TaskConfig


@pytest.fixture
def stop() -> StopRequest:
    return StopRequest(None)


@pytest.fixture
def monitor(task: TaskConfig, tmp_path: Path, stop: StopRequest) -> Monitor:
    return build_monitor(RunFolder(tmp_path), task, 1, stop)


def test_a_final_training_that_was_done_before_a_restart_keeps_its_weights(task: TaskConfig, tmp_path: Path) -> None:
    first, second = a_trial("a-final"), a_trial("b-final")
    nothing = {"class_f1": (), "val_loss": math.nan, "val_accuracy": math.nan, "best_val_macro_f1": math.nan}
    last = {**a_result(task.epochs, math.nan), **nothing, "diverged": False}
    for trial in (first, second):
        folder = Path(task.checkpoint_dir) / trial.config["trial_id"]
        folder.mkdir(parents=True)
        (folder / "best.pt").touch()
    run(build_monitor(RunFolder(tmp_path), task, 2, StopRequest(None)), first, last)
    earlier = load_trials(tmp_path)
    assert [trial.status for trial in earlier] == ["finished"]
    run(build_monitor(RunFolder(tmp_path), task, 2, StopRequest(None), earlier), second, last)
    assert sorted(path.parent.name for path in Path(task.checkpoint_dir).glob("*/best.pt")) == ["a-final", "b-final"]


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


@pytest.mark.parametrize(("last", "stay"), [("long", ["00001", "00003"]), ("short", ["00001", "00002"])])
def test_long_trainings_of_the_best_configuration_stay_before_others_that_scored_higher(
    last: str, stay: list[str], task: TaskConfig, tmp_path: Path
) -> None:
    monitor, checkpoints = build_monitor(RunFolder(tmp_path), task, 2, StopRequest(None)), Path(task.checkpoint_dir)
    for number, (score, dropout) in enumerate(((0.5, 0.1), (0.7, 0.2), (0.6, 0.3), (0.4, 0.2))):
        trial = a_trial(f"{number:05}")
        trial.config["dropout"] = dropout
        (checkpoints / f"{number:05}").mkdir(parents=True)
        (checkpoints / f"{number:05}" / BEST).touch()
        run(monitor, trial, a_result(1 if number == 3 and last == "short" else task.epochs, score, done=True))
        if number == 2:
            assert sorted(path.name for path in checkpoints.iterdir()) == ["00001", "00002"]
    assert sorted(path.name for path in checkpoints.iterdir()) == stay


@pytest.mark.parametrize(("epochs", "stay"), [(8, ["00001", "00002"]), (7, ["00000", "00001"])])
def test_two_thirds_of_a_short_length_are_long(epochs: int, stay: list[str], task: TaskConfig, tmp_path: Path) -> None:
    monitor = build_monitor(RunFolder(tmp_path), replace(task, epochs=12), 2, StopRequest(None))
    for number, (score, dropout) in enumerate(((0.6, 0.1), (0.7, 0.2), (0.4, 0.2))):
        trial = a_trial(f"{number:05}")
        trial.config["dropout"] = dropout
        (Path(task.checkpoint_dir) / f"{number:05}").mkdir(parents=True)
        run(monitor, trial, a_result(epochs if number else 1, score, done=True))
    assert sorted(path.name for path in Path(task.checkpoint_dir).iterdir()) == stay


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


@pytest.mark.parametrize(("keep", "left"), [(1, ["00000", "00002"]), (0, [])])
def test_the_weights_of_a_front_stay_beside_the_best_few_unless_none_shall(
    keep: int, left: list[str], task: TaskConfig, tmp_path: Path, stop: StopRequest
) -> None:
    costs = {"dear": 9.0, "middle": 5.0, "cheap": 1.0}
    monitor = build_monitor(RunFolder(tmp_path), task, keep, stop, cost_of=lambda config: costs[config["backbone"]])
    for number, (backbone, score) in enumerate((("dear", 0.5), ("middle", 0.3), ("cheap", 0.4), ("cheap", 0.2))):
        trial = a_trial(f"{number:05}")
        trial.config["backbone"] = backbone
        folder = Path(task.checkpoint_dir) / f"{number:05}"
        folder.mkdir(parents=True)
        (folder / "best.pt").touch()
        run(monitor, trial, a_result(1, score, done=True))
    assert sorted(path.parent.name for path in Path(task.checkpoint_dir).glob("*/best.pt")) == left


def test_a_draft_of_a_trial_that_stays_is_left_to_the_worker_that_writes_it(
    monitor: Monitor, task: TaskConfig, tmp_path: Path
) -> None:
    folder = Path(task.checkpoint_dir) / "00000"
    folder.mkdir(parents=True)
    for name in ("last.pt", "best.pt.tmp-1-a", "best.pt.tmp-2-b"):
        (folder / name).touch()
    os.utime(folder / "best.pt.tmp-2-b", (0, 0))  # of a process that died
    run(monitor, a_trial("00000"), a_result(3, 0.5, done=True))
    run(monitor, a_trial("00001"), a_result(3, 0.4, done=True))
    assert [path.name for path in folder.iterdir()] == ["best.pt.tmp-1-a"]
    monitor.prune()
    assert [path.name for path in folder.iterdir()] == ["best.pt.tmp-1-a"]
