"""What answers learns from the validation pictures, too, once they have chosen it: the last part of a time budget.

Their people are as new to a network as any, and some more of them are worth more than some epochs of the same ones
(docs/score.md). No score is left for the model then: what is shown is that of the networks as validation picked them.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from rich.console import Console

from results.records.found import Found
from results.records.record import SearchRun
from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory, score_of
from search.engine.seeds import seed_of
from search.hold import now_doing
from search.lengths import FIRST_STEP_SECONDS, LEAST_EPOCHS, LEAST_TOGETHER
from search.machine.ray_session import RaySession
from search.open_run import OpenRun
from search.retraining.trainings import Job, run_jobs
from search.stop import StopRequest
from search.study import SettledStudy
from search.terminal import say, warn
from trainables.checkpoints import BEST, LAST, START
from trainables.report import TrialStatus

SIDES = ("train", "val")
"""What a model is trained on at last; the test people stay unseen."""
SHARE = 0.3
"""Of a time budget that has room for one network alone, and of any at most: four or five epochs in the five minutes in
which a network has a dozen before."""
EPOCHS_EACH = 2
"""Of each network where there is room for more than one: most of what is gained, further networks gain the rest."""
LONGEST = 1 / 2
"""Of the epochs that a network was trained for before: with more, none says that it has gone on for too long."""
LEAST_SECONDS = 5.0
"""With less nothing would come of it."""
LATEST_EPOCHS = 5
"""Before it, by which it is told what losses are usual."""
STILL_GOOD = 0.95
"""Share of a trial's best score that its last epoch must have to be gone on from, which is as good on people never seen
and has learned for longer; else it is the best."""


def seconds_kept_back(study: SettledStudy, seconds_left: float, longer: float) -> float:
    """Seconds of a time budget that the trials leave for it; 0 where nothing is to come of it.

    Args:
        study: Settled, with trials for all of the time.
        seconds_left: Of the time budget.
        longer: An epoch with them, over one without.
    """
    is_wanted = study.refit and study.keep and study.cost.second is None  # of a front no one trial is the model yet
    if not (is_wanted and study.fills_its_budget and study.goes_on) or study.epochs_that_fit < LEAST_EPOCHS:
        return 0.0
    if study.networks_that_fit == 1:
        return _at_most_a_share(seconds_left, seconds_left)
    members = 1 if study.single else min(study.keep, study.networks_that_fit)
    an_epoch = longer * seconds_left / study.epochs_that_fit
    return _at_most_a_share(_seconds_of_several(members, an_epoch, study), seconds_left)


def is_worth_it(before: SettledStudy, after: SettledStudy) -> bool:
    """Whether what is left for trials when it was kept back is still as good for them as all of the time.

    A second network is worth more (.025), and so are epochs of networks that have few.

    Args:
        before: Settled, with trials for all of the time.
        after: The same for the time that is left.
    """
    if before.networks_that_fit == 1:
        return True
    enough = after.epochs_that_fit >= min(LEAST_TOGETHER, before.epochs_that_fit)
    return enough and after.networks_that_fit > 1


def seconds_kept_back_again(
    run: SearchRun, study: SettledStudy, seconds_left: float, earlier: Found | None, trials: Sequence[TrialHistory]
) -> float:
    """The same for a search that goes on: as before, so that what answers then has learned from them, too.

    Args:
        run: The search.
        study: Settled.
        seconds_left: Of its time budget.
        earlier: What its last end found.
        trials: Those of then.
    """
    if not (study.refit and study.keep and study.fills_its_budget) or earlier is None or not earlier.refit_epochs:
        return 0.0
    names = {member["trial_id"] for member in earlier.members}
    members = [trial for trial in trials if trial.trial_id in names and trial.reports]
    an_epoch = max((_seconds_of_epoch(trial, run) for trial in members), default=0.0)
    if len(members) == 1:
        return _at_most_a_share(_most_epochs(members[0]) * an_epoch, seconds_left)
    return _at_most_a_share(_seconds_of_several(len(members), an_epoch, study), seconds_left)


def longer_with_validation(run: SearchRun) -> float:
    """How many times as many pictures an epoch has with those of validation."""
    sides: Mapping[str, Mapping[str, int]] = run.data["sides"]
    return 1 + sides["val"]["pictures"] / sides["train"]["pictures"]


def _seconds_of_epoch(trial: TrialHistory, run: SearchRun) -> float:
    """What one takes with the validation pictures, by those that the trial had without."""
    return longer_with_validation(run) * median(report.seconds - report.compile_seconds for report in trial.reports)


def _seconds_of_several(members: int, an_epoch: float, study: SettledStudy) -> float:
    """What it takes to train them all on, as many at a time as trials."""
    return math.ceil(members / study.concurrency) * (EPOCHS_EACH * an_epoch + FIRST_STEP_SECONDS)


def _at_most_a_share(seconds: float, seconds_left: float) -> float:
    seconds = min(seconds, SHARE * seconds_left)
    return seconds if seconds >= LEAST_SECONDS else 0.0


def _most_epochs(trial: TrialHistory) -> int:
    return max(1, round(LONGEST * len(trial.reports)))


def refit(
    opened: OpenRun,
    found: Found,
    trials: Sequence[TrialHistory],
    session: RaySession,
    stop: StopRequest,
    console: Console,
) -> Found:
    """Trains the members of a model on with the validation pictures, for the time that was kept back.

    Their weights are then in `refit` of the run's folder. One of which nothing comes stays as it was.

    Args:
        opened: The search.
        found: What validation picked.
        trials: Those of the search.
        session: The machine.
        stop: Of the search, with time that was kept back.
        console: For the progress.

    Returns:
        What was found, with the epochs of each member that it was trained on for.
    """
    if not stop.kept_back or stop.exit_code:
        return found
    stop.go_on()
    run, folder, by_id = opened.run, opened.folder.refit, {trial.trial_id: trial for trial in trials}
    members = [by_id[each["trial_id"]] for each in found.members]
    has_time = stop.seconds_left >= LEAST_SECONDS and stop.reason is None
    planned = _planned(run, members, opened.study.concurrency, stop.seconds_left) if has_time else []
    for left_out in sorted({trial.trial_id for trial in members} - {trial.trial_id for trial, _ in planned}):
        _say_as_picked(console, left_out, "there is no time to train it on with the validation pictures")
    if not planned:
        return found
    shutil.rmtree(folder.path, ignore_errors=True)
    jobs = [_job(run, trial, epochs, opened.folder, folder) for trial, epochs in planned]
    now_doing(opened.folder.path, "trained on")
    names = f"trial {jobs[0].name} is" if len(jobs) == 1 else f"{len(jobs)} trials are"
    say(console, f"The model's turn: {names} trained on, with the validation pictures, too")
    task = replace(run.task, checkpoint_dir=str(folder.checkpoints), answers_dir="", train_on=SIDES, validate_on=())
    study = opened.study
    done = run_jobs(jobs, task, study, folder.path, session, stop, console, keep=len(jobs), spread=True, cuts=True)
    epochs = {}
    for job in jobs:
        if wrong := _what_is_wrong(done.get(job.name), by_id[job.name], folder):
            _say_as_picked(console, job.name, f"trained on, it {wrong}")
        else:
            epochs[job.name] = len(done[job.name].reports)
    for path in folder.checkpoints.glob("*/*"):
        if path.name != BEST:
            path.unlink()
    refitted = replace(found, refit_epochs=epochs)
    refitted.save(opened.folder.found_json)
    return refitted


def _planned(
    run: SearchRun, members: Sequence[TrialHistory], at_a_time: int, seconds: float
) -> list[tuple[TrialHistory, int]]:
    """The members that there is time for, and how many epochs each has at most.

    Those that nothing waits for end with the time; of a queue, as many whole rows of as many epochs as fit.
    """
    an_epoch = {trial.trial_id: _seconds_of_epoch(trial, run) for trial in members}
    able = [trial for trial in members if an_epoch[trial.trial_id] <= seconds]
    for rows in range(math.ceil(len(able) / at_a_time), 1, -1):
        chosen, waited_for = able[: rows * at_a_time], (rows - 1) * at_a_time
        slowest = max(an_epoch[trial.trial_id] for trial in chosen)
        if (each := int((seconds / rows - FIRST_STEP_SECONDS) / slowest)) >= 1:
            first = [(trial, min(each, _most_epochs(trial))) for trial in chosen[:waited_for]]
            return first + [(trial, _most_epochs(trial)) for trial in chosen[waited_for:]]
    return [(trial, _most_epochs(trial)) for trial in able[:at_a_time]]


def _say_as_picked(console: Console, trial_id: str, why: str) -> None:
    warn(console, f"trial {trial_id} answers as validation picked it: {why}")


def _job(run: SearchRun, trial: TrialHistory, epochs: int, search: RunFolder, folder: RunFolder) -> Job:
    """A training that goes on from a trial's last state, or from its best weights."""
    assert trial.best is not None  # it answers
    last, reports = search.checkpoints / trial.trial_id / LAST, trial.reports
    place = folder.checkpoints / trial.trial_id
    place.mkdir(parents=True)
    if last.is_file() and score_of(reports[-1]) >= STILL_GOOD * score_of(trial.best):
        begun = reports[-1].epoch
        _put(last, place / LAST)
    else:
        begun = trial.best.epoch
        _put(last.with_name(BEST), place / START)
    seed = seed_of(trial.trial_id, run.task.seed)
    return Job(trial.trial_id, trial.config, {"seed": seed, "start_epoch": begun, "epochs": begun + epochs})


