"""Goes on with a run after whatever ended it; its logs are the one source that everything is rebuilt from."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from results.records.record import SearchRun
from results.records.run_folder import TrialHistory, load_run, load_trials
from search.callbacks.run_log import is_over
from search.engine.scheduler import RungScheduler
from search.engine.searcher import StudySearcher
from search.prepare import prepare_data
from search.study import StudyConfig
from trainables.data.manifest import DataConfig
from trainables.report import METRIC
from trainables.settings import restore

FREE = (
    *("resume", "add_trials", "time_budget", "storage", "readme", "timezone", "address", "name"),
    *("concurrency", "cpus_per_trial", "gpus_per_trial", "keep"),
)
"""Flags that may differ from those the run was started with: they change nothing about its trials."""


def saved_options(storage: Path, name: str) -> tuple[StudyConfig, DataConfig]:
    """The settings of a run, ready to go on with: without a time budget.

    Raises:
        RunError: There is no such run.
    """
    storage = storage.expanduser().resolve()
    run = load_run(storage / name)
    study = replace(
        restore(StudyConfig, run.options),
        resume=name,
        storage=storage,  # where it was found, should the folder of the runs have moved
        trials=run.trials_asked,
        time_budget=None,
        add_trials=0,
    )
    return study, restore(DataConfig, run.options)


def refuse_contradictions(saved: Sequence[Any], asked: Sequence[Any]) -> None:
    """Checks flags given with --resume against the settings of the run.

    Raises:
        ValueError: A flag asks for something else; names both values.
    """
    contradictions = [
        f"--{field.name.replace('_', '-')} {_shown(getattr(new, field.name))}, "
        f"the run has {_shown(getattr(old, field.name))}"
        for old, new in zip(saved, asked, strict=True)
        for field in fields(old)
        if field.name not in FREE and getattr(old, field.name) != getattr(new, field.name)
    ]
    if contradictions:
        raise ValueError(
            "a run goes on with its own settings: "
            + "; ".join(contradictions)
            + ". Leave the flags out, or start a new run"
        )


def reopen_run(
    run_dir: Path, study: StudyConfig, data: DataConfig, console: Console
) -> tuple[SearchRun, tuple[TrialHistory, ...]]:
    """Reads a run's logs, mends what a kill left torn, and extends it if asked to.

    Returns:
        The run with the number of trials now asked for, and all trials so far in the order of their proposal.

    Raises:
        RunError: The run's files cannot be read; names file, line and way out.
        ValueError: The decoded pictures are gone and the pictures have changed.
    """
    run = load_run(run_dir)
    for name in ("trials.jsonl", "events.jsonl"):
        cut_torn_line(run_dir / name)
    shutil.rmtree(run_dir / "ray", ignore_errors=True)
    if not (Path(run.task.cache_path) / "meta.json").exists():
        prepared = prepare_data(data, study, console)
        if str(prepared.cache.path) != run.task.cache_path:
            raise ValueError(
                f"the pictures of the run {run.name} have changed since it began, and its decoded ones are no longer "
                f"in {run.task.cache_path}: bring the pictures back, or start a new run"
            )
    task = replace(run.task, split_path=str(run_dir / "split.csv"), checkpoint_dir=str(run_dir / "checkpoints"))
    trials = tuple(load_trials(run_dir))
    run = replace(run, task=task, trials_asked=run.trials_asked + study.add_trials)
    run.save(run_dir / "run.json")
    return run, trials


def refuse_other_device(run: SearchRun, study: StudyConfig) -> None:
    """Makes sure that a run goes on as it began: on GPUs, or without.

    Args:
        run: As it was started.
        study: Settled for the machine at hand.

    Raises:
        ValueError: It would not; names the way out.
    """
    began, here = run.task.device == "cuda", bool(study.gpus)
    if began and not here:
        raise ValueError(
            f"the run {run.name} was begun on a GPU, and there is none for it here: resume it where there is"
        )
    if here and not began:
        raise ValueError(f"the run {run.name} was begun without a GPU: go on with it by --gpus-per-trial 0")


def adopt_trials(trials: Sequence[TrialHistory], searcher: StudySearcher, scheduler: RungScheduler) -> None:
    """Tells searcher and scheduler what happened, as if they had seen it."""
    for trial in trials:
        values = [getattr(report, METRIC) for report in trial.reports]
        searcher.adopt(
            trial.trial_id,
            vars(trial.config),
            values,
            state=trial.status if is_over(trial) else "running",  # type: ignore[arg-type]
            reason=trial.reason,
            seconds=[report.seconds for report in trial.reports],
        )
        scheduler.adopt(trial.trial_id, values)


def cut_torn_line(path: Path) -> None:
    """Takes away a last line that a kill cut short, so that the next one does not continue it."""
    if path.exists():
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)


def _shown(value: Any) -> str:
    return "nothing" if value is None or value == "" else str(value)
