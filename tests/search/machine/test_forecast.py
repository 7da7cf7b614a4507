"""How long a search will take: arithmetic on invented numbers, and where the numbers come from."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.machine import forecast as module
from search.machine.forecast import (
    END_SECONDS,
    START_SECONDS,
    TRIAL_SHARE,
    Forecast,
    expected_epochs,
    forecast,
    forecast_run,
    images_per_second,
    refuse_long_epochs,
    study_epochs,
)
from search.machine.memory_needs import facts_of
from search.stop import StopRequest
from search.study import AskedStudy, SettledStudy
from tests.results.records.test_record import a_run
from trainables.config import TaskConfig
from trainables.errors import UserError
from trainables.networks.known_costs import (
    EVALUATION_SPEED,
    StepSetting,
    TrialFacts,
    TrialSetting,
    model_facts,
    recall_trial,
    remember_trial,
)

BESIDE = START_SECONDS + END_SECONDS


def test_asha_leaves_less_of_a_trial_the_more_there_are() -> None:
    whole = [expected_epochs(trials, 27, 1, 3.0) for trials in (1, 3, 30, 1000)]
    assert whole == sorted(whole, reverse=True)
    # of very many, a third goes on at each of the rungs 1, 3 and 9, and those that began early beside
    assert 0.95 < whole[-1] / (1 + 2 / 3 + 6 / 9 + 18 / 27) < 1.3


def test_a_trial_that_cannot_be_stopped_trains_all_its_epochs() -> None:
    assert expected_epochs(10, 2, 2, 3.0) == 2
    assert expected_epochs(1, 27, 1, 3.0) == 27


def test_what_is_spared_is_trained_to_its_end(task: TaskConfig, tmp_path: Path) -> None:
    epochs = [expected_epochs(12, 30, 10, 3.0, spared) for spared in (1, 4, 12)]
    assert epochs == sorted(epochs) and epochs[-1] == 30
    _, study = run_and_study(task, tmp_path)
    study = replace(study, epochs=30, grace_period=10, reduction_factor=3.0)
    assert study_epochs(replace(study, concurrency=9), 12) == epochs[1]
    assert study_epochs(replace(study, concurrency=1), 12) == epochs[0]


def test_workers_share_the_trials_and_a_single_trial_is_not_shared() -> None:
    def seconds(**changes: Any) -> float:
        settings: dict[str, Any] = {"num_trials": 8, "mean_epochs": 3.0, "concurrency": 2, "spread": 1.0}
        return forecast([10.0], **{**settings, **changes}).seconds - BESIDE

    assert seconds() == 120
    assert seconds(concurrency=4) == 60
    assert seconds(num_trials=1) == 30


def test_the_range_holds_what_is_not_known_and_which_backbones_will_be_preferred() -> None:
    found = forecast([10.0, 30.0], num_trials=4, mean_epochs=1.0, concurrency=1, spread=2.0)
    assert (found.low, found.seconds, found.high) == ((BESIDE + 40) / 2, BESIDE + 80, (BESIDE + 120) * 2)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ((45, 30, 80), "about 45 s (30 to 80)"),
        ((720, 480, 1200), "about 12 min (8 to 20)"),
        ((9000, 5400, 18000), "about 2.5 h (1.5 to 5.0)"),
    ],
)
def test_a_forecast_is_told_in_the_unit_that_suits_it(seconds: tuple[float, ...], words: str) -> None:
    assert str(Forecast(*seconds)) == words


def run_and_study(task: TaskConfig, cache_dir: Path) -> tuple[Any, SettledStudy]:
    sides = {side: {"pictures": 60} for side in ("train", "val", "test")}
    weights = {"test_resnet": "random", "test_efficientnet": "random"}
    run = a_run(task=task, data={"sides": sides}, weights=weights, points=[{"backbone": "test_resnet"}])
    size = {"epochs": task.epochs, "image_size": task.image_size, "batch_size": task.batch_size}
    return run, AskedStudy.of(cache_dir=cache_dir, concurrency=2, **size).settle(2, 0)


def facts(run: Any, study: SettledStudy) -> Any:
    return facts_of(run.weights, study).known


def test_speeds_come_from_earlier_trials(task: TaskConfig, tmp_path: Path) -> None:
    run, study = run_and_study(task, tmp_path)
    for backbone, speed in (("test_resnet", 100.0), ("test_efficientnet", 50.0)):
        setting = TrialSetting(backbone, task.image_size, task.batch_size, "cpu", task.num_threads)
        remember_trial(setting, tmp_path, TrialFacts(speed))
    assert images_per_second(run, study, facts(run, study)) == ({"test_resnet": 100.0, "test_efficientnet": 50.0}, True)
    found = forecast_run(run, study, facts(run, study), 8)
    assert found is not None
    rounds = 8 / 2 * expected_epochs(8, task.epochs, 1, 3.0, spared=2)
    assert found.seconds == pytest.approx(BESIDE + rounds * (60 + 60 / EVALUATION_SPEED) * (1 / 100 + 1 / 50) / 2)


def test_else_the_default_is_timed_and_the_others_follow_by_their_activations(
    task: TaskConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.networks.network_costs.MEASURED_SECONDS", 0.05)
    run, study = run_and_study(task, tmp_path)
    speeds, remembered = images_per_second(run, study, facts(run, study))
    assert not remembered
    timed = module.known_throughput(StepSetting("test_resnet", task.image_size, task.batch_size, "cpu", 1), tmp_path)
    assert timed is not None
    assert speeds["test_resnet"] == pytest.approx(TRIAL_SHARE * timed)
    work = [model_facts(backbone, task.image_size, tmp_path).activations for backbone in speeds]
    assert speeds["test_efficientnet"] * work[1] == pytest.approx(speeds["test_resnet"] * work[0])


def test_trials_that_share_a_gpu_are_timed_apart_and_share_its_speed(
    task: TaskConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time_apart", lambda setting, cache_dir, parts: 100.0)
    run, study = run_and_study(replace(task, device="cuda"), tmp_path)
    known = facts(run, study)
    speeds = []
    for share in (1.0, 0.5):
        sharing = replace(study, gpus_per_trial=share)
        speeds.append(images_per_second(run, sharing, known)[0]["test_resnet"])
    assert speeds == pytest.approx([TRIAL_SHARE * 100, TRIAL_SHARE * 50])
    setting = TrialSetting("test_resnet", task.image_size, task.batch_size, "cuda", task.num_threads, sharers=2)
    remember_trial(setting, tmp_path, TrialFacts(70.0))
    speeds = [
        images_per_second(run, replace(study, gpus_per_trial=share), known)[0]["test_resnet"] for share in (1.0, 0.5)
    ]
    assert speeds == pytest.approx([TRIAL_SHARE * 100, 70])


def test_nothing_is_forecast_of_what_cannot_be_known(task: TaskConfig, tmp_path: Path) -> None:
    run, study = run_and_study(task, tmp_path)
    assert forecast_run(run, study, facts(run, study), 0) is None
    assert forecast_run(replace(run, data={}), study, facts(run, study), 8) is None
    assert forecast_run(run, replace(study, address="10.0.0.7:6379"), facts(run, study), 8) is None


def test_on_a_cluster_it_knows_the_kinds_of_nodes_that_trials_have_run_on(task: TaskConfig, tmp_path: Path) -> None:
    run, study = run_and_study(task, tmp_path)
    kinds = {"8 cores of X, no GPU": 3, "4 cores of Y, no GPU": 1}
    study = replace(study, address="10.0.0.7:6379", kinds=kinds, concurrency=4)
    assert forecast_run(run, study, facts(run, study), 8) is None
    for hardware, speed in zip(kinds, (1000.0, 200.0), strict=True):
        for backbone in run.weights:
            remember_trial(TrialSetting.of(backbone, run.task, hardware), tmp_path, TrialFacts(speed))
    speeds, remembered = module.images_per_second(run, study, facts(run, study))
    assert remembered
    assert set(speeds.values()) == {800.0}  # three trials at a time on the one kind, one on the other
    assert forecast_run(run, study, facts(run, study), 8) is not None
    assert recall_trial(TrialSetting.of(next(iter(run.weights)), run.task), tmp_path) is None


@pytest.mark.slow
def test_a_timing_in_a_process_of_its_own_is_the_same_measurement(tmp_path: Path) -> None:
    setting = StepSetting("test_resnet", 32, 8, "cpu", 1, frozen_stages=1)
    found = module.time_apart(setting, tmp_path, {})
    assert found == module.known_throughput(setting, tmp_path)
    assert module.known_throughput(replace(setting, frozen_stages=0), tmp_path) is None
    with pytest.raises(module.FactsError, match="could not be timed"):
        module.time_apart(replace(setting, backbone="no_such_network"), tmp_path, {})


def test_a_budget_that_not_even_the_shortest_epoch_fits_into_is_refused(task: TaskConfig, tmp_path: Path) -> None:
    run, study = run_and_study(task, tmp_path)
    known = facts(run, study)
    for backbone, speed in (("test_resnet", 1.0), ("test_efficientnet", 0.8)):  # 77 and 96 s an epoch
        setting = TrialSetting(backbone, task.image_size, task.batch_size, "cpu", task.num_threads)
        remember_trial(setting, tmp_path, TrialFacts(speed))
    refuse_long_epochs(run, study, known, StopRequest())
    refuse_long_epochs(run, study, known, StopRequest(60))  # may be, as forecasts go
    with pytest.raises(UserError, match=r"one epoch of test_resnet, the fastest here, takes about 0:01:17"):
        refuse_long_epochs(run, study, known, StopRequest(40))
    open_ended = replace(study, trials_open=True, epochs_open=True, time_budget_seconds=40.0)
    assert open_ended.goes_on, "so that the epoch that the budget ends in is cut short and scored"
    refuse_long_epochs(run, open_ended, known, StopRequest(40))
    with pytest.raises(UserError, match=r"one epoch of test_resnet"):
        refuse_long_epochs(run, open_ended, known, StopRequest(20))
    with pytest.raises(UserError, match="was over before"):
        refuse_long_epochs(run, study, known, StopRequest(10, time.monotonic() - 11))
    one_alone = replace(study, cores_open=True)  # and has both cores then: 1.4 times as fast as one of two
    refuse_long_epochs(run, one_alone, known, StopRequest(40))
    with pytest.raises(UserError, match=r"one epoch of test_resnet, the fastest here, takes about 0:00:5[45]"):
        refuse_long_epochs(run, one_alone, known, StopRequest(20))
