"""What TensorBoard shows: every epoch, of each trial the best, and where it goes wrong."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.util.tensor_util import make_ndarray

from results.records.run_folder import RunFolder
from search.callbacks.monitor import Monitor, build_monitor
from search.callbacks.tensorboard import title_of
from search.stop import StopRequest
from tests.monitored import CONFIG, a_result, a_trial, lines, run
from trainables.config import TaskConfig


@pytest.fixture
def stop() -> StopRequest:
    return StopRequest(None)


@pytest.fixture
def monitor(task: TaskConfig, tmp_path: Path, stop: StopRequest) -> Monitor:
    return build_monitor(RunFolder(tmp_path), task, 1, stop)


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder)).Reload()
    return [(event.step, float(make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]


def test_curves_show_every_epoch_and_not_a_number_as_such(monitor: Monitor, tmp_path: Path) -> None:
    run(monitor, a_trial(), a_result(1, 0.25), a_result(2, math.nan, 0.25))
    monitor.on_experiment_end([])
    points = curve(RunFolder(tmp_path).curves("00000"), "macro_f1/val")
    assert points[0] == (1, 0.25)
    assert points[1][0] == 2
    assert math.isnan(points[1][1])
    assert curve(RunFolder(tmp_path).curves("00000"), "class_f1/square")[0] == (1, pytest.approx(0.2))


def test_a_trial_is_called_by_what_it_is(monitor: Monitor, tmp_path: Path) -> None:
    run(monitor, a_trial(), a_result(1, 0.25))
    monitor.on_experiment_end([])
    assert [path.name for path in (tmp_path / "tensorboard").iterdir() if path.is_dir()] == [
        f"00000 {title_of(asdict(CONFIG))}"
    ]
    assert title_of({"backbone": "tf_efficientnet_lite0", "lr": 0.0017}) == "lite0 lr 1.7e-3"
    assert title_of({"backbone": "hf-hub:me/net"}) == "hf-hub_me_net"


def test_a_changed_best_is_what_hparams_shows(monitor: Monitor, tmp_path: Path) -> None:
    run(monitor, a_trial(), a_result(1, 0.5), a_result(2, 0.3, 0.5))
    monitor.on_experiment_end([])
    assert curve(RunFolder(tmp_path).curves("00000"), "macro_f1/best")[-1] == (2, 0.5)


def test_hparams_opens_on_what_people_ask_for(monitor: Monitor, tmp_path: Path) -> None:
    run(monitor, a_trial(), a_result(1, 0.5))
    monitor.on_experiment_end([])
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    told = board.SummaryMetadata("_hparams_/experiment").plugin_data.content
    experiment = HParamsPluginData.FromString(told).experiment
    shown = sorted(experiment.hparam_infos, key=lambda info: (not info.differs, info.name))  # as TensorBoard sorts them
    assert [info.name for info in shown[:5]] == ["backbone", "cutmix", "dropout", "lr", "policy"]
    assert experiment.metric_infos[0].name.tag == "macro_f1/best"


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
        bool(EventAccumulator(str(RunFolder(tmp_path).curves(f"{number:05d}"))).Reload().Tags()["images"])
        for number in range(3)
    ]
    assert drawn == [True, True, True]
    assert len(list((tmp_path / "confusion").glob("*.csv"))) == 3
