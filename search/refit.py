"""What answers learns from the validation pictures, too, once they have chosen it: the last part of a time budget.

Their people are as new to a network as any, and some more of them are worth more than some epochs of the same ones
(docs/score.md). No score is left for the model then: what is shown is that of the networks as validation picked them.
"""

from __future__ import annotations

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
from search.lengths import FIRST_STEP_SECONDS, LEAST_EPOCHS
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
    if study.concurrency == study.rounds == 1:
        return _share_of(seconds_left, SHARE)
    share = EPOCHS_EACH * longer / study.epochs + FIRST_STEP_SECONDS / seconds_left  # of workers that start anew
    return _share_of(seconds_left, min(SHARE, share))


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
    is_wanted = study.refit and study.fills_its_budget and earlier is not None and bool(earlier.refit_epochs)
    if not is_wanted or earlier is None:
        return 0.0
    names = {member["trial_id"] for member in earlier.members}
    an_epoch = [_seconds_of_epoch(trial, run) for trial in trials if trial.trial_id in names and trial.reports]
    if len(an_epoch) < 2:
        return _share_of(seconds_left, SHARE)
    seconds = EPOCHS_EACH * sum(an_epoch) / min(study.concurrency, len(an_epoch)) + FIRST_STEP_SECONDS
    return _share_of(seconds_left, min(SHARE, seconds / max(seconds_left, 1.0)))


def longer_with_validation(run: SearchRun) -> float:
    """How many times as many pictures an epoch has with those of validation."""
    sides: Mapping[str, Mapping[str, int]] = run.data["sides"]
    return 1 + sides["val"]["pictures"] / sides["train"]["pictures"]


def _seconds_of_epoch(trial: TrialHistory, run: SearchRun) -> float:
    """What one takes with the validation pictures, by those that the trial had without."""
    return longer_with_validation(run) * median(report.seconds - report.compile_seconds for report in trial.reports)


def _share_of(seconds_left: float, share: float) -> float:
    seconds = share * seconds_left
    return seconds if seconds >= LEAST_SECONDS else 0.0


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
    planned = _planned(run, members, opened.study.concurrency, stop.seconds_left)
    if not planned or stop.seconds_left < LEAST_SECONDS or stop.reason is not None:
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
            warn(console, f"trial {job.name} answers as validation picked it: trained on, it {wrong}")
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
    """The members that an epoch of fits into the time, and how many each has at most: its end, where all begin at once.

    Where they queue, the first have one more if there is not time for as many of all.
    """
    an_epoch = {trial.trial_id: _seconds_of_epoch(trial, run) for trial in members}
    able = [trial for trial in members if an_epoch[trial.trial_id] <= seconds]
    most = [max(1, round(LONGEST * len(trial.reports))) for trial in able]
    if len(able) <= at_a_time:
        return list(zip(able, most, strict=True))
    fitting = at_a_time * seconds / max(sum(an_epoch[trial.trial_id] for trial in able), 1e-3)
    more = round(fitting % 1 * len(able))
    each = [max(1, int(fitting) + (number < more)) for number in range(len(able))]
    return [(trial, min(epochs, least)) for trial, epochs, least in zip(able, each, most, strict=True)]


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
