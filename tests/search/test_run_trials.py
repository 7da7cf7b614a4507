"""Trials that are run whoever asks, and a driver that crashes on the way."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler
from rich.console import Console

from results.records.run_folder import RunFolder
from results.records.trials import load_trials
from search.engine.last_steps import LastSteps
from search.engine.scheduler import RungScheduler, trial_name
from search.engine.searcher import build_searcher
from search.machine.ray_session import ray_session
from search.run_trials import Workload, crashes_noted, run_trials
from search.stop import StopRequest
from search.study import AskedStudy
from search.tuner import trial_ids
from spaces import get_space
from tests.conftest import TOY
from trainables.checkpoints import LAST
from trainables.config import TaskConfig
from trainables.errors import UserError
from trainables.report import METRIC, MODE, TrialStatus


class Breaking:
    """Proposes one trial, and has a fault when it is told of its second epoch."""

    def suggest(self, trial_id: str) -> dict[str, Any]:
        return asdict(TOY)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        if result["training_iteration"] == 2:
            raise ZeroDivisionError("a fault of the driver")

    def on_trial_complete(self, *_: Any) -> None:
        """Nothing."""


@pytest.mark.slow
def test_a_driver_that_crashes_leaves_its_traceback_and_what_was_trained(
    task: TaskConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    task = replace(task, checkpoint_dir=str(folder.checkpoints))
    study = AskedStudy.of(concurrency=1, cache_dir=tmp_path).settle(1, 0)
    work = Workload(folder=folder, task=task, study=study, waiting=["00000"], num_trials=1, keep=1)
    stop = StopRequest()
    with ray_session() as session:
        run_trials(work, Breaking(), None, session, stop, Console(file=io.StringIO()))
    assert stop.crash is not None and "a fault of the driver" in str(stop.crash)
    crash = folder.events()[-1].values
    assert crash["event"] == "crashed"
    assert "on_trial_result" in crash["traceback"]
    assert "a fault of the driver" in capfd.readouterr().err
    [trial] = load_trials(folder.path)
    assert not trial.status.is_over  # a resume goes on with it
    assert trial.reports[0].epoch == 1


class AfterOneEpoch(RungScheduler):
    """Stops every trial after its first epoch, unless it is spared."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        decision = super().on_trial_result(tune_controller, trial, result)
        return decision if trial_name(trial) in self._spared else TrialScheduler.STOP


@pytest.mark.slow
def test_in_a_time_budget_stopped_trials_go_on_where_they_were(task: TaskConfig, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    task = replace(task, checkpoint_dir=str(folder.checkpoints))
    study = AskedStudy.of(concurrency=1, cache_dir=tmp_path).settle(1, 0)
    names = trial_ids([], 2)
    work = Workload(folder=folder, task=task, study=study, waiting=names, num_trials=2, keep=2)
    searcher = build_searcher(get_space("toy").suggest, metric=METRIC, mode=MODE, max_epochs=task.epochs, seed=0)
    scheduler = AfterOneEpoch(metric=METRIC, mode=MODE, max_epochs=task.epochs, grace_period=1, reduction_factor=3)
    checkpoints = folder.checkpoints
    last_steps = LastSteps(searcher, scheduler, task.epochs, lambda name: (checkpoints / name / LAST).is_file())
    stop = StopRequest(500)
    with ray_session() as session:
        console = Console(file=io.StringIO())
        run_trials(work, searcher, scheduler, session, stop, console, last_steps=last_steps)
    assert stop.reason is None
    trials = load_trials(folder.path)
    assert [trial.status for trial in trials] == [TrialStatus.FINISHED] * 2
    assert [[report.epoch for report in trial.reports] for trial in trials] == [list(range(1, task.epochs + 1))] * 2
    happened = [event.values["event"] for event in folder.events() if event.trial_id == "00000"]
    assert happened == ["started", "stopped", "started", "finished"]  # and no epoch was repeated
    assert [path.name for path in checkpoints.glob("*/*")] == ["best.pt"] * 2


def test_a_crash_between_the_steps_is_noted_and_a_mistake_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(ZeroDivisionError), crashes_noted(folder, "python search/run.py --resume a"):
        raise ZeroDivisionError
    assert "--resume a" in capsys.readouterr().err
    with pytest.raises(UserError), crashes_noted(folder, "again"):
        raise UserError("a user's mistake")
    assert [event.values["event"] for event in folder.events()] == ["crashed"]
    assert load_trials(tmp_path) == []
