"""What answers learns from the validation pictures, too, once they have chosen it: the last part of a time budget.

Their people are as new to a network as any, and a fifth more of them is worth more than some epochs of the same ones
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
from results.records.trials import TrialHistory
from search.engine.seeds import seed_of
from search.lengths import LEAST_EPOCHS
from search.machine.ray_session import RaySession
from search.open_run import OpenRun
from search.retraining.trainings import Job, run_jobs
from search.stop import StopRequest
from search.study import SettledStudy
from search.terminal import say, warn
from trainables.checkpoints import BEST, START
from trainables.report import TrialStatus

SIDES = ("train", "val")
"""What a model is trained on at last; the test people stay unseen."""
EPOCHS = 8
"""In the place of so many epochs beside those of a full length: three of four still gained after four of them."""
LEAST_SECONDS = 5.0
"""With less nothing would come of it."""
MOST_SHARE = 0.3
"""Of a time budget, however short a full length is."""


def seconds_kept_back(study: SettledStudy, seconds_left: float, epochs_that_fit: float = math.inf) -> float:
    """Seconds of a time budget that the trials leave for it; 0 where there is none, or it has room for few epochs.

    Args:
        study: Settled, with the full length of a trial.
        seconds_left: Of the time budget.
        epochs_that_fit: Of the default configuration; infinite where that is not known.
    """
    if not study.refit or not study.fills_its_budget or not study.keep or epochs_that_fit < LEAST_EPOCHS:
        return 0.0
    seconds = min(MOST_SHARE, EPOCHS / (study.epochs + EPOCHS)) * seconds_left
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

    Their weights are then in `refit` of the run's folder. One that fails stays as it was.

    Args:
        opened: The search.
        found: What validation picked.
        trials: Those of the search.
        session: The machine.
        stop: Of the search; an interruption of this is noted there, too.
        console: For the progress.

    Returns:
        What was found, with the epochs of each member that it was trained on for.
    """
    rest = stop.rest()
    shutil.rmtree(opened.folder.refit.path, ignore_errors=True)
    members = [trial for trial in trials if trial.trial_id in {each["trial_id"] for each in found.members}]
    if not members or not rest.seconds_left or stop.exit_code or stop.crash is not None:
        return found
    run, study, folder = opened.run, replace(opened.study, trials_open=False), opened.folder.refit
    jobs = [_job(run, trial, epochs) for trial, epochs in _epochs(run, members, study.concurrency, rest.seconds_left)]
    for job in jobs:
        _put(opened.folder.checkpoints / job.name / BEST, folder.checkpoints / job.name / START)
    names = f"trial {jobs[0].name} is" if len(jobs) == 1 else f"{len(jobs)} trials are"
    say(console, f"The model's turn: {names} trained on, with the validation pictures, too")
    task = replace(run.task, checkpoint_dir=str(folder.checkpoints), answers_dir="", train_on=SIDES, validate_on=())
    done = run_jobs(jobs, task, study, folder.path, session, rest, console, keep=len(jobs), spread=True, cuts=True)
    if rest.exit_code:
        stop.exit_code = rest.exit_code
        stop.ask(rest.reason or "interrupted")
    epochs = {name: len(trial.reports) for name, trial in done.items() if _is_whole(trial, folder)}
    for job in jobs:
        if job.name not in epochs and job.name in done and done[job.name].status == TrialStatus.FAILED:
            warn(console, f"trial {job.name} answers as validation picked it: {done[job.name].reason}")
    refitted = replace(found, refit_epochs=epochs)
    refitted.save(opened.folder.found_json)
    return refitted


def _epochs(
    run: SearchRun, members: Sequence[TrialHistory], at_a_time: int, seconds: float
) -> list[tuple[TrialHistory, int]]:
    """How many epochs more each has, as many as the time has room for: of those that all begin at once, it is the end.

    None has more than it was trained for.
    """
    sides: Mapping[str, Mapping[str, int]] = run.data["sides"]
    longer = 1 + sides["val"]["pictures"] / sides["train"]["pictures"]
    each = [longer * median(report.seconds for report in trial.reports) for trial in members]
    fitting = at_a_time * seconds / max(sum(each), 1e-3)
    if len(members) <= at_a_time:
        fitting = math.inf
    return [(trial, max(1, round(min(fitting, len(trial.reports))))) for trial in members]


def _job(run: SearchRun, trial: TrialHistory, epochs: int) -> Job:
    assert trial.best is not None  # it answers
    begun = trial.best.epoch
    seed = seed_of(trial.trial_id, run.task.seed)
    return Job(trial.trial_id, trial.config, {"seed": seed, "start_epoch": begun, "epochs": begun + epochs})


def _put(weights: Path, place: Path) -> None:
    """Makes a file there of the same content, without a copy where the disk can do that."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(weights, place)
    except OSError:
        shutil.copyfile(weights, place)


def _is_whole(trial: TrialHistory, folder: RunFolder) -> bool:
    """Whether a training has come to an epoch, and its weights are there."""
    return bool(trial.reports) and trial.status != TrialStatus.FAILED and weights_of(trial.trial_id, folder).is_file()


def weights_of(trial_id: str, folder: RunFolder) -> Path:
    """The weights of a trial in a folder of trainings."""
    return folder.checkpoints / trial_id / BEST
