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

from rich.console import Console

from results.records.found import Found, is_model_of
from results.records.record import SearchRun
from results.records.run_folder import RunFolder
from results.records.trials import TIME_BUDGET, TrialHistory, score_of
from search.engine.seeds import seed_of
from search.hold import now_doing
from search.lengths import FIRST_STEP_SECONDS, epochs_in
from search.machine.ray_session import RaySession
from search.open_run import OpenRun
from search.refit_time import LEAST_SECONDS, NEXT_ROW, epochs_each, most_epochs, names_of, seconds_of_epoch
from search.retraining.trainings import Job, run_jobs
from search.stop import RUNNING_TRIALS_END, SHORTEST_EPOCH, StopRequest
from search.terminal import say, warn
from trainables.atomic import TORN
from trainables.checkpoints import BEST, LAST, START
from trainables.report import EpochReport, TrialStatus

SIDES = ("train", "val")
"""What a model is trained on at last; the test people stay unseen."""
LATEST_EPOCHS = 5
"""Before it, by which it is told what losses are usual."""
SURELY_USUAL = 0.1
"""A training loss, in nats, that nothing has gone wrong with: of a set that is learned by heart, losses near 0 jump."""
STILL_GOOD = 0.95
"""Share of a trial's best score that its last epoch must have to be gone on from, which is as good on people never seen
and has learned for longer; else it is the best."""

AS_PICKED = "stays as validation picked it"
"""What is said of a member that was not trained on."""
AS_BEFORE = "stays as it was trained further before"
"""What is said of one that was, and of which nothing came this time."""


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
    has_been = names_of(found) == set(found.refit_epochs)
    return opened.run.refits and opened.study.refit and is_at_its_end and not has_been


def refit(
    opened: OpenRun,
    found: Found,
    trials: Sequence[TrialHistory],
    session: RaySession,
    stop: StopRequest,
    console: Console,
) -> Found:
    """Trains the members of a model further, with the validation pictures as well, for the time that there is.

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
    stop.what_ends = RUNNING_TRIALS_END
    if stop.reason not in (None, TIME_BUDGET):
        return found
    run, folder, by_id = opened.run, opened.folder.refit, {trial.trial_id: trial for trial in trials}
    members = [by_id[member["trial_id"]] for member in found.members]
    has_time = stop.seconds_left >= LEAST_SECONDS
    planned = _planned(run, members, opened.study.concurrency, stop.seconds_left) if has_time else []
    in_turn = {trial.trial_id for trial, _ in planned}
    for name in sorted(names_of(found) - in_turn - set(found.refit_epochs)):
        say(console, f"trial {name} {AS_PICKED}: there is no time to train it further")
    if not planned or not found.refit_epochs.keys() <= in_turn:
        return found
    shutil.rmtree(folder.path, ignore_errors=True)
    jobs = [_job(run, trial, epochs, opened.folder, folder) for trial, epochs in planned]
    trained = _train_on(jobs, opened, session, stop, console)
    epochs = _epochs_of_those_that_answer(jobs, trained, by_id, found, folder, console)
    if not found.refit_epochs.keys() <= epochs.keys():
        say(console, "the model stays as it was trained further before")
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
        return found
    for path in folder.checkpoints.glob("*/*"):
        if path.name != BEST and not path.match(TORN):
            path.unlink(missing_ok=True)  # a worker that ends takes its own
    refitted = replace(found, refit_epochs=epochs)
    refitted.save(opened.folder.found_json)
    return refitted


def _train_on(
    jobs: Sequence[Job], opened: OpenRun, session: RaySession, stop: StopRequest, console: Console
) -> dict[str, TrialHistory]:
    """What became of each, by name; one that did not start is not in it."""
    folder, study = opened.folder.refit, opened.study
    now_doing(opened.folder.path, "trained further")
    names = f"trial {jobs[0].name} is" if len(jobs) == 1 else f"{len(jobs)} trials are"
    say(console, f"The model's turn: {names} trained further, with the validation pictures as well")
    task = replace(
        opened.run.task, checkpoint_dir=str(folder.checkpoints), answers_dir="", train_on=SIDES, validate_on=()
    )
    return run_jobs(jobs, task, study, folder.path, session, stop, console, keep=len(jobs), spread=True, cuts=True)


def _epochs_of_those_that_answer(
    jobs: Sequence[Job],
    trained: Mapping[str, TrialHistory],
    by_id: Mapping[str, TrialHistory],
    found: Found,
    folder: RunFolder,
    console: Console,
) -> dict[str, int]:
    """How many epochs each was trained on for of which something came; says why where nothing did."""
    epochs = {}
    for job in jobs:
        before = [report for report in by_id[job.name].reports if report.epoch <= job.task["start_epoch"]]
        trial, answers = trained.get(job.name), AS_BEFORE if job.name in found.refit_epochs else AS_PICKED
        if trial is None or (not trial.reports and trial.status != TrialStatus.FAILED):
            say(console, f"trial {job.name} {answers}: its turn did not come")
        elif wrong := _what_is_wrong(trial, before, folder):
            warn(console, f"trial {job.name} {answers}: trained further, it {wrong}")
        else:
            epochs[job.name] = len(trial.reports)
    return epochs


def _planned(
    run: SearchRun, members: Sequence[TrialHistory], at_a_time: int, seconds: float
) -> list[tuple[TrialHistory, int]]:
    """The members an epoch of which fits into the time, and how many epochs each has at most.

    Those that nothing waits for end with the time; those that others wait for have as many as leave all of them the
    same, but one at least, so that of too many the last do not begin.
    """
    decided_by_time = run.trials_open and math.isfinite(seconds)
    least = SHORTEST_EPOCH if decided_by_time else 1.0  # the last one may be cut short then
    before = [len(trial.reports) for trial in members]
    most = [most_epochs(epochs) if decided_by_time else epochs_each(run, epochs) for epochs in before]
    if math.isinf(seconds):
        return list(zip(members, most, strict=True))
    able = [each for each in zip(members, most, strict=True) if least * seconds_of_epoch(each[0], run) <= seconds]
    rows = [able[first : first + at_a_time] for first in range(0, len(able), at_a_time)]
    one_of_each = sum(max(seconds_of_epoch(trial, run) for trial, _ in row) for row in rows)
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
    most = max(SURELY_USUAL, *(report.train_loss + report.val_loss for report in before[-LATEST_EPOCHS:]))
    if not loss <= most:
        return f"has a training loss of {loss:.3f}, which was {before[-1].train_loss:.3f}"
    if not (folder.checkpoints / trial.trial_id / BEST).is_file():
        return "left no weights"
    return ""


def as_trained_on_before(found: Found, earlier: Found | None, folder: RunFolder) -> Found | None:
    """What was found, as trained on before, where the same members answer; else None.

    Their model is there, or their weights are, where a kill came before they were saved as a model.

    Args:
        found: Now.
        earlier: As the last end of the search left it.
        folder: Of the run.
    """
    if earlier is None or not earlier.refit_epochs:
        return None
    weights = (folder.refit.checkpoints / name / BEST for name in earlier.refit_epochs)
    if not is_model_of(earlier, folder) and not all(file.is_file() for file in weights):
        return None
    same = [list(map(dict, each.members)) for each in (found, earlier)]
    if same[0] != same[1] or (found.tau, found.second_view) != (earlier.tau, earlier.second_view):
        return None
    return replace(found, refit_epochs=earlier.refit_epochs)
