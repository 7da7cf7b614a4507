"""The two halves of a search engine put together: what proposes trials, and what stops them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna

from results.records.front import answering, second_objective
from results.records.record import SearchRun
from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory
from search.engine.costs import EpochCosts
from search.engine.pareto import SecondObjective
from search.engine.repeats import MOST_TOGETHER, Clock, Repeats
from search.engine.scheduler import MOST_SPARED, RungScheduler, build_scheduler
from search.engine.searcher import StudySearcher, build_searcher
from search.lengths import PATIENCE, long_together
from search.study import SettledStudy
from spaces import Space
from trainables.metric_names import in_words
from trainables.report import METRIC, MODE, TrialStatus


def second_of(run: SearchRun) -> SecondObjective | None:
    """What counts beside the score in a run; None if nothing does."""
    name, costs = second_objective(run), answering(run)
    if name is None or costs is None:
        return None
    return SecondObjective(name, {(each.backbone, each.formulation): each.named(name) for each in costs.networks})


@dataclass(frozen=True)
class Engine:
    """Optuna's side proposes, ASHA stops."""

    searcher: StudySearcher
    scheduler: RungScheduler


def build_engine(
    space: Space,
    study: SettledStudy,
    run: SearchRun,
    folder: RunFolder,
    earlier: Sequence[TrialHistory] = (),
    networks: Mapping[str, float] | None = None,
    clock: Clock | None = None,
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
        clock: Of the time budget; None where nothing is trained again at its end.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    second = second_of(run)
    repeats = None if clock is None or not run.own_seeds else _repeats(clock, study, run)
    searcher = build_searcher(
        space.suggest,
        metric=METRIC,
        mode=MODE,
        max_epochs=run.task.epochs,
        seed=study.seed,
        points=run.points,
        storage=folder.study_journal,
        study_name=folder.path.name,
        objective=f"val_{in_words(run.task.metric).replace('-', '_').replace(' ', '_').lower()}",
        costs=EpochCosts(networks or {}) if counts_seconds(run) else None,
        second=second,
        repeats=repeats,
        near=not space.own,  # its default configuration was measured
        patience=PATIENCE if study.goes_on else None,
    )
    scheduler = build_scheduler(
        metric=METRIC,
        mode=MODE,
        max_epochs=run.task.epochs,
        grace_period=study.grace_period,
        reduction_factor=study.reduction_factor,
        spared=spared_trials(run, study) if repeats is None else repeats.spared,
        cost_of=None if second is None else second.cost,
    )
    for trial in earlier:
        values = [getattr(report, METRIC) for report in trial.reports]
        searcher.adopt(
            trial.trial_id,
            vars(trial.config),
            values,
            state=trial.status if trial.status.is_over else TrialStatus.RUNNING,
            reason=trial.reason,
            seconds=[report.seconds if report.trained_share == 1 else 0.0 for report in trial.reports],
            best_epoch=trial.reports[-1].best_epoch if trial.reports else 0,
        )
        scheduler.adopt(trial.trial_id, values, vars(trial.config))
    return Engine(searcher, scheduler)


def _repeats(clock: Clock, study: SettledStudy, run: SearchRun) -> Repeats | None:
    """What trains the best configuration again; None where that may not answer together, or time ends nothing."""
    most = min(MOST_TOGETHER, study.keep)
    if not study.fills_its_budget or study.single or study.cost.are_asked or most < 2:
        return None
    length = run.task.epochs
    return Repeats(
        clock=clock,
        length=length,
        long=long_together(length),
        first_look=study.grace_period,
        slots=study.concurrency,
        most=most,
        spared=set(spared_trials(run, study)),
    )


def counts_seconds(run: SearchRun) -> bool:
    """Whether a search was begun with a time budget, so that seconds are what it has to spend."""
    return run.options.get("time_budget") is not None


def spared_trials(run: SearchRun, study: SettledStudy) -> list[str]:
    """The trials that no rung stops: those that begin at once, if their configurations are known to be good.

    The first is the default configuration, by which a search is measured. What begins beside it has nobody to be
    compared with yet but the default at its first epochs, which says little (docs/recipe.md); together they answer
    better than either. Where score and cost count, it is the first of every network: they are what a front is made of.
    """
    spared = set(range(min(max(1, study.concurrency), MOST_SPARED, len(run.points))))
    if second_objective(run) is not None:
        backbones = [point["backbone"] for point in run.points]
        spared |= {backbones.index(backbone) for backbone in backbones}
    return [f"{number:05d}" for number in sorted(spared)]