def _put(file: Path, place: Path) -> None:
    """Makes a file there of the same content, without a copy where the disk can do that."""
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)


def _what_is_wrong(trial: TrialHistory | None, before: TrialHistory, folder: RunFolder) -> str:
    """Why what came of a member does not answer; empty where nothing is wrong."""
    if trial is not None and trial.status == TrialStatus.FAILED:
        return f"failed: {trial.reason}"
    if trial is None or not trial.reports:
        return "had no time for an epoch"
    loss = trial.reports[-1].train_loss
    most = max(report.train_loss + report.val_loss for report in before.reports[-LATEST_EPOCHS:])
    if not loss <= most:
        return f"has a training loss of {loss:.3f}, which was {before.reports[-1].train_loss:.3f}"
    if not (folder.checkpoints / trial.trial_id / BEST).is_file():
        return "left no weights"
    return ""


def keep_if_same(found: Found, earlier: Found | None, folder: RunFolder) -> Found | None:
    """What was found, as trained on before, where the same members answer and their model is there; else None.

    Args:
        found: Now.
        earlier: As the last end of the search left it.
        folder: Of the run.
    """
    if earlier is None or not earlier.refit_epochs or not folder.model.is_dir():
        return None
    same = [list(map(dict, each.members)) for each in (found, earlier)]
    if same[0] != same[1] or (found.tau, found.second_view) != (earlier.tau, earlier.second_view):
        return None
    return replace(found, refit_epochs=earlier.refit_epochs)
