"""The charts of a run as options of ECharts: the best so far, the curves of its trials, the losses of the best."""

from __future__ import annotations

from typing import Any

from search.service.frame import PALETTE, chart_options
from search.service.run_view import RunView, TrialRow
from trainables.report import TrialStatus

BEST, TRAIN, FINISHED, _, FAILED, OTHER = PALETTE
COLOURS = {"finished": FINISHED, "stopped": TRAIN, "failed": FAILED}
"""State of a trial to the colour of its curve."""
POINTS_SHOWN = 400


def best_options(view: RunView) -> dict[str, Any]:
    """The best score over the epochs spent."""
    points = [[epochs, round(score, 4)] for epochs, score in view.best_curve]
    if len(points) > POINTS_SHOWN:  # only where it rises, and its ends
        rises = [index for index in range(1, len(points)) if points[index][1] != points[index - 1][1]]
        points = [points[index] for index in sorted({0, len(points) - 1, *rises})]
    line = {"type": "line", "name": "best so far", "step": "end", "showSymbol": len(points) < 2, "data": points}
    return chart_options(
        xAxis={"name": "epochs spent"}, series=[{**line, "color": BEST}], tooltip={"trigger": "axis"},
        legend={"show": False},
    )  # fmt: skip


def curves_options(view: RunView) -> dict[str, Any]:
    """Validation score of the trials over their epochs, the best on top."""
    series = []
    for trial in view.curves():
        best = trial.trial_id == view.summary.best_trial
        series.append(
            {
                "type": "line",
                "name": f"{trial.trial_id} {trial.config.get('backbone', '')}",
                "data": trial.score_curve(),
                "color": BEST if best else COLOURS.get(str(trial.state), OTHER),
                "symbolSize": 5,
                "lineStyle": {"width": 3 if best else 1, "opacity": 1 if best else 0.6},
                "z": 3 if best else 2,
            }
        )
    stops = [points[-1] for trial in view.curves() if trial.state == TrialStatus.STOPPED and (points := _known(trial))]
    if stops:
        mark = {"type": "scatter", "name": "stopped by ASHA", "data": stops, "color": COLOURS["stopped"], "z": 4}
        series.append({**mark, "symbol": "triangle", "symbolRotate": 180, "symbolSize": 9})
    return chart_options(xAxis={"name": "epoch"}, series=series, legend={"show": False}, tooltip={"trigger": "item"})


def _known(trial: TrialRow) -> list[list[float | None]]:
    return [point for point in trial.score_curve() if point[1] is not None]


def loss_options(view: RunView) -> dict[str, Any]:
    """Train and validation loss of the best trial."""
    series = []
    if view.winner is not None:
        for label, key, colour in (("train", "train_loss", TRAIN), ("validation", "val_loss", BEST)):
            series.append({"type": "line", "name": label, "data": view.winner.curve(key), "color": colour})
    return chart_options(xAxis={"name": "epoch"}, series=series, tooltip={"trigger": "axis"})
