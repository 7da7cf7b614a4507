"""Trials that are run whoever asks, and a driver that crashes on the way."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from results.records.run_folder import RunFolder
from results.records.trials import load_trials
from search.machine.ray_session import ray_session
from search.run_trials import Workload, crashes_noted, run_trials
from search.stop import StopRequest
from search.study import AskedStudy
from tests.conftest import TOY
from trainables.config import TaskConfig
from trainables.errors import UserError


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


def test_the_way_on_is_said_where_not_even_the_crash_can_be_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OSError, match="no space"), crashes_noted(RunFolder(tmp_path / "gone"), "again"):
        raise OSError("no space")
    assert capsys.readouterr().err == "error: What was trained is kept; go on with: again\n"
