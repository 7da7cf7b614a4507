"""The figures of a run's report: each a piece of HTML that needs plotly.js on its page, or the reason there is none.

They are legible on light and on dark paper alike; the page's style colours their texts. plotly is heavy, so it is
imported when a figure is drawn.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from results.records.trials import TrialHistory
from trainables.report import METRIC, TrialStatus

if TYPE_CHECKING:
    import plotly.graph_objects

NOT_ENDED = "not ended"
"""What a trial is called that runs or was interrupted."""
COLOURS: dict[str, str] = {
    TrialStatus.FINISHED: "#1f8a63",
    TrialStatus.STOPPED: "#b9700f",
    TrialStatus.FAILED: "#d04a3b",
    NOT_ENDED: "#7f8c9b",
}
"""State of a trial to the colour of its curve and of its badge, whose text is white."""
WINNER = "#3d74d6"
"""Colour of the best trial."""
GRID = "rgba(127, 140, 155, .28)"
FROM_GREY_TO_BLUE = ((0.0, "#a9b2bc"), (0.5, "#7f95bd"), (1.0, "#2563d9"))
"""Of values from low to high, each of which stands out on white and on black."""
SCORE = "macro-F1"
"""How figures call the metric."""


@dataclass(frozen=True, kw_only=True)
class ReportFigure:
    """A figure with its words."""

    title: str
    """What it shows."""
    words: str
    """How to read it; without a figure, why there is none."""
    html: str = ""
    """The figure, already escaped; empty if there is none."""
    min_width: int = 0
    """Pixels below which it can no longer be read, so that its box scrolls."""


def plotly_js() -> str:
    """The library that the figures need, to be put into the page once."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def curves_figure(trials: Sequence[TrialHistory], winner: str | None, metric: str = SCORE) -> ReportFigure:
    """Macro-F1 of all trials over epochs: one line a trial, one trace a state, so that 1,000 trials are few traces."""
    import plotly.graph_objects as go

    title = "Curves of all trials"
    with_reports = [trial for trial in trials if trial.reports]
    if not with_reports:
        return ReportFigure(title=title, words="No trial has trained an epoch, so there is no curve.")
    figure = go.Figure()
    for state, colour in COLOURS.items():
        group = [trial for trial in with_reports if state_of(trial) == state]
        if not group:
            continue
        x: list[int | None] = []
        y: list[float | None] = []
        names: list[str] = []
        for trial in group:
            x += [*(report.epoch for report in trial.reports), None]
            y += [*(_finite(report.val_score) for report in trial.reports), None]
            names += [_short_name(trial)] * (len(trial.reports) + 1)
        line = {"color": colour, "width": 1.2}
        template = f"%{{text}}<br>epoch %{{x}}: %{{y:.4f}}<extra>{state}</extra>"
        label, symbol = f"{state} ({len(group)})", "x" if state == TrialStatus.FAILED else "circle"
        figure.add_scatter(
            x=x, y=y, text=names, mode="lines", line=line, opacity=0.55, legendgroup=state, name=label,
            hovertemplate=template,
        )  # fmt: skip
        ends = [(trial, report) for trial in group if (report := _last_scored(trial)) is not None]
        figure.add_scatter(
            x=[report.epoch for _, report in ends],
            y=[report.val_score for _, report in ends],
            text=[_full_name(trial) for trial, _ in ends],
            mode="markers", marker={"color": colour, "size": 7, "symbol": symbol},
            legendgroup=state, showlegend=False, hovertemplate=template,
        )  # fmt: skip
    best = next((trial for trial in with_reports if trial.trial_id == winner), None)
    if best is not None and best.best is not None:
        figure.add_scatter(
            x=[report.epoch for report in best.reports],
            y=[_finite(report.val_score) for report in best.reports],
            mode="lines", line={"color": WINNER, "width": 3}, name="the best trial", text=_short_name(best),
            hovertemplate="%{text}<br>epoch %{x}: %{y:.4f}<extra>best</extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=[best.best.epoch], y=[best.best.val_score], mode="markers", showlegend=False, text=[_full_name(best)],
            marker={"color": WINNER, "size": 15, "symbol": "star"},
            hovertemplate="%{text}<br>epoch %{x}: %{y:.4f}<extra>best</extra>",
        )  # fmt: skip
    most = max(trial.reports[-1].epoch for trial in with_reports)
    figure.update_xaxes(title="epoch", rangemode="tozero", tickformat="d", **({"dtick": 1} if most <= 12 else {}))
    figure.update_yaxes(title=f"validation {metric}", rangemode="tozero")
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}, hovermode="closest")
    return ReportFigure(
        title=title,
        words="Each line is a trial, coloured by how it ended, and its dot is its last epoch: an orange dot is where "
        "ASHA stopped it. The star is the best epoch of all. Point at a dot for the whole configuration; click a name "
        "in the legend to hide its curves, drag to zoom in, double-click to zoom out.",
        html=figure_html(figure, "curves", height=460),
    )


def figure_html(figure: plotly.graph_objects.Figure, div_id: str, *, height: int) -> str:
    """A figure as a piece of HTML that needs plotly.js on its page."""
    import plotly.io

    font = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13}
    margin = {"l": 60, "r": 20, "t": 40, "b": 50}
    figure.update_layout(template="plotly_white", title=None, font=font, margin=margin)
    figure.update_layout(paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", legend_bgcolor="rgba(0,0,0,0)")
    figure.update_layout(hoverlabel={"bgcolor": "#ffffff", "bordercolor": "#7f8c9b", "font": {"color": "#1d2733"}})
    figure.update_xaxes(gridcolor=GRID, zerolinecolor=GRID, linecolor=GRID)
    figure.update_yaxes(gridcolor=GRID, zerolinecolor=GRID, linecolor=GRID)
    figure.update_layout(width=None, height=height, autosize=True)
    text: str = plotly.io.to_html(
        figure,
        config={"responsive": True, "displayModeBar": False},
        include_plotlyjs=False,
        full_html=False,
        div_id=div_id,
        default_height=f"{height}px",
    )
    return text


def state_of(trial: TrialHistory) -> str:
    """How a trial ended, as a key of `COLOURS`."""
    return trial.status if trial.status.is_over else NOT_ENDED


def _last_scored(trial: TrialHistory) -> Any:
    return next((report for report in reversed(trial.reports) if math.isfinite(getattr(report, METRIC))), None)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _short_name(trial: TrialHistory) -> str:
    config = trial.config
    return html.escape(f"{trial.trial_id}, {config.backbone}, lr {config.lr:.2g}, dropout {config.dropout:.2g}")


def _full_name(trial: TrialHistory) -> str:
    words = (f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in
             asdict(trial.config).items())  # fmt: skip
    return "<br>".join(map(html.escape, (f"trial {trial.trial_id}", *words)))
