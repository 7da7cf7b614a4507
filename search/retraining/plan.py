"""What a re-training starts from, and which trainings it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory, load_trials
from results.statistics.ranking import Candidate, Ranked
from search.machine.ray_session import RaySession
from search.retraining.origin import Source
from search.retraining.trainings import Job, is_whole, run_jobs
from search.stop import StopRequest
from search.study import SettledStudy
from trainables.config import TaskConfig
from trainables.data.split import Split


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """What a re-training starts from."""

    source: Source
    """The search."""
    candidates: Sequence[Candidate]
    """What is ranked, the default configuration among them."""
    control: Candidate
    """The default configuration."""
    task: TaskConfig
    """What all trainings share: the task of the search, on this machine."""
    split: Split
    """The split of the search."""
    study: SettledStudy
    """Retraining; how many trainings at a time, where the records are."""
    session: RaySession
    """The machine."""
    folder: Path
    """`retrained` in the folder of the run."""
    seeds: list[int]
    """One a training of each candidate; the first is that of the final ones."""
    folds: int | None
    """Folds of train and val people; None to train everything on the same split."""
    pick: str | None = None
    """The trial that becomes the model, however it ranks; None for the one that ranks best."""
    final_seeds: int = 1
    """Final trainings of the pick, whose networks answer together."""
    final_seeds_open: bool = False
    """Whether a time budget may make them fewer."""
    mirror: bool = True
    """Whether a final model may answer to a second view of each picture."""


def ranking_jobs(retraining: Retraining, candidate: Candidate) -> list[Job]:
    """A candidate's trainings; a name stands for all that makes up the numbers of one."""
    if retraining.folds is None:
        return [Job(f"{candidate.name}-seed-{seed}", candidate.config, {"seed": seed}) for seed in retraining.seeds]
    return [
        Job(
            f"{candidate.name}-fold-{number}-of-{retraining.folds}-seed-{seed}",
            candidate.config,
            {
                "seed": seed,
                "split_path": str(fold_path(retraining, number)),
                "predictions_dir": str(RunFolder(retraining.folder).predictions),
            },
        )
        for number, seed in enumerate(retraining.seeds)
    ]


def done_before(retraining: Retraining) -> frozenset[str]:
    """Names of the trainings of a ranking that an earlier command has done, at the length that is wanted now."""
    known, epochs = load_trials(retraining.folder), retraining.task.epochs
    return frozenset(trial.trial_id for trial in known if is_whole(trial, epochs))


def final_jobs(
    retraining: Retraining, ranked: Ranked, sides: Sequence[str] = ("train", "val"), word: str = "final"
) -> list[Job]:
    """The trainings of a candidate on some sides together, for the epochs that the ranking found best, one a seed."""
    jobs = []
    for seed in range(retraining.seeds[0], retraining.seeds[0] + retraining.final_seeds):
        name = f"{ranked.candidate.name}-{word}-{ranked.epoch}-epochs-seed-{seed}"
        own = {"seed": seed, "train_on": tuple(sides), "validate_on": (), "last_epoch": ranked.epoch}
        jobs.append(Job(name, ranked.candidate.config, own))
    return jobs


def trained_at_last(retraining: Retraining, ranking: Sequence[Ranked]) -> list[Ranked]:
    """What has final trainings: the pick, which is the first of a ranking, and the default, unless that is the pick."""
    return [*ranking[:1], *(ranked for ranked in ranking[1:] if ranked.candidate == retraining.control)]


def fold_path(retraining: Retraining, number: int) -> Path:
    """Where the split of a fold is."""
    return retraining.folder / "folds" / f"{number}-of-{retraining.folds}-seed-{retraining.seeds[0]}.csv"


def run(
    retraining: Retraining, jobs: Sequence[Job], stop: StopRequest, console: Console, *, keep: int = 0
) -> dict[str, TrialHistory]:
    """`run_jobs` of a re-training, whose trainings share all cores."""
    study, task, folder, session = retraining.study, retraining.task, retraining.folder, retraining.session
    return run_jobs(jobs, task, study, folder, session, stop, console, keep=keep, spread=True)
