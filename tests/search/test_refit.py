"""The last part of a time budget: what answers is trained further, with the validation pictures as well."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from results.records.best import best_trial
from results.records.found import Found, load_found
from results.records.presence import who_is_at
from results.records.run_folder import RunFolder, load_run
from results.records.trials import TIME_BUDGET, TrialHistory, load_trials
from search import refit as room
from search.found_model import find_model
from search.found_words import model_in_words
from search.lengths import FIRST_STEP_SECONDS, MOST_EPOCHS
from search.open_run import OpenRun
from search.refit import SIDES, as_trained_on_before, is_due, is_model_of, refit
from search.refit_time import (
    BEGINS_AFTER,
    FEWEST_EPOCHS,
    NEXT_ROW,
    SHARE,
    epochs_each,
    epochs_without_budget,
    is_worth_it,
    refits_without_budget,
    seconds_kept_back,
    seconds_kept_back_again,
)
from search.retraining.trainings import Job
from search.stop import StopRequest
from search.study import AskedStudy, SettledStudy
from spaces import get_space
from tests.conftest import ROOT, places
from tests.runs import a_line, a_run_dir, an_event
from trainables.report import TrialStatus
from trainables.second_view import MIRROR, NONE

ANYTHING: Any = None


def study(
    tmp_path: Path, *, trials_open: bool = True, concurrency: int = 1, fitting: float = 14, **flags: object
) -> SettledStudy:
    asked = AskedStudy.of(storage=tmp_path / "runs", readme=tmp_path / "README.md", **flags)
    settled = asked.settle(num_cpus=2, num_gpus=0)
    return replace(
        settled,
        trials_open=trials_open,
        concurrency=concurrency,
        cpus_per_trial=2 // concurrency,
        epochs=14,
        epochs_that_fit=fitting,
    )


def test_a_budget_for_one_network_keeps_some_of_it_back(tmp_path: Path) -> None:
    assert seconds_kept_back(study(tmp_path, time_budget="5m"), 250.0, 4 / 3) == 250 * SHARE


@pytest.mark.parametrize(
    ("flags", "rounds", "rows"),
    [
        ({"concurrency": 2}, 1, 1),
        ({}, 2, 2),
        ({"concurrency": 2}, 2, 2),
        ({"concurrency": 2}, 50, 3),  # of the five whose weights stay
        ({"concurrency": 2, "single": True}, 50, 1),
    ],
)
def test_a_budget_for_several_keeps_back_what_two_epochs_of_each_take(
    tmp_path: Path, flags: dict[str, Any], rounds: int, rows: int
) -> None:
    several = study(tmp_path, time_budget="10h", fitting=rounds * 14, **flags)
    kept = seconds_kept_back(several, 36_000.0, 4 / 3)
    an_epoch = 36_000 / (rounds * 14) * 4 / 3
    seconds = BEGINS_AFTER + (rows - 1) * NEXT_ROW + rows * 2 * an_epoch
    assert kept == pytest.approx(min(seconds, SHARE * 36_000))


@pytest.mark.parametrize(
    ("flags", "is_so"),
    [
        ({}, True),
        ({"trials": 4}, False),
        ({"epochs": 9}, False),
        ({"time_budget": "1h"}, False),
        ({"no_refit": True}, False),
        ({"keep": 0}, False),
        ({"objective": "f1,ms"}, False),
    ],
)
def test_a_search_of_which_nobody_said_how_long_it_shall_be_has_the_models_turn_too(
    tmp_path: Path, flags: dict[str, Any], is_so: bool
) -> None:
    settled = AskedStudy.of(storage=tmp_path, readme=tmp_path / "README.md", **flags).settle(num_cpus=2, num_gpus=0)
    assert refits_without_budget(settled) == is_so


@pytest.mark.parametrize("had_a_budget", [False, True])
def test_without_a_budget_each_has_two_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, had_a_budget: bool
) -> None:
    opened, found, _ = a_search(tmp_path)
    opened = replace(opened, run=replace(opened.run, trials_open=had_a_budget))
    trials = [replace(trial, reports=trial.reports[-1:] * 10) for trial in load_trials(opened.folder.path)]
    trained = Trained()
    monkeypatch.setattr(room, "run_jobs", trained)
    refit(opened, found, trials, ANYTHING, StopRequest(), Console(file=io.StringIO()))
    assert [job.task["epochs"] - job.task["start_epoch"] for job in trained.jobs] == [2, 2]
    run = replace(opened.run, refits=True, trials_asked=12, trials_open=False)
    single = replace(opened.study, concurrency=2, keep=5, single=True)
    assert epochs_without_budget(run, single) == pytest.approx(2 * 4 / 3)
    assert epochs_without_budget(run, replace(opened.study, concurrency=2, keep=5)) == pytest.approx(3 * 2 * 4 / 3)
    assert epochs_without_budget(run, replace(opened.study, refit=False)) == 0
    assert epochs_without_budget(replace(run, refits=False), opened.study) == 0


def test_it_is_due_at_the_end_until_all_that_answer_have_had_it(tmp_path: Path) -> None:
    opened, found, kept_back = a_search(tmp_path)
    opened = replace(opened, run=replace(opened.run, refits=True, trials_asked=2))
    half, whole = (replace(found, refit_epochs=dict.fromkeys(names, 2)) for names in (["00001"], ["00000", "00001"]))
    interrupted = StopRequest()
    interrupted.ask("Ctrl-C")
    assert is_due(opened, found, StopRequest(), 2) and is_due(opened, half, StopRequest(), 2)
    assert not is_due(opened, whole, StopRequest(), 2)
    assert not is_due(opened, found, StopRequest(), 1) and not is_due(opened, found, interrupted, 2)
    for other in (replace(opened, run=replace(opened.run, refits=False)), no_refit(opened)):
        assert not is_due(other, found, StopRequest(), 2)
    assert is_due(opened, whole, kept_back, 1), "for as long as there is time"


def no_refit(opened: OpenRun) -> OpenRun:
    return replace(opened, study=replace(opened.study, refit=False))


@pytest.mark.parametrize(
    ("before", "after", "is_so"),
    [
        ((1, 14), (1, 9.5), True),
        ((2, 28), (2, 24), True),
        ((2, 21), (1, 27), False),  # the second network is worth more
        ((2, 12), (2, 9), False),  # and so are these epochs
        ((2, 16), (2, 14), False),
        ((2, 18), (2, 15), True),
    ],
)
def test_it_is_kept_back_where_the_networks_are_as_many_and_long_enough(
    tmp_path: Path, before: tuple[int, float], after: tuple[int, float], is_so: bool
) -> None:
    settled = (study(tmp_path, concurrency=concurrency, fitting=fitting) for concurrency, fitting in (before, after))
    assert is_worth_it(*settled) == is_so


@pytest.mark.parametrize(
    ("flags", "seconds"),
    [
        ({"no_refit": True}, 250),
        ({"keep": 0}, 250),
        ({"objective": "f1,parameters"}, 250),
        ({"trials_open": False}, 250),
        ({"epochs": 14}, 250),
        ({"time_budget": None}, 250),
        ({"fitting": FEWEST_EPOCHS - 1}, 250),
        ({}, 15),
    ],
)
def test_nothing_is_kept_back_where_nothing_is_to_come_of_it(
    tmp_path: Path, flags: dict[str, Any], seconds: float
) -> None:
    for concurrency in (1, 2):
        asked = study(tmp_path, **{"time_budget": "5m", "concurrency": concurrency, **flags})
        assert seconds_kept_back(asked, seconds, 1.01) == 0


def test_a_search_that_goes_on_keeps_some_back_where_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = a_search(tmp_path)
    opened, picked, _ = searched
    learned, _ = train_on(searched, Trained(), monkeypatch)
    trials = load_trials(opened.folder.path)
    [seconds] = {report.seconds for trial in trials for report in trial.reports}
    goes_on = study(tmp_path, time_budget="5m", concurrency=2)

    def kept(asked: SettledStudy, left: float, earlier: Found | None) -> float:
        return seconds_kept_back_again(opened.run, asked, left, earlier, trials)

    assert kept(goes_on, 500.0, learned) == pytest.approx(BEGINS_AFTER + 2 * seconds * 4 / 3), "side by side"
    one_at_a_time = replace(goes_on, concurrency=1)
    assert kept(one_at_a_time, 500.0, learned) == pytest.approx(BEGINS_AFTER + NEXT_ROW + 2 * 2 * seconds * 4 / 3)
    assert kept(goes_on, 20.0, learned) == 20 * SHARE, "at most"
    alone = replace(learned, members=learned.members[:1])
    assert kept(goes_on, 500.0, alone) == pytest.approx(2 * seconds * 4 / 3), "half of its three epochs at most"
    assert kept(goes_on, 10.0, learned) == 0
    for earlier in (None, picked):
        assert kept(goes_on, 500.0, earlier) == 0, "it did not before"
        wants = replace(opened.run, refits=True)
        again = seconds_kept_back_again(wants, goes_on, 500.0, earlier, trials)
        assert again == pytest.approx(BEGINS_AFTER + 2 * seconds * 4 / 3), "it was killed before it came to it"
        assert seconds_kept_back_again(wants, goes_on, 500.0, picked, []) == 0
    # Killed before anything was trained, or with one that was: as much as if it began now, by what epochs take.
    epochs, left = wants.task.epochs, 500.0
    assert wants.options.get("time_budget") is None
    for trained, an_epoch in (([], left / epochs * 4 / 3), (trials[:1], seconds * 4 / 3)):
        several = seconds_kept_back_again(wants, goes_on, left, None, trained)
        assert several == pytest.approx(min(SHARE * left, BEGINS_AFTER + 2 * an_epoch))
        for one in (replace(goes_on, single=True), one_at_a_time):
            alone_again = seconds_kept_back_again(wants, one, left, None, trained)
            assert alone_again == pytest.approx(min(SHARE * left, epochs / 2 * an_epoch))
    for other in (study(tmp_path), study(tmp_path, time_budget="5m", no_refit=True)):
        assert kept(other, 500.0, learned) == 0


def test_what_is_kept_back_is_there_when_the_trials_have_ended() -> None:
    stop = StopRequest(30.0)
    stop.keep_back(40.0)
    stop.ended.add("00000")
    assert stop.reason == stop.why == TIME_BUDGET
    stop.go_on()
    assert stop.reason is None and stop.why is None and not stop.ended and not stop.kept_back
    assert stop.seconds_left == pytest.approx(30, abs=0.2)
    stop.ask("Ctrl-C")
    stop.go_on()
    assert stop.reason == "Ctrl-C"


class Trained:
    """Stands for the machinery that trains: notes the jobs, and leaves weights of those that shall end well."""

    def __init__(
        self,
        *,
        fails: Sequence[str] = (),
        never: Sequence[str] = (),
        loss: float = 1.0,
        interrupted: bool = False,
        epochs: int = 1,
    ) -> None:
        self._epochs = epochs
        self.jobs: list[Job] = []
        self.starts: dict[str, list[str]] = {}
        self.task = ANYTHING
        self.flags: dict[str, Any] = {}
        self._fails, self._never, self._loss, self._interrupted = fails, never, loss, interrupted

    def __call__(
        self,
        jobs: Sequence[Job],
        task: Any,
        study: Any,
        folder: Path,
        session: Any,
        stop: Any,
        console: Any,
        **flags: Any,
    ) -> dict[str, TrialHistory]:
        self.jobs, self.task, self.flags = list(jobs), task, flags
        done = {}
        for job in jobs:
            if job.name in self._never:
                continue
            place = Path(task.checkpoint_dir) / job.name
            self.starts[job.name] = [path.name for path in place.iterdir()]
            (place / "last.pt").write_bytes(b"more")
            failed = job.name in self._fails
            if not failed:
                (place / "best.pt").write_bytes(b"trained on")
            report = load_trials(folder.parent)[0].reports[0]
            done[job.name] = TrialHistory(
                trial_id=job.name,
                config=job.config,
                reports=(replace(report, train_loss=report.train_loss * self._loss),) * self._epochs,
                status=TrialStatus.FAILED if failed else TrialStatus.INTERRUPTED,
                reason="out of memory" if failed else "time budget",
            )
        if self._interrupted:
            stop.exit_code = 130
            stop.ask("Ctrl-C")
        return done


Search = tuple[OpenRun, Found, StopRequest]


def a_search(tmp_path: Path, *, last: float = 0.5) -> Search:
    """One whose two trials answer together, and whose budget has kept a minute back.

    Args:
        tmp_path: Where it is.
        last: Score of their last epoch, where the best before it is .5.
    """
    scores = (0.4, 0.5, last)
    lines = [a_line(trial, n, score - trial / 100) for trial in range(2) for n, score in enumerate(scores, start=1)]
    events = [an_event(trial, "interrupted", after=9) for trial in range(2)]
    folder = RunFolder(a_run_dir(tmp_path / "run", lines, events))
    folder.split_csv.write_text("path,label,group,split\n/a.png,x,p,train\n/b.png,y,q,val\n")
    for trial in range(2):
        (folder.checkpoints / f"{trial:05}").mkdir(parents=True)
        (folder.checkpoints / f"{trial:05}" / "best.pt").write_bytes(b"picked")
        (folder.checkpoints / f"{trial:05}" / "last.pt").write_bytes(b"state")
    run, best = load_run(folder.path), best_trial(folder.path)
    run.data["sides"] = {"train": {"pictures": 6000}, "val": {"pictures": 2000}, "test": {"pictures": 2000}}
    assert best is not None
    found = find_model(run, folder, best, load_trials(folder.path), single=True)
    members = [
        {**found.members[0], "trial_id": name, "share": share} for name, share in (("00001", 0.6), ("00000", 0.4))
    ]
    settled = study(tmp_path, time_budget="5m", concurrency=2)
    opened = OpenRun(run=run, folder=folder, study=settled, space=get_space("toy"), facts=ANYTHING)
    stop = StopRequest(60.0)
    stop.keep_back(60.0)
    return opened, replace(found, members=members), stop


def train_on(searched: Search, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> tuple[Found, str]:
    monkeypatch.setattr(room, "run_jobs", trained)
    opened, found, stop = searched
    said = io.StringIO()
    console = Console(file=said, width=200)
    return refit(opened, found, load_trials(opened.folder.path), ANYTHING, stop, console), said.getvalue()


def test_members_go_on_from_their_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched, trained = a_search(tmp_path), Trained()
    found, said = train_on(searched, trained, monkeypatch)
    assert "2 trials are trained further" in said
    presence = who_is_at(searched[0].folder.presence)
    assert presence is not None and presence.doing == "trained further"
    assert [job.name for job in trained.jobs] == ["00001", "00000"]  # the one that counts most first
    assert trained.starts == {"00000": ["last.pt"], "00001": ["last.pt"]}
    assert [job.task["start_epoch"] for job in trained.jobs] == [3, 3]
    assert [job.task["epochs"] for job in trained.jobs] == [5, 5]  # no more than half of what they were trained for
    assert len({job.task["seed"] for job in trained.jobs}) == 2
    assert (trained.task.train_on, trained.task.validate_on, trained.task.answers_dir) == (SIDES, (), "")
    assert trained.flags == {"keep": 2, "spread": True, "cuts": True}
    assert found.refit_epochs == {"00000": 1, "00001": 1}
    folder = searched[0].folder
    assert load_found(folder.found_json) == found
    assert [path.name for path in folder.refit.checkpoints.glob("*/*")] == ["best.pt", "best.pt"]
    said = "then trained further, with the validation pictures as well, for {} (--no-refit leaves that out)"
    assert f"Its networks were {said.format('1 epoch')}" in model_in_words(found)
    one_failed = replace(found, refit_epochs={"00000": 2})
    assert f"1 of its 2 networks was {said.format('2 epochs')}" in model_in_words(one_failed)
    alone = replace(found, members=found.members[:1], refit_epochs={"00001": 2})
    assert "It was then trained further, with" in model_in_words(alone)


def test_from_the_best_epoch_where_the_last_is_much_worse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = Trained()
    train_on(a_search(tmp_path, last=0.3), trained, monkeypatch)
    assert trained.starts == {"00000": ["start.pt"], "00001": ["start.pt"]}
    assert [job.task["start_epoch"] for job in trained.jobs] == [2, 2]


@pytest.mark.parametrize(
    ("trained", "said_of_it"),
    [
        (
            Trained(fails=["00001"]),
            "trial 00001 stays as validation picked it: trained further, it failed: ",
        ),
        (Trained(loss=20.0), "trial 00000 stays as validation picked it: trained further, it has a training"),
        (
            Trained(loss=math.nan),
            "trial 00000 stays as validation picked it: trained further, it has a training loss of",
        ),
    ],
)
def test_one_of_which_nothing_comes_answers_as_it_was_picked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Trained, said_of_it: str
) -> None:
    found, said = train_on(a_search(tmp_path), trained, monkeypatch)
    assert said_of_it in said
    assert set(found.refit_epochs) <= {"00000"}


@pytest.mark.parametrize(("loss", "answers"), [(0.09, True), (0.11, False)])
def test_a_loss_near_zero_is_not_compared_with_one_nearer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: float, answers: bool
) -> None:
    opened, found, stop = a_search(tmp_path)
    trials = [
        replace(trial, reports=[replace(report, train_loss=0.001, val_loss=0.001) for report in trial.reports])
        for trial in load_trials(opened.folder.path)
    ]
    logged = load_trials(opened.folder.path)[0].reports[0].train_loss
    monkeypatch.setattr(room, "run_jobs", Trained(loss=loss / logged))
    found = refit(opened, found, trials, ANYTHING, stop, Console(file=io.StringIO()))
    assert (set(found.refit_epochs) == {"00000", "00001"}) == answers


def test_after_an_interruption_and_without_time_nothing_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, found, stop = a_search(tmp_path)
    stop.exit_code = 130  # by a Ctrl-C when the trials' time was over
    trained = Trained()
    short = StopRequest(2.0)
    short.keep_back(2.0)
    for each in (stop, short):
        assert train_on((opened, found, each), trained, monkeypatch)[0] == found
    assert not trained.jobs


def test_an_interruption_of_it_is_one_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = a_search(tmp_path)
    found, _ = train_on(searched, Trained(interrupted=True), monkeypatch)
    assert (searched[2].exit_code, searched[2].why) == (130, "Ctrl-C")
    assert found.refit_epochs  # what was trained by then


@pytest.mark.parametrize(
    ("at_a_time", "members", "room_for", "each"),
    [
        (1, 2, 2.0, [2, 5]),  # the last ends with the time
        (1, 2, 2.9, [2, 5]),
        (1, 2, 1.0, [1, 5]),
        (1, 2, 0.9, [1, 5]),  # perhaps no time for both
        (1, 2, 9.0, [5, 5]),
        (2, 3, 2.0, [2, 2, 5]),
        (2, 5, 1.0, [1, 1, 1, 1, 5]),
        (2, 5, 0.7, [1, 1, 1, 1, 5]),
    ],
)
def test_what_queues_has_as_many_epochs_as_the_time_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_a_time: int, members: int, room_for: float, each: list[int]
) -> None:
    opened, found, _ = a_search(tmp_path)
    trained = Trained()
    [first, _] = load_trials(opened.folder.path)
    report = replace(first.reports[-1], seconds=30.0)
    names = [f"{number:05}" for number in range(members)]
    trials = [replace(first, trial_id=name, reports=(report,) * 10) for name in names]
    for name in names:
        (opened.folder.checkpoints / name).mkdir(exist_ok=True)
        (opened.folder.checkpoints / name / "best.pt").write_bytes(b"picked")
    found = replace(found, members=[{**found.members[0], "trial_id": name} for name in names])
    rows = math.ceil(members / at_a_time)
    stop = StopRequest(seconds := FIRST_STEP_SECONDS + (rows - 1) * NEXT_ROW + rows * room_for * 30 * 4 / 3 + 1)
    stop.keep_back(seconds)
    run = replace(opened.run, trials_open=True)
    opened = replace(opened, run=run, study=replace(opened.study, concurrency=at_a_time))
    said = io.StringIO()
    monkeypatch.setattr(room, "run_jobs", trained)
    refit(opened, found, trials, ANYTHING, stop, Console(file=said, width=200))
    assert [job.task["epochs"] - job.task["start_epoch"] for job in trained.jobs] == each
    assert "stays as validation picked it" not in said.getvalue()


def test_what_the_time_leaves_out_is_said_and_answers_as_it_was_picked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, said = train_on(a_search(tmp_path), Trained(never=["00000"]), monkeypatch)
    assert "trial 00000 stays as validation picked it: its turn did not come" in said


@pytest.mark.parametrize("trained", [Trained(never=["00000"]), Trained(fails=["00000"])])
def test_a_model_that_was_trained_on_before_stays_unless_all_of_it_is_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Trained
) -> None:
    opened, found, stop = a_search(tmp_path)
    before = replace(found, refit_epochs={"00000": 2, "00001": 3})
    assert train_on((opened, before, stop), Trained(), monkeypatch)[0].refit_epochs == {"00000": 1, "00001": 1}
    kept, said = train_on((opened, before, stop), trained, monkeypatch)
    assert kept is before
    assert "trial 00000 stays as it was trained further before: " in said
    assert "as validation picked it" not in said
    assert "the model stays as it was trained further before" in said
    assert not opened.folder.refit.checkpoints.exists()


def test_a_model_that_was_trained_on_before_stays_where_there_is_no_time_for_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, found, _ = a_search(tmp_path)
    quick, slow = load_trials(opened.folder.path)
    slow = replace(slow, reports=tuple(replace(report, seconds=900.0) for report in slow.reports))
    monkeypatch.setattr(room, "run_jobs", trained := Trained())
    for before, jobs in (({slow.trial_id: 2}, []), ({quick.trial_id: 2}, [quick.trial_id])):
        stop = StopRequest(60.0)
        stop.keep_back(60.0)
        had = replace(found, refit_epochs=before)
        refit(opened, had, [quick, slow], ANYTHING, stop, Console(file=io.StringIO()))
        assert [job.name for job in trained.jobs] == jobs


def test_no_epoch_is_begun_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, found, _ = a_search(tmp_path)
    trials = [
        replace(trial, reports=tuple(replace(report, seconds=50.0) for report in trial.reports))
        for trial in load_trials(opened.folder.path)
    ]
    stop = StopRequest(60.0)
    stop.keep_back(60.0)
    trained = Trained()
    monkeypatch.setattr(room, "run_jobs", trained)
    assert refit(opened, found, trials, ANYTHING, stop, Console(file=io.StringIO())) == found  # of 67 seconds
    assert not trained.jobs


def test_another_end_of_the_search_keeps_a_model_of_the_same_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = a_search(tmp_path)
    opened, picked, _ = searched
    learned, _ = train_on(searched, Trained(), monkeypatch)
    weights = [opened.folder.refit.checkpoints / name / "best.pt" for name in learned.refit_epochs]
    assert all(file.is_file() for file in weights)
    assert as_trained_on_before(picked, learned, opened.folder) == learned, "killed before its model was written"
    assert not is_model_of(learned, opened.folder)
    weights[-1].unlink()
    assert as_trained_on_before(picked, learned, opened.folder) is None, "its model is gone, and so are weights"
    opened.folder.model.mkdir()
    describe(picked, opened.folder)
    assert as_trained_on_before(picked, learned, opened.folder) is None, "the model is of before"
    describe(learned, opened.folder)
    assert as_trained_on_before(picked, load_found(opened.folder.found_json), opened.folder) == learned
    assert as_trained_on_before(replace(picked, members=picked.members[:1]), learned, opened.folder) is None
    assert as_trained_on_before(picked, picked, opened.folder) is None
    assert as_trained_on_before(picked, None, opened.folder) is None


def describe(found: Found, folder: RunFolder) -> None:
    """Has the model of a run say that it is what was found."""
    (folder.model / "model.json").write_text(json.dumps({"record": {"run": "a", **found.to_json()}}))


def test_a_model_is_what_was_found_where_its_members_its_views_and_its_rule_are(tmp_path: Path) -> None:
    opened, found, _ = a_search(tmp_path)
    selection: dict[str, Any] = {"method": "single best", "tau": 0.0, "gain": {"value": 0.1}}
    found = replace(found, selection=selection)
    assert not is_model_of(found, opened.folder)
    opened.folder.model.mkdir()
    describe(found, opened.folder)
    assert is_model_of(found, opened.folder)
    assert is_model_of(replace(found, selection={**selection, "gain": {"value": 0.2}}), opened.folder), "the same one"
    for other in (
        replace(found, members=found.members[:1]),
        replace(found, members=[{**member, "share": 0.5} for member in found.members]),
        replace(found, selection={**selection, "tau": 0.5}),
        replace(found, second_view=MIRROR if found.second_view != MIRROR else NONE),
        replace(found, refit_epochs={"00000": 1}),
    ):
        assert not is_model_of(other, opened.folder)
    (opened.folder.model / "model.json").write_text("[]")
    assert not is_model_of(found, opened.folder)


KEEPING_BACK = """
import sys
import search.start
search.start.seconds_kept_back = lambda *_: 75.0
from search.run import main
sys.exit(main(sys.argv[1:]))
"""
"""A search that keeps some seconds back although tiny networks leave time for many."""


def searched_to_its_end(command: list[str], pictures: Path, folder: Path) -> tuple[RunFolder, str]:
    """The folder of a search of tiny networks, and what it said."""
    small = ["--space", "toy", "--image-size", "32", "--batch-size", "16", "--name", "a", "--data", str(pictures)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "500", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command, *small, "--history", "none", *places(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "The model's turn: " in said and "with the validation pictures as well" in said
    run = RunFolder(folder / "runs" / "a")
    found = load_found(run.found_json)
    assert found is not None and set(found.refit_epochs) == {member["trial_id"] for member in found.members}, said
    described = json.loads((run.model / "model.json").read_text())
    assert described["record"]["refit_epochs"] == dict(found.refit_epochs)
    assert not run.refit.checkpoints.exists()
    return run, said


@pytest.mark.long
def test_a_search_in_a_time_budget_ends_with_the_models_turn(pictures: Path, tmp_path: Path) -> None:
    folder, said = searched_to_its_end(["-c", KEEPING_BACK, "--time-budget", "170s"], pictures, tmp_path)
    assert "train the model further, with the validation pictures as well" in said
    assert "(--no-refit leaves that out)" in said
    epochs = {trial.trial_id: [report.epoch for report in trial.reports] for trial in load_trials(folder.refit.path)}
    before = {trial.trial_id: len(trial.reports) for trial in load_trials(folder.path)}
    assert all(1 < each[0] <= before[trial_id] + 1 for trial_id, each in epochs.items())


@pytest.mark.long
def test_a_search_as_long_as_suits_the_pictures_ends_with_the_models_turn(pictures: Path, tmp_path: Path) -> None:
    folder, said = searched_to_its_end([str(ROOT / "search" / "run.py")], pictures, tmp_path)
    assert "At its end the model is trained further, with the validation pictures as well (--no-refit" in said
    found = load_found(folder.found_json)
    assert found is not None and set(found.refit_epochs.values()) == {MOST_EPOCHS // 2}, "of few pictures"
    resumed = [sys.executable, str(ROOT / "search" / "run.py"), "--resume", "a", *places(tmp_path)]
    done = subprocess.run(resumed, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert load_found(folder.found_json) == found, "trained on no further"


@pytest.mark.parametrize(("pictures", "epochs"), [(3000, 2), (120, 15), (400, 9), (1600, 2), (1599, 3)])
def test_epochs_of_a_small_set_are_as_many_as_make_a_hundred_steps_or_half_of_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: int, epochs: int
) -> None:
    opened, found, _ = a_search(tmp_path)
    sides = {"train": {"pictures": pictures * 3 // 4}, "val": {"pictures": pictures - pictures * 3 // 4}}
    task = replace(opened.run.task, batch_size=32, epochs=30)
    run = replace(opened.run, data={**opened.run.data, "sides": sides}, task=task, trials_open=False)
    assert epochs_each(run, 30) == epochs
    trials = [replace(trial, reports=trial.reports[-1:] * 30) for trial in load_trials(opened.folder.path)]
    monkeypatch.setattr(room, "run_jobs", trained := Trained())
    refit(replace(opened, run=run), found, trials, ANYTHING, StopRequest(), Console(file=io.StringIO()))
    assert [job.task["epochs"] - job.task["start_epoch"] for job in trained.jobs] == [epochs, epochs]
    longer = pictures / sides["train"]["pictures"]
    run = replace(run, refits=True)
    forecast = epochs_without_budget(run, replace(opened.study, keep=2))
    assert forecast == pytest.approx(epochs * longer), "as many as are trained"
    goes_on = study(tmp_path, time_budget="5m", concurrency=2)
    kept = seconds_kept_back_again(run, goes_on, 9000.0, None, trials)
    [seconds] = {report.seconds for trial in trials for report in trial.reports}
    assert kept == pytest.approx(BEGINS_AFTER + epochs * seconds * longer)
