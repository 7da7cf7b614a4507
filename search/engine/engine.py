"""The two halves of a search engine put together: what proposes trials, and what stops them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from results.records.record import SearchRun
from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory
from search.engine.costs import EpochCosts
from search.engine.last_steps import LastSteps
from search.engine.scheduler import RungScheduler, build_scheduler
from search.engine.searcher import StudySearcher, build_searcher
from search.study import SettledStudy
from spaces import Space
from trainables.checkpoints import LAST
from trainables.report import METRIC, MODE, TrialStatus

DEFAULT_TRIAL = "00000"
"""The first trial is the default configuration. It is trained to its end in every search, so that a search is measured
by it; whoever stops it at a rung promises more than a comparison of first epochs can hold."""


@dataclass(frozen=True)
class Engine:
    """Optuna's side proposes, ASHA stops."""

    searcher: StudySearcher
    scheduler: RungScheduler
    last_steps: LastSteps | None
    """What the end of a time budget is used for; None in a search that was begun without one."""


def build_engine(
    space: Space,
    study: SettledStudy,
    run: SearchRun,
    folder: RunFolder,
    earlier: Sequence[TrialHistory] = (),
    networks: Mapping[str, float] | None = None,
) -> Engine:
    """The engine of a run, which knows what happened in earlier starts as if it had seen it.

    Args:
        space: Narrowed to the backbones of the run.
        study: How to search.
        run: Its points come first, the default configuration before all.
        folder: Of the run, where its study lies.
        earlier: Trials of earlier starts, in the order of their proposal.
        networks: What a step of each backbone costs, in any unit. It counts in a search that was begun with a time
            budget, whether it is resumed with one or not: its proposals stay what they would have been.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    searcher = build_searcher(
        space.suggest,
        metric=METRIC,
        mode=MODE,
        max_epochs=run.task.epochs,
        seed=study.seed,
        points=run.points,
        storage=folder.study_journal,
        study_name=folder.path.name,
        costs=EpochCosts(networks or {}) if counts_seconds(run) else None,
    )
    scheduler = build_scheduler(
        metric=METRIC,
        mode=MODE,
        max_epochs=run.task.epochs,
        grace_period=study.grace_period,
        reduction_factor=study.reduction_factor,
        spared=(DEFAULT_TRIAL,),
    )
    for trial in earlier:
        values = [getattr(report, METRIC) for report in trial.reports]
        searcher.adopt(
            trial.trial_id,
            vars(trial.config),
            values,
            state=trial.status if trial.status.is_over else TrialStatus.RUNNING,
            reason=trial.reason,
            seconds=[report.seconds for report in trial.reports],
        )
        scheduler.adopt(trial.trial_id, values)
    last_steps = None
    if counts_seconds(run):
        checkpoints = Path(run.task.checkpoint_dir)
        last_steps = LastSteps(
            searcher, scheduler, run.task.epochs, lambda trial_id: (checkpoints / trial_id / LAST).is_file()
        )
    return Engine(searcher, scheduler, last_steps)


def counts_seconds(run: SearchRun) -> bool:
    """Whether a search was begun with a time budget, so that seconds are what it has to spend."""
    return run.options.get("time_budget") is not None
