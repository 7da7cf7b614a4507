"""The card of a run's page with the Pareto front of score and cost, while it is searched and afterwards."""

from __future__ import annotations

import math
from typing import Any

from nicegui import ui

from results.records.front import FrontPoint, ms_in_words, named, on_front, points_of, second_objective, short_count
from search.service.frame import PLAIN, chart_options, sheet
from search.service.run_view import RunView
from trainables.report import TrialStatus

FRONT, OTHER = "#2f6fd0", "#7f8c9b"
COLUMNS = {"trial": "trial", "network": "network", "score": "score", "ms": "one picture", "size": "parameters"}


class FrontCard:
    """Out of sight for a search that looks for the score alone."""

    def __init__(self) -> None:
        """Draws it empty."""
        with sheet("Score against cost", "The front: no trial that is as cheap scores higher.") as self._sheet:
            self._chart = ui.echart({}).style("height: 280px")
            columns: list[dict[str, Any]] = [
                {"name": key, "label": label, "field": key, "align": "left" if key in ("trial", "network") else "right"}
                for key, label in COLUMNS.items()
            ]
            self._table = ui.table(rows=[], columns=columns, row_key="trial").props(PLAIN).classes("w-full")
        self._sheet.set_visibility(False)

    def show(self, view: RunView) -> None:
        """Draws the front as it stands now."""
        points = points_of(
            view.run,
            (
                (trial.trial_id, trial.config, trial.best)
                for trial in view.trials.values()
                if trial.state != TrialStatus.FAILED and math.isfinite(trial.best)
            ),
        )
        front, second = on_front(view.run, points), second_objective(view.run)
        self._sheet.set_visibility(bool(front))
        if not front or second is None:
            return
        self._chart.options.clear()
        self._chart.options.update(front_options(front, points, second))
        self._chart.update()
        self._table.rows = [
            {
                "trial": point.trial_id,
                "network": named(point),
                "score": f"{point.val_score:.4f}",
                "ms": ms_in_words(point),
                "size": short_count(point.parameters),
            }
            for point in front
        ]
        self._table.update()


def front_options(front: list[FrontPoint], points: list[FrontPoint], second: str) -> dict[str, Any]:
    """Score over cost as ECharts wants it: every trial a dot, the front a staircase."""

    def at(point: FrontPoint) -> dict[str, Any]:
        name = f"{point.trial_id} {named(point)}, {ms_in_words(point)}, {short_count(point.parameters)} parameters"
        return {"value": [point.cost(second), round(point.val_score, 4)], "name": name}

    stairs = {"type": "line", "step": "end", "symbolSize": 10, "lineStyle": {"width": 2}}
    return chart_options(
        xAxis={"name": "ms of one picture" if second == "ms" else "parameters", "minInterval": 0},
        series=[
            {"type": "scatter", "name": "trials", "symbolSize": 7, "color": OTHER, "data": [at(p) for p in points]},
            {**stairs, "name": "front", "color": FRONT, "data": [at(point) for point in front]},
        ],
        tooltip={"trigger": "item", "formatter": "{b}: {c}"},
    )
