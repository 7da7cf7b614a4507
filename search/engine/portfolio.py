"""Where a search starts: the default, what earlier searches learned, what comes with the project, its space's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from results.records.front import answering
from results.records.record import SearchRun
from results.records.trials import TrialHistory
from search.engine.history import HistoryTrial, append_trials, build_portfolio, load_history
from search.engine.repeats import MOST_TOGETHER
from search.engine.shipped import MOST_SHIPPED, beside, load_shipped, situation_of
from search.study import SettledStudy
from spaces import Space, fixed_settings
from trainables.report import METRIC, MODE, TrialStatus

PORTFOLIO_SIZE = 8
"""Points from earlier searches: measured with 4 and 8 earlier searches (scripts/benchmarks/regret.py)."""


def first_points(space: Space, study: SettledStudy, run: SearchRun) -> tuple[list[dict[str, Any]], str]:
    """The configurations that a search tries first, and where they come from in words.

    At most half of the trials are spent on earlier searches' configurations. One whose backbone this search
    does not have is left out. What comes with the project (`search.engine.shipped`) gives way to what was learned here:
    with each earlier search that has tried more than the default it is one configuration less. The space's own points
    follow where nothing was. Where a time budget has room for no more than what begins at once, or than the trainings
    that the best is to have (`search.engine.repeats`), the default comes twice: two trainings of it are equally good,
    so that they answer better together on any data, which is not known of another beside it. Not so where limits keep
    two of it from answering together. With more room, others are tried first. A search for score and cost tries the
    default's settings on every network first.

    Args:
        space: Narrowed to the backbones of the search.
        study: With the epochs of a trial.
        run: With its pictures.
    """
    own = [asdict(point) for point in space.starting_points]
    searches = [each for each in load_shipped() if each.space == space.name]
    path = study.history_path
    studies = load_history(path, space.name, metric=f"val_{study.metric}") if path is not None else []
    # What was found where a setting was fixed says nothing of it, and the other way round.
    usual = {name: own[0][name] for name in fixed_settings(flips=False, pretrained=False)}
    known = [
        [
            ({**usual, **config, **space.fixed}, values)
            for config, values in earlier
            if config.get("backbone") in space.backbones
        ]
        for earlier in studies
    ]
    size = min(PORTFOLIO_SIZE, max(1, study.trials // 2))
    known = [earlier for earlier in known if any(config != own[0] for config, _ in earlier)]
    learned = [point for point in build_portfolio(known, size, mode=MODE) if point != own[0]]
    expected = beside(own[0], situation_of(run, study.epochs), searches)
    shipped = [point for point in expected if point not in learned]
    shipped = shipped[: max(0, MOST_SHIPPED - len(known))]
    networks = []
    if study.cost.second is not None and not space.own:  # what a front is made of
        more = [name for name in space.backbones if name != own[0]["backbone"]]
        networks = [{**own[0], "backbone": name} for name in more[: study.trials // 2]]
    others = study.rounds > 1 and study.networks_that_fit > MOST_TOGETHER  # have room beside the best's
    twice = study.fills_its_budget and not others and _two_may_answer(run, study, own[0])
    again = own[:1] if twice else []
    rest = [] if learned else [point for point in own[1:] if point not in shipped]
    words = [
        "the same from another seed" if again else "",
        _counted(len(networks), "more network", "with its settings"),
        _counted(len(learned), "configuration", f"from {_counted(len(known), 'earlier search', '', 'es')}"),
        _counted(len(shipped), "configuration", f"that did well beside it in {len(searches)} measured searches"),
        _counted(len(rest), "starting point", "of the space"),
    ]
    points = [*own[:1], *again, *networks]
    points += [point for point in (*learned, *shipped, *rest) if point not in points]
    return points, ", ".join(["the default", *filter(None, words)])


def _two_may_answer(run: SearchRun, study: SettledStudy, config: Mapping[str, Any]) -> bool:
    """Whether two trainings of a configuration may answer together: within limits, if there are any."""
    if study.single or study.cost.second is not None:
        return False
    costs = answering(run)
    cost = None if costs is None else costs.of(config)
    most = {"ms": study.cost.max_ms, "parameters": study.cost.most_parameters}
    return cost is None or all(limit is None or 2 * cost.named(name) <= limit for name, limit in most.items())


def _counted(number: int, name: str, words: str, plural: str = "s") -> str:
    return f"{number} {name}{plural * (number > 1)} {words}".strip() if number else ""


def remember(run: SearchRun, trials: Sequence[TrialHistory], study: SettledStudy) -> int:
    """Adds the trials that have ended to the history, once each; returns how many were new.

    So it does those that the end of the search has cut short, behind the epoch in which ASHA first looks at them.
    """
    path = study.history_path
    if path is None:
        return 0
    fixed = fixed_settings(flips=study.flips, pretrained=bool(run.task.weights))
    return append_trials(
        path,
        [
            HistoryTrial(
                study=f"{run.name}@{run.started}",
                space=run.space,
                config={name: value for name, value in vars(trial.config).items() if name not in fixed},
                values=[getattr(report, METRIC) for report in trial.reports],
                state=trial.status,
                metric=f"val_{run.task.metric}",
                mode=MODE,
                epochs=run.task.epochs,
                seconds=sum(report.seconds for report in trial.reports),
                data={
                    "num_classes": len(run.task.classes),
                    "num_images": run.data["pictures"],
                    "imbalance": run.data["imbalance"],
                    "image_size": run.task.image_size,
                    "split_hash": run.split_hash,
                    "split": run.options.get("split_by"),
                },
            )
            for trial in trials
            if trial.status.is_over
            or (trial.status == TrialStatus.INTERRUPTED and len(trial.reports) >= study.grace_period)
        ],
    )
