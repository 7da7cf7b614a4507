"""Where a search starts: the default, then what earlier searches learned, else the space's own points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from results.records.record import SearchRun
from results.records.trials import TrialHistory
from search.engine.history import HistoryTrial, append_trials, build_portfolio, load_history
from search.study import SettledStudy
from spaces import Space
from trainables.report import METRIC, MODE

PORTFOLIO_SIZE = 8
"""Points from earlier searches: measured with 4 and 8 earlier searches (scripts/benchmarks/regret.py)."""


def first_points(space: Space, study: SettledStudy) -> tuple[list[dict[str, Any]], str]:
    """The configurations that a search tries first, and where they come from in words.

    At most half of the trials are spent on earlier searches' configurations. One whose backbone this search
    does not have is left out.
    """
    own = [asdict(point) for point in space.starting_points]
    path = study.history_path
    studies = load_history(path, space.name, metric=f"val_{study.metric}") if path is not None else []
    known = [
        [(config, values) for config, values in earlier if config.get("backbone") in space.backbones]
        for earlier in studies
    ]
    size = min(PORTFOLIO_SIZE, max(1, study.trials // 2))
    known = [earlier for earlier in known if earlier]
    portfolio = build_portfolio(known, size, mode=MODE)
    if not portfolio:
        return own, f"the {len(own)} starting point{'s' * (len(own) > 1)} of the space"
    searches = "search" if len(known) == 1 else "searches"
    words = f"the default and {len(portfolio)} configurations from {len(known)} earlier {searches}"
    return own[:1] + portfolio, words


def remember(run: SearchRun, trials: Sequence[TrialHistory], study: SettledStudy) -> int:
    """Adds the trials that have ended to the history, once each; returns how many were new."""
    path = study.history_path
    if path is None:
        return 0
    return append_trials(
        path,
        [
            HistoryTrial(
                study=f"{run.name}@{run.started}",
                space=run.space,
                config=asdict(trial.config),
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
        ],
    )
