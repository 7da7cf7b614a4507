"""What answers learns from the validation pictures, too, once they have chosen it: the last part of a search.

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
from results.records.trials import TIME_BUDGET, TrialHistory, score_of
from search.engine.seeds import seed_of
from search.hold import now_doing
from search.lengths import FIRST_STEP_SECONDS, LEAST_TOGETHER, epochs_in
from search.machine.ray_session import RaySession
from search.open_run import OpenRun
from search.retraining.trainings import Job, run_jobs
from search.stop import StopRequest
from search.study import SettledStudy
from search.terminal import say, warn
from trainables.checkpoints import BEST, LAST, START
from trainables.report import EpochReport, TrialStatus
from trainables.saved.model_description import DESCRIPTION, ModelError, read_description

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
FEWEST_EPOCHS = 6
"""That a budget must be expected to have room for: behind four epochs nothing was gained, behind eight .014."""
BEGINS_AFTER = 15.0
"""Seconds from the last epoch of a search of several trials at a time to the first step of this: 15 to 18 on two cores,
eight of them for new processes."""
NEXT_ROW = 3.0
"""Seconds from one training to the next in the same process."""
LATEST_EPOCHS = 5
"""Before it, by which it is told what losses are usual."""
STILL_GOOD = 0.95
"""Share of a trial's best score that its last epoch must have to be gone on from, which is as good on people never seen
and has learned for longer; else it is the best."""

AS_PICKED = "answers as validation picked it"
"""What is said of a member that was not trained on."""


def seconds_kept_back(study: SettledStudy, seconds_left: float, longer: float) -> float:
    """Seconds of a time budget that the trials leave for it; 0 where nothing is to come of it.

    Args:
        study: Settled, with trials for all of the time.
        seconds_left: Of the time budget.
        longer: An epoch with them, over one without.
    """
    if not (_is_wanted(study) and study.goes_on) or study.epochs_that_fit < FEWEST_EPOCHS:
        return 0.0
    if study.networks_that_fit == 1:
        return _at_most_a_share(seconds_left, seconds_left)
    members = 1 if study.single else min(study.keep, study.networks_that_fit)
    an_epoch = longer * seconds_left / study.epochs_that_fit
    return _at_most_a_share(_seconds_of_several(members, an_epoch, study), seconds_left)


def refits_without_budget(study: SettledStudy) -> bool:
    """Whether a search that no time budget ends trains its model on: where nobody has said how long it shall be.

    Args:
        study: Settled, before what was left open is filled in.
    """
    return may_refit(study) and math.isinf(study.time_budget_seconds)


def may_refit(study: SettledStudy) -> bool:
    """Whether a search may train its model on: one of open length.

    Args:
        study: Settled, before what was left open is filled in.
    """
    return _is_wanted(study) and study.trials_open and study.epochs_open


def epochs_without_budget(run: SearchRun, study: SettledStudy) -> float:
    """Epochs without validation pictures that take as long as those with them in a place for a trial, at most."""
    if not run.refits or run.trials_open or not study.refit:
        return 0.0
    members = 1 if study.single else min(study.keep, run.trials_asked)
    return math.ceil(members / study.concurrency) * EPOCHS_EACH * longer_with_validation(run)


def _is_wanted(study: SettledStudy) -> bool:
    return study.refit and bool(study.keep) and study.cost.second is None  # of a front no one trial is the model yet


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
    """The same for a search that goes on: what those need that answered, or may answer as things are.

    Args:
        run: The search.
        study: Settled.
        seconds_left: Of its time budget.
        earlier: What its last end found; None where there was none.
        trials: Those of before.
    """
    wants = run.refits or (earlier is not None and bool(earlier.refit_epochs))
    if not (wants and study.refit and study.keep and study.fills_its_budget):
        return 0.0
    names = {trial.trial_id for trial in trials[: study.keep]} if earlier is None else _names(earlier)
    members = [trial for trial in trials if trial.trial_id in names and trial.reports]
    if not members:
        return 0.0
    an_epoch = max(_seconds_of_epoch(trial, run) for trial in members)
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
    rows = math.ceil(members / study.concurrency)
    return BEGINS_AFTER + (rows - 1) * NEXT_ROW + rows * EPOCHS_EACH * an_epoch


def _at_most_a_share(seconds: float, seconds_left: float) -> float:
    seconds = min(seconds, SHARE * seconds_left)
    return seconds if seconds >= LEAST_SECONDS else 0.0


def _most_epochs(trial: TrialHistory) -> int:
    return max(1, round(LONGEST * len(trial.reports)))


def _names(found: Found) -> set[str]:
    return {member["trial_id"] for member in found.members}


def is_due(opened: OpenRun, found: Found, stop: StopRequest, done: int) -> bool:
    """Whether the model is trained on now: where time was kept back for it, or once the last trial has ended.

    Args:
        opened: The search.
        found: What answers, as trained on before where it is the same.
        stop: Of the search.
        done: Trials that are over.
    """
    if stop.kept_back:
        return True
    is_at_its_end = stop.why is None and done >= opened.run.trials_asked
    has_been = _names(found) == set(found.refit_epochs)
    return opened.run.refits and opened.study.refit and is_at_its_end and not has_been


def refit(
    opened: OpenRun,
    found: Found,
    trials: Sequence[TrialHistory],
    session: RaySession,
    stop: StopRequest,
    console: Console,
) -> Found:
    """Trains the members of a model on with the validation pictures, for the time that there is.

    Their weights are then in `refit` of the run's folder. One of which nothing comes stays as validation picked it. If
    they were trained on before, and not all of these are again, the model stays as it is.

    Args:
        opened: The search.
        found: What validation picked.
        trials: Those of the search.
        session: The machine.
        stop: Of the search, with time that was kept back, or with none that ends.
        console: For the progress.

    Returns:
        What was found, with the epochs of each member that it was trained on for.
    """
    if stop.exit_code:
        return found
    stop.go_on()
    run, folder, by_id = opened.run, opened.folder.refit, {trial.trial_id: trial for trial in trials}
    members = [by_id[member["trial_id"]] for member in found.members]
    if stop.reason not in (None, TIME_BUDGET):
        return found
    has_time = stop.seconds_left >= LEAST_SECONDS
    planned = _planned(run, members, opened.study.concurrency, stop.seconds_left) if has_time else []
    in_turn = {trial.trial_id for trial, _ in planned}
    for name in sorted(_names(found) - in_turn - set(found.refit_epochs)):
        say(console, f"trial {name} {AS_PICKED}: there is no time to train it on")
    if not planned or not found.refit_epochs.keys() <= in_turn:
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
        before = [report for report in by_id[job.name].reports if report.epoch <= job.task["start_epoch"]]
        trained = done.get(job.name)
        if trained is None or (not trained.reports and trained.status != TrialStatus.FAILED):
            say(console, f"trial {job.name} {AS_PICKED}: its turn did not come")
        elif wrong := _what_is_wrong(trained, before, folder):
            warn(console, f"trial {job.name} {AS_PICKED}: trained on, it {wrong}")
        else:
            epochs[job.name] = len(trained.reports)
    if not found.refit_epochs.keys() <= epochs.keys():
        say(console, "the model stays as it was trained on before")
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
        return found
    for path in folder.checkpoints.glob("*/*"):
        if path.name != BEST:
            path.unlink()
    refitted = replace(found, refit_epochs=epochs)
    refitted.save(opened.folder.found_json)
    return refitted


def _planned(
    run: SearchRun, members: Sequence[TrialHistory], at_a_time: int, seconds: float
) -> list[tuple[TrialHistory, int]]:
    """The members an epoch of which fits into the time, and how many epochs each has at most.

    Those that nothing waits for end with the time; those that others wait for have as many as leave all of them the
    same, but one at least, so that of too many the last do not begin.
    """
    decided_by_time = run.trials_open and math.isfinite(seconds)
    most = [_most_epochs(trial) if decided_by_time else min(EPOCHS_EACH, _most_epochs(trial)) for trial in members]
    if math.isinf(seconds):
        return list(zip(members, most, strict=True))
    able = [each for each in zip(members, most, strict=True) if _seconds_of_epoch(each[0], run) <= seconds]
    rows = [able[first : first + at_a_time] for first in range(0, len(able), at_a_time)]
    one_of_each = sum(max(_seconds_of_epoch(trial, run) for trial, _ in row) for row in rows)
    without_starts = seconds - FIRST_STEP_SECONDS - (len(rows) - 1) * NEXT_ROW
    epochs = max(1, int(epochs_in(without_starts, one_of_each)))
    queue = [(trial, min(epochs, at_most)) for row in rows[:-1] for trial, at_most in row]
    return [*queue, *(each for row in rows[-1:] for each in row)]


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


def _what_is_wrong(trial: TrialHistory, before: Sequence[EpochReport], folder: RunFolder) -> str:
    """Why what came of a member, which goes on behind these epochs, does not answer; empty where nothing is wrong."""
    if trial.status == TrialStatus.FAILED:
        return f"failed: {trial.reason}"
    loss = trial.reports[-1].train_loss
    most = max(report.train_loss + report.val_loss for report in before[-LATEST_EPOCHS:])
    if not loss <= most:
        return f"has a training loss of {loss:.3f}, which was {before[-1].train_loss:.3f}"
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
    if earlier is None or not earlier.refit_epochs:
        return None
    try:
        there = read_description(folder.model / DESCRIPTION).record.get("refit_epochs")
    except ModelError:
        return None
    if there != dict(earlier.refit_epochs):  # it was killed before its model was written
        return None
    same = [list(map(dict, each.members)) for each in (found, earlier)]
    if same[0] != same[1] or (found.tau, found.second_view) != (earlier.tau, earlier.second_view):
        return None
    return replace(found, refit_epochs=earlier.refit_epochs)
