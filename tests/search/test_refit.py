"""The last part of a time budget: what answers is trained on with the validation pictures, too."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from results.records.best import best_trial
from results.records.found import Found, load_found
from results.records.run_folder import RunFolder, load_run
from results.records.trials import TrialHistory, load_trials
from search import refit as room
from search.found_model import find_model, model_in_words
from search.lengths import LEAST_EPOCHS
from search.open_run import OpenRun
from search.refit import MOST_SHARE, SIDES, refit, seconds_kept_back
from search.retraining.trainings import Job
from search.stop import StopRequest
from search.study import AskedStudy, SettledStudy
from spaces import get_space
from tests.conftest import run_command
from tests.runs import a_line, a_run_dir, an_event
from trainables.report import TrialStatus

ANYTHING: Any = None


def study(tmp_path: Path, *, epochs: int = 20, trials_open: bool = True, **flags: object) -> SettledStudy:
    asked = AskedStudy.of(storage=tmp_path / "runs", readme=tmp_path / "README.md", **flags)
    settled = asked.settle(num_cpus=2, num_gpus=0)
    return replace(settled, epochs=epochs, trials_open=trials_open)


def test_a_short_budget_keeps_back_most_of_it_and_a_long_one_some_epochs(tmp_path: Path) -> None:
    kept = [seconds_kept_back(study(tmp_path, epochs=epochs, time_budget="5m"), 100.0) for epochs in (9, 20, 42, 92)]
    assert kept == [MOST_SHARE * 100, pytest.approx(28.6, abs=0.1), 16.0, 8.0]


def test_seconds_that_nothing_comes_of_are_not_kept_back(tmp_path: Path) -> None:
    assert seconds_kept_back(study(tmp_path, epochs=9, time_budget="5m"), 15.0) == 0


@pytest.mark.parametrize(
    ("flags", "fitting"),
    [
        ({"time_budget": "5m", "no_refit": True}, math.inf),
        ({"time_budget": "5m", "keep": 0}, math.inf),
        ({"time_budget": "5m", "trials_open": False}, math.inf),
        ({}, math.inf),
        ({"time_budget": "5m"}, LEAST_EPOCHS - 1),
    ],
)
def test_nothing_is_kept_back_where_nothing_is_to_come_of_it(
    tmp_path: Path, flags: dict[str, Any], fitting: float
) -> None:
    assert seconds_kept_back(study(tmp_path, **flags), 100.0, fitting) == 0


def test_what_is_kept_back_is_there_when_the_trials_have_ended() -> None:
    stop = StopRequest(100.0)
    stop.keep_back(30.0)
    assert 69 < stop.seconds_left <= 70
    assert stop.rest().seconds_left == pytest.approx(30, abs=0.1)  # not more, however early they end
    late = StopRequest(0.0)
    late.keep_back(10.0)
    assert late.rest().seconds_left == pytest.approx(0, abs=0.1)  # they have taken it
    assert StopRequest().rest().seconds_left == 0


class Trained:
    """Stands for the machinery that trains: notes the jobs, and leaves weights of those that shall end well."""

    def __init__(self, *, fails: Sequence[str] = (), interrupted: bool = False) -> None:
        self.jobs: list[Job] = []
        self.starts: dict[str, bytes] = {}
        self.task = ANYTHING
        self._fails, self._interrupted = fails, interrupted

    def __call__(
        self,
        jobs: Sequence[Job],
        task: Any,
        study: Any,
        folder: Path,
        session: Any,
        stop: StopRequest,
        *_: Any,
        **__: Any,
    ) -> dict[str, TrialHistory]:
        self.jobs, self.task = list(jobs), task
        done = {}
        for job in jobs:
            place = Path(task.checkpoint_dir) / job.name
            self.starts[job.name] = (place / "start.pt").read_bytes()
            failed = job.name in self._fails
            if not failed:
                (place / "best.pt").write_bytes(b"trained on")
            reports = load_trials(folder.parent)[0].reports[:1]
            status = TrialStatus.FAILED if failed else TrialStatus.INTERRUPTED
            done[job.name] = TrialHistory(
                trial_id=job.name, config=job.config, reports=reports, status=status, reason="ran out of memory"
            )
        if self._interrupted:
            stop.exit_code = 130
            stop.ask("Ctrl-C")
        return done


def a_search(tmp_path: Path) -> tuple[OpenRun, Found, StopRequest]:
    """One whose two trials answer together, and whose budget has kept some seconds back."""
    lines = [a_line(trial, epoch, 0.5 + trial / 100 + epoch / 1000) for trial in range(2) for epoch in (1, 2, 3)]
    events = [an_event(trial, "finished", after=9) for trial in range(2)]
    folder = RunFolder(a_run_dir(tmp_path / "run", lines, events))
    folder.split_csv.write_text("path,label,group,split\n/a.png,x,p,train\n/b.png,y,q,val\n")
    for trial in range(2):
        (folder.checkpoints / f"{trial:05}").mkdir(parents=True)
        (folder.checkpoints / f"{trial:05}" / "best.pt").write_bytes(b"picked")
    run, best = load_run(folder.path), best_trial(folder.path)
    run.data["sides"] = {"train": {"pictures": 3}, "val": {"pictures": 1}, "test": {"pictures": 1}}
    assert best is not None
    found = find_model(run, folder, best, load_trials(folder.path), single=True)
    members = [{**found.members[0], "trial_id": name, "share": 0.5} for name in ("00000", "00001")]
    settled = study(tmp_path, time_budget="5m")
    opened = OpenRun(run=run, folder=folder, study=settled, space=get_space("toy"), facts=ANYTHING)
    stop = StopRequest(60.0)
    stop.keep_back(60.0)
    return opened, replace(found, members=members), stop


def train_on(
    searched: tuple[OpenRun, Found, StopRequest], trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> tuple[Found, str]:
    monkeypatch.setattr(room, "run_jobs", trained)
    opened, found, stop = searched
    said = io.StringIO()
    console = Console(file=said, width=200)
    return refit(opened, found, load_trials(opened.folder.path), ANYTHING, stop, console), said.getvalue()


def test_members_go_on_from_the_epoch_that_was_picked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched, trained = a_search(tmp_path), Trained()
    found, said = train_on(searched, trained, monkeypatch)
    assert "2 trials are trained on" in said
    assert trained.starts == {"00000": b"picked", "00001": b"picked"}
    assert [job.task["start_epoch"] for job in trained.jobs] == [3, 3]
    assert [job.task["epochs"] for job in trained.jobs] == [6, 6]  # no more than they were trained for
    assert len({job.task["seed"] for job in trained.jobs}) == 2
    assert (trained.task.train_on, trained.task.validate_on, trained.task.answers_dir) == (SIDES, (), "")
    assert found.refit_epochs == {"00000": 1, "00001": 1}
    assert load_found(searched[0].folder.found_json) == found
    assert "trained on with the validation pictures, too, for 1 epoch (--no-refit leaves that out)" in model_in_words(
        found
    )


def test_one_that_fails_answers_as_it_was_picked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, said = train_on(a_search(tmp_path), Trained(fails=["00001"]), monkeypatch)
    assert found.refit_epochs == {"00000": 1}
    assert "trial 00001 answers as validation picked it: ran out of memory" in said


def test_an_interruption_ends_the_command_as_one_of_the_search_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = a_search(tmp_path)
    found, _ = train_on(searched, Trained(interrupted=True), monkeypatch)
    assert searched[2].exit_code == 130
    assert found.refit_epochs  # what was trained by then


def test_after_ctrl_c_and_without_time_nothing_is_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, found, stop = a_search(tmp_path)
    stop.exit_code = 130
    trained = Trained()
    assert train_on((opened, found, stop), trained, monkeypatch)[0] == found
    assert train_on((opened, found, StopRequest()), trained, monkeypatch)[0] == found
    assert not trained.jobs


def test_what_queues_has_as_many_epochs_as_the_time_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, found, stop = a_search(tmp_path)
    trained = Trained()
    trials = load_trials(opened.folder.path)
    [seconds] = {report.seconds for trial in trials for report in trial.reports}
    stop.kept_back = 2 * 2 * seconds * 4 / 3 + 0.5  # two epochs of each, one third longer
    opened = replace(opened, study=replace(opened.study, concurrency=1, cpus_per_trial=2))
    train_on((opened, found, stop), trained, monkeypatch)
    assert [job.task["epochs"] - job.task["start_epoch"] for job in trained.jobs] == [2, 2]


@pytest.mark.long
def test_a_search_in_a_time_budget_ends_with_the_models_turn(pictures: Path, tmp_path: Path) -> None:
    small = ("--space", "toy", "--time-budget", "75s", "--image-size", "32", "--batch-size", "16", "--name", "a")
    said = run_command("search/run.py", *small, "--data", str(pictures), "--history", "none", folder=tmp_path)
    assert "train the model on with validation pictures, too" in said
    assert "(--no-refit leaves that out)" in said
    folder = RunFolder(tmp_path / "runs" / "a")
    found = load_found(folder.found_json)
    assert found is not None and set(found.refit_epochs) == {member["trial_id"] for member in found.members}
    described = json.loads((folder.model / "model.json").read_text())
    assert described["record"]["refit_epochs"] == dict(found.refit_epochs)
    epochs = {trial.trial_id: [report.epoch for report in trial.reports] for trial in load_trials(folder.refit.path)}
    begun = {trial.trial_id: trial.best.epoch for trial in load_trials(folder.path) if trial.best is not None}
    assert all(each[0] == begun[trial_id] + 1 for trial_id, each in epochs.items())
    assert not folder.refit.checkpoints.exists()
