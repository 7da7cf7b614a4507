"""Trainings that are settled beforehand, run side by side by the machinery of a search: live, resumable, retried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console

from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory, load_trials
from search.callbacks.listener import num_epochs
from search.machine.ray_session import RaySession
from search.run_trials import Workload, run_trials
from search.stop import StopRequest
from search.study import SettledStudy
from trainables.config import TaskConfig, TrialConfig
from trainables.report import TrialStatus
from trainables.strict_json import RecordError, load_object, save_object

SCHEDULES = "schedules.json"
"""What the trainings of a folder were begun for: name to the epochs that a schedule spans, of which all need not be
trained."""


@dataclass(frozen=True)
class Job:
    """One training."""

    name: str
    """Its name in the folder, which stands for all that makes up its numbers."""
    config: TrialConfig
    task: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the task that it has of its own."""


class JobList:
    """Hands out jobs in the place of a searcher."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        """Takes the jobs, in the order they are wanted."""
        self._jobs = {job.name: job for job in jobs}

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """What the trainable is given for the job of this name."""
        job = self._jobs[trial_id]
        return {**asdict(job.config), "task": dict(job.task)}

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Nothing: the logs say it."""

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None, error: bool, reason: str | None, is_done: bool = False
    ) -> None:
        """Nothing: the logs say it."""


def run_jobs(
    jobs: Sequence[Job],
    task: TaskConfig,
    study: SettledStudy,
    folder: Path,
    session: RaySession,
    stop: StopRequest,
    console: Console,
    *,
    keep: int = 0,
    spread: bool = False,
    cuts: bool = False,
) -> dict[str, TrialHistory]:
    """Trains what is not done yet; a job that failed before, or was begun for another length, is begun again.

    One that was interrupted goes on.

    Args:
        jobs: In the order they are wanted.
        task: What they share.
        study: Settled; how many run at a time, on what.
        folder: Where logs, curves and checkpoints go.
        session: The machine.
        stop: Asked after every epoch.
        console: For the progress.
        keep: How many jobs' best weights stay on disk; those that are not validated come first.
        spread: Whether jobs have threads for all cores where fewer are at work than fit side by side
            (`spread_over_cores`).
        cuts: Whether the epoch that the time budget ends in is cut short, and its weights are kept.

    Returns:
        What became of each job, by name; one that did not start is not in it.
    """
    if spread:  # by all jobs, done or not: one that goes on after a kill has the threads that it had
        jobs, study = spread_over_cores(jobs, study)
        task = replace(task, num_threads=study.cpus_per_trial)
    run_folder = RunFolder(folder)
    run_folder.cut_torn_lines()
    run_folder.clear_ray()
    names = {job.name for job in jobs}
    lengths = {job.name: num_epochs({"task": job.task}, task.epochs) for job in jobs}
    schedules = {job.name: job.task.get("epochs", task.epochs) for job in jobs}
    begun_for = _noted_schedules(folder)
    ours = [trial for trial in load_trials(folder) if trial.trial_id in names]  # the folder may hold others, too
    again = _failed_or_of_another_length(ours, lengths)
    again |= {name for trial in ours if begun_for.get(name := trial.trial_id, schedules[name]) != schedules[name]}
    for name in sorted(again):
        run_folder.forget_trial(name)
    save_object(folder / SCHEDULES, {**begun_for, **schedules})
    earlier = [trial for trial in ours if trial.trial_id not in again]
    done = {trial.trial_id for trial in earlier if trial.status.is_over}
    waiting = [job.name for job in jobs if job.name not in done]
    if waiting:
        work = Workload(
            folder=run_folder,
            task=task,
            study=study,
            waiting=waiting,
            num_trials=len(jobs),
            earlier=earlier,  # whose weights stay is between these alone
            keep=keep,
            cuts=cuts,
            mean_epochs=mean(lengths[job.name] - job.task.get("start_epoch", 0) for job in jobs),
        )
        with stop.on_interrupt():
            run_trials(work, JobList(jobs), None, session, stop, console)
    return {trial.trial_id: trial for trial in load_trials(folder) if trial.trial_id in names}


def _failed_or_of_another_length(ours: Sequence[TrialHistory], lengths: Mapping[str, int]) -> set[str]:
    """The trainings that are begun again whatever is noted of them, by name."""
    again = {trial.trial_id for trial in ours if trial.status == TrialStatus.FAILED}
    ended = [trial for trial in ours if trial.status == TrialStatus.FINISHED]
    if other := {trial.trial_id for trial in ended if not is_whole(trial, lengths[trial.trial_id])}:
        again |= other | {trial.trial_id for trial in ours if not trial.status.is_over}  # begun for that length, too
    return again


def _noted_schedules(folder: Path) -> dict[str, Any]:
    """The epochs that the schedule of each training in the folder spans, by name; empty where nobody has noted any."""
    try:
        return load_object(folder / SCHEDULES)
    except (OSError, RecordError):
        return {}


def is_whole(trial: TrialHistory, epochs: int) -> bool:
    """Whether a training is done at this length; a search that went on has longer trials than before."""
    return trial.status == TrialStatus.FINISHED and bool(trial.reports) and trial.reports[-1].epoch == epochs


def spread_over_cores(jobs: Sequence[Job], study: SettledStudy) -> tuple[list[Job], SettledStudy]:
    """The jobs with threads for all cores, where fewer run at a time than fit side by side and cores were left open.

    Of three where two fit, two have a core each and the last, which is alone once they end, has both.

    Args:
        jobs: In the order in which they begin.
        study: Settled; how many run at a time, on what.

    Returns:
        The jobs, and the study with no more at a time than there are.
    """
    study = study.with_fewer_at_a_time(len(jobs))
    num_last = len(jobs) % study.concurrency
    first, last = list(jobs[: len(jobs) - num_last]), jobs[len(jobs) - num_last :]
    threads = study.with_fewer_at_a_time(max(1, num_last)).cpus_per_trial
    return [*first, *(replace(job, task={**job.task, "num_threads": threads}) for job in last)], study
