"""A search that shows nothing says what it waits for; what cannot end is ended."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial
from rich.console import Console

from results.records.run_folder import RunFolder
from results.records.trials import load_trials
from search.callbacks import watchdog as module
from search.callbacks.watchdog import DriverWatch, Patience, StuckError, Watchdog
from search.machine.ray_session import ray_session
from search.run_trials import Workload, run_trials
from search.stop import StopRequest
from search.study import AskedStudy
from search.tuner import trial_ids
from tests.records import a_report, a_task
from tests.search.callbacks.test_lost_trials import Proposer
from trainables.report import TrialStatus


class Machine:
    """A clock, and processes that compute as the test says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cpu: float | None = 0.0
        self.ended: list[str] = []

    def cpu_seconds(self, trial: Any) -> float | None:
        return self.cpu

    def end(self, trial: Any) -> bool:
        self.ended.append(trial.trial_id)
        return True


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(module, "SECOND", 1e9)  # all time counts
    monkeypatch.setattr(module, "DriverWatch", lambda *_: SimpleNamespace(step=lambda: None, close=lambda: None))
    monkeypatch.setattr(module.time, "monotonic", lambda: machine.now)
    return machine


def a_trial(status: str = Trial.RUNNING) -> Any:
    return SimpleNamespace(trial_id="ray0", status=status, config={"trial_id": "00000", "backbone": "resnet18"})


def test_a_trial_that_computes_is_spoken_of_ever_more_seldom_and_not_ended(machine: Machine) -> None:
    said: list[str] = []
    dog, trial = Watchdog(said.append, StopRequest(), machine), a_trial()
    dog.on_trial_start(0, [], trial)
    for _ in range(240):  # two hours
        machine.now += 30
        machine.cpu = machine.now / 2
        dog.on_step_end(0, [trial])
    assert machine.ended == []
    assert len(said) == 5  # after 5, 10, 20, 40, 80 minutes
    assert said[0].startswith("trial 00000 (resnet18) has reported nothing for 5 min, though its process computes")


def test_long_epochs_are_nothing_to_speak_of(machine: Machine) -> None:
    said: list[str] = []
    dog, trial = Watchdog(said.append, StopRequest(), machine), a_trial()
    dog.on_trial_start(0, [], trial)
    dog.on_trial_result(0, [], trial, {"seconds": 1000.0})
    machine.now = 2900
    dog.on_step_end(0, [trial])
    assert said == []
    machine.now = 3100
    dog.on_step_end(0, [trial])
    assert len(said) == 1


def test_a_process_that_computes_nothing_is_ended_and_its_trial_waited_for_again(machine: Machine) -> None:
    said: list[str] = []
    dog, trial = Watchdog(said.append, StopRequest(), machine), a_trial()
    dog.on_trial_start(0, [], trial)
    while not machine.ended and machine.now < 7200:
        machine.now += 10
        assert machine.cpu is not None
        machine.cpu += 0.05  # Ray's own threads in it
        dog.on_step_end(0, [trial])
    assert machine.ended == ["ray0"]
    assert machine.now <= 1.5 * Patience().idle_seconds + 20
    assert "goes on from its last checkpoint" in said[-1]
    machine.now += 60
    dog.on_step_end(0, [trial])
    assert machine.ended == ["ray0"]


def test_what_cannot_be_told_is_not_ended(machine: Machine) -> None:
    said: list[str] = []
    machine.cpu = None
    dog, trial = Watchdog(said.append, StopRequest(), machine), a_trial()
    dog.on_trial_start(0, [], trial)
    machine.now = 7200
    dog.on_step_end(0, [trial])
    assert machine.ended == [] and len(said) == 1


def test_a_search_in_which_nothing_runs_ends_on_one_machine_and_waits_for_a_cluster(machine: Machine) -> None:
    for workers in (machine, None):
        said: list[str] = []
        stop = StopRequest()
        machine.now = 0.0
        dog, trial = Watchdog(said.append, stop, workers), a_trial(Trial.PENDING)
        dog.on_step_end(0, [trial])
        machine.now = 400
        dog.on_step_end(0, [trial])
        assert "no trial has run for 7 min: trial 00000 waits for Ray" in said[0]
        machine.now = 4000
        if workers is None:
            dog.on_step_end(0, [trial])
            assert stop.reason is None and len(said) == 2
            continue
        with pytest.raises(StuckError):
            dog.on_step_end(0, [trial])
        assert stop.reason == "Ray has given trial 00000 no process in 67 min"


def test_time_in_which_the_machine_slept_does_not_count(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECOND", 1.0)
    said: list[str] = []
    dog, trial = Watchdog(said.append, StopRequest(), machine), a_trial()
    dog.on_trial_start(0, [], trial)
    machine.now = 36_000
    dog.on_step_end(0, [trial])
    assert said == []


def test_a_driver_that_does_not_get_on_says_where_it_is() -> None:
    said: list[str] = []
    watch = DriverWatch(said.append, 0.2)
    watch.step()
    deadline = time.monotonic() + 20
    while not said and time.monotonic() < deadline:
        time.sleep(0.05)  # as if the disk did not answer
    watch.close()
    assert "the search itself has not got on for" in said[0]
    assert "tests/search/callbacks/test_watchdog.py, line" in said[0]


def hangs_once(params: Mapping[str, Any], task: Any, gpu_share: float, ends_at: float) -> None:
    """Two epochs; the first process of the trial stops in the middle, as one does whose disk no longer answers."""
    from ray import tune

    first = Path(task.checkpoint_dir)
    began = first.exists()
    first.mkdir(exist_ok=True)
    for epoch in (1, 2):
        tune.report({**asdict(a_report(epoch)), "training_iteration": epoch})
        if not began:
            os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.slow
@pytest.mark.long
def test_a_trial_whose_process_hangs_goes_on_in_another(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    task = replace(a_task(epochs=2), checkpoint_dir=str(folder.checkpoints))
    study = AskedStudy.of(concurrency=1, cache_dir=tmp_path).settle(1, 0)
    work = Workload(folder=folder, task=task, study=study, waiting=trial_ids([], 1), num_trials=1, keep=0)
    stop, words = StopRequest(240), io.StringIO()
    patience = Patience(say_seconds=1.0, idle_seconds=3.0)
    with ray_session() as session:
        run_trials(work, Proposer(), None, session, stop, Console(file=words), trainable=hangs_once, patience=patience)
    assert "goes on from its last checkpoint in another" in words.getvalue().replace("\n", " ")
    assert stop.reason is None
    [trial] = load_trials(folder.path)
    assert trial.status == TrialStatus.FINISHED and len(trial.reports) == 2


@pytest.mark.slow
def test_a_search_that_gets_no_process_ends(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    task = replace(a_task(epochs=1), checkpoint_dir=str(folder.checkpoints))
    study = AskedStudy.of(concurrency=1, cache_dir=tmp_path).settle(64, 0)  # as if there were so many cores
    work = Workload(folder=folder, task=task, study=study, waiting=trial_ids([], 1), num_trials=1, keep=0)
    stop = StopRequest(240)
    with ray_session() as session:
        run_trials(
            work,
            Proposer(),
            None,
            session,
            stop,
            Console(file=io.StringIO()),
            trainable=hangs_once,
            patience=Patience(say_seconds=1.0, stuck_seconds=3.0),
        )
    assert stop.crash is None
    assert stop.reason is not None and "no process" in stop.reason
