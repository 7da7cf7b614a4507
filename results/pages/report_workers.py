"""The timeline of a run's workers: which trial ran when, and where."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from results.pages.report_figures import COLOURS, NOT_ENDED, ReportFigure, figure_html, state_of
from results.records.cost import duration
from results.records.run_folder import Line, RunFolder
from results.records.trials import PLACED, STARTED, TrialHistory, score_of
from trainables.report import TrialStatus

PAUSE_SECONDS = 60.0
"""A time in which nothing ran is cut out of the axis from this length on."""
NAMED_UP_TO = 150
"""Bars up to which they are tried for having room for a name: it takes the browser a moment each."""
TITLE = "Who ran when"


@dataclass
class Span:
    """A trial in a worker, from its start, or from being taken up again, to its end there."""

    trial_id: str
    begin: datetime
    end: datetime
    node: str = ""
    pid: int = 0
    lane: int = 0
    """Of its node, from 0."""


def spans_of(epochs: Iterable[Line], events: Iterable[Line]) -> list[Span]:
    """When each trial ran, in the order of the starts; one that was interrupted and taken up again has several."""
    lines = sorted([*epochs, *events], key=lambda line: line.time)
    spans: list[Span] = []
    last: dict[str, Span] = {}
    for line in lines:
        event = line.values.get("event")
        if event == STARTED or (line.trial_id not in last and event is None):
            last[line.trial_id] = Span(line.trial_id, line.time, line.time)
            spans.append(last[line.trial_id])
        elif line.trial_id in last:
            span = last[line.trial_id]
            span.end = line.time
            if event == PLACED:
                span.node, span.pid = str(line.values.get("node", "")), int(line.values.get("pid") or 0)
    _place(spans)
    return spans


def _place(spans: Sequence[Span]) -> None:
    """Gives each span a lane of its node: that of its process where it is free, else the first that is."""
    ends: dict[str, list[tuple[datetime, int]]] = {}
    for span in spans:
        lanes = ends.setdefault(span.node, [])
        free = [number for number, (end, _) in enumerate(lanes) if end <= span.begin]
        same = [number for number in free if span.pid and lanes[number][1] == span.pid]
        span.lane = (same or free or [len(lanes)])[0]
        lanes[span.lane : span.lane + 1] = [(span.end, span.pid)]


@dataclass
class Clock:
    """Minutes since the start with the pauses left out."""

    start: datetime
    pauses: list[tuple[float, float]] = field(default_factory=list)
    """Where a pause is on the axis, in seconds, and its length."""
    _cuts: list[tuple[datetime, float]] = field(default_factory=list)

    @classmethod
    def over(cls, start: datetime, spans: Sequence[Span]) -> Clock:
        """Leaves out each long time between the spans in which none ran."""
        clock, until = cls(start), start
        for span in spans:
            gap = (span.begin - until).total_seconds()
            if gap > PAUSE_SECONDS and until > start:
                clock.pauses.append((clock.seconds(until), gap))
                clock._cuts.append((until, gap))
            until = max(until, span.end)
        return clock

    def seconds(self, moment: datetime) -> float:
        """Where a moment is on the axis."""
        cut = sum(gap for at, gap in self._cuts if at < moment)
        return max(0.0, (moment - self.start).total_seconds() - cut)


def workers_figure(folder: RunFolder, trials: Sequence[TrialHistory], started: str) -> ReportFigure:
    """A bar a trial, in the lane of its worker, from the start of the search on."""
    import plotly.graph_objects as go

    spans = spans_of(folder.epochs(), folder.events())
    if not spans:
        return ReportFigure(title=TITLE, words="No trial has begun.")
    clock = Clock.over(min(datetime.fromisoformat(started), spans[0].begin), spans)
    nodes = sorted({span.node for span in spans})
    lanes = [
        _lane(node, number, len(nodes))
        for node in nodes
        for number in range(1 + max(span.lane for span in spans if span.node == node))
    ]
    by_id = {trial.trial_id: trial for trial in trials}
    figure = go.Figure()
    total = max(clock.seconds(span.end) for span in spans)
    unit, per = ("minutes", 60.0) if total < 3 * 3600 else ("hours", 3600.0)
    last = {span.trial_id: span for span in spans}
    for state, colour in {**COLOURS}.items():
        group = [span for span in spans if _state(span, by_id, last) == state]
        if not group:
            continue
        figure.add_bar(
            orientation="h", name=f"{state} ({len(group)})", marker={"color": colour, "line": {"width": 0}},
            y=[_lane(span.node, span.lane, len(nodes)) for span in group],
            base=[clock.seconds(span.begin) / per for span in group],
            x=[max(0.0, clock.seconds(span.end) - clock.seconds(span.begin)) / per for span in group],
            text=[span.trial_id for span in group] if len(spans) <= NAMED_UP_TO else None, textposition="inside",
            insidetextanchor="middle", textangle=0,
            hovertext=[_words(span, by_id.get(span.trial_id)) for span in group], hoverinfo="text", width=0.7,
        )  # fmt: skip
    for at, _ in clock.pauses:
        figure.add_vline(x=at / per, line={"color": "#7f8c9b", "dash": "dot", "width": 1})
    figure.update_layout(barmode="overlay", uniformtext={"minsize": 9, "mode": "hide"}, bargap=0.2)
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    figure.update_xaxes(title=f"{unit} since the search began", rangemode="tozero")
    figure.update_yaxes(categoryorder="array", categoryarray=lanes[::-1], automargin=True, showgrid=False)
    return ReportFigure(
        title=TITLE,
        words=_how_to_read(clock, nodes),
        html=figure_html(figure, "workers", height=130 + 34 * len(lanes)),
    )


def _how_to_read(clock: Clock, nodes: Sequence[str]) -> str:
    words = "A bar is a trial in its worker, from its start to its last word; what is blank before the first is "
    words += "preparation and the start of Ray. Point at a bar for where it ran."
    if clock.pauses:
        gone = duration(sum(length for _, length in clock.pauses))
        words += f" Dotted lines are pauses, {gone} in all, in which nothing ran; they are left out."
    if nodes == [""]:
        words += " The run's logs do not say which process ran what, so bars are put where there is room."
    return words


def _lane(node: str, lane: int, num_nodes: int) -> str:
    return f"{html.escape(node) or 'unknown'}, worker {lane + 1}" if num_nodes > 1 else f"worker {lane + 1}"


def _state(span: Span, by_id: dict[str, TrialHistory], last: dict[str, Span]) -> str:
    """How its trial ended, for its last span; the earlier ones were interrupted."""
    trial = by_id.get(span.trial_id)
    return NOT_ENDED if trial is None or last[span.trial_id] is not span else state_of(trial)


def _words(span: Span, trial: TrialHistory | None) -> str:
    lines = [f"trial {span.trial_id}"]
    if trial is not None:
        lines.append(f"{trial.config.backbone}, {len(trial.reports)} epochs")
        if trial.best is not None:
            lines.append(f"best score {score_of(trial.best):.4f}")
        lines.append(f"{trial.status}: {trial.reason}" if trial.status == TrialStatus.FAILED else str(trial.status))
    lines.append(f"{span.begin:%Y-%m-%d %H:%M:%S} to {span.end:%H:%M:%S}, {duration(_length(span))}")
    if span.node:
        lines.append(f"on {span.node}, process {span.pid}")
    return "<br>".join(map(html.escape, lines))


def _length(span: Span) -> float:
    return (span.end - span.begin).total_seconds()
