"""The report's section on score against cost: the Pareto front, and what every network costs to answer."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from results.pages.cells import three
from results.records.answers import load_answers
from results.records.found import load_found
from results.records.front import (
    FrontPoint,
    answering,
    ms_in_words,
    named,
    on_front,
    priced,
    second_objective,
    short_count,
)
from results.records.record import SearchRun
from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory
from results.statistics.bootstrap import Interval, score_interval
from results.statistics.measure import Measure
from trainables.errors import UserError
from trainables.metric_names import in_words
from trainables.strict_json import RecordError

AXES = {"ms": "milliseconds of one picture", "parameters": "parameters"}
FRONT, OTHER, SPREAD = "#1f3b73", "#9aa7b5", "#d98a1f"


def front_section(run: SearchRun, trials: Sequence[TrialHistory], folder: RunFolder) -> dict[str, Any]:
    """What `front.html.j2` shows; nothing for a search that did not ask what its networks cost."""
    costs = answering(run)
    if costs is None:
        return {"answering": None}
    points, second = priced(run, trials), second_objective(run)
    front, metric = on_front(run, points), in_words(run.task.metric)
    limits = [
        words
        for name, flag in (("max_ms", "--max-ms"), ("max_parameters", "--max-parameters"))
        if (words := "" if run.options.get(name) is None else f"{flag} {run.options[name]}")
    ]
    return {
        "answering": {
            "words": _words(costs.where, limits, second, len(front), len(points), _chosen_among(folder)),
            "metric": metric,
            "figure": _figure(front, points, second, metric) if front and second else "",
            "front": _rows(front, _intervals(front, trials, run, folder)),
            "networks": [
                (
                    cost.backbone if cost.formulation == "joint" else f"{cost.backbone} as {cost.formulation}",
                    ms_in_words(cost),
                    short_count(cost.parameters),
                )
                for cost in sorted(costs.networks, key=lambda cost: cost.ms)
            ],
        }
    }


def _words(
    where: str, limits: Sequence[str], second: str | None, num_front: int, num_points: int, chosen_among: str
) -> list[str]:
    sentences = [f"One picture at a time, measured before the first trial on {where}."]
    if limits:
        sentences.append(f"Only networks within {' and '.join(limits)} were searched.")
    if second:
        sentences.append(
            f"{num_front} of {num_points} trials with a score are on the front: no trial that is as cheap scores "
            "higher. Where intervals overlap, the more expensive one may be better by chance. Trials were stopped only "
            "in favour of trials that cost no more."
        )
    if chosen_among:
        sentences.append(f"The model of this run was limited to {chosen_among}.")
    return sentences


def _chosen_among(folder: RunFolder) -> str:
    try:
        found = load_found(folder.found_json)
    except (RecordError, OSError):  # another section says so
        return ""
    return "" if found is None else found.chosen_among


def _intervals(
    front: Sequence[FrontPoint], trials: Sequence[TrialHistory], run: SearchRun, folder: RunFolder
) -> Mapping[str, Interval]:
    """The 95% interval over people of each point's score, where its answers were kept."""
    names = {point.trial_id for point in front}
    try:
        answers = load_answers(folder, [trial for trial in trials if trial.trial_id in names], run.task.classes)
    except (UserError, OSError):
        return {}
    labels, groups, classes = answers.labels.tolist(), answers.groups.tolist(), len(run.task.classes)
    found, measure = {}, Measure(run.task.metric)
    for each in answers.trials:
        if each.trial.best is not None:
            chosen = each.chosen[each.trial.best.epoch - 1].tolist()
            counts = measure.by_group(labels, chosen, groups, classes)
            found[each.trial.trial_id] = score_interval(counts, measure.score)
    return found


def _rows(front: Sequence[FrontPoint], intervals: Mapping[str, Interval]) -> list[tuple[str, ...]]:
    """Trial, network, score, interval, milliseconds and parameters of each point."""
    rows: list[tuple[str, ...]] = []
    for point in front:
        interval = intervals.get(point.trial_id)
        ends = "" if interval is None else f"[{three(interval.low)}, {three(interval.high)}]"
        score = f"{point.val_score:.4f}"
        rows.append((point.trial_id, named(point), score, ends, ms_in_words(point), short_count(point.parameters)))
    return rows


def _figure(front: Sequence[FrontPoint], points: Sequence[FrontPoint], second: str, metric: str) -> str:
    """Score over cost: every trial a dot, the front a staircase of what is reached for at most so much."""
    import plotly.graph_objects as go

    from results.pages.report_figures import figure_html

    names = {point.trial_id for point in front}
    figure = go.Figure()

    def add(group: Sequence[FrontPoint], **look: Any) -> None:
        texts = [
            f"{each.trial_id} {named(each)}, {ms_in_words(each)}, {short_count(each.parameters)}" for each in group
        ]
        figure.add_scatter(
            x=[point.cost(second) for point in group],
            y=[point.val_score for point in group],
            customdata=[html.escape(text) for text in texts],
            hovertemplate=f"%{{customdata}} parameters<br>{metric} %{{y:.4f}}<extra></extra>",
            **look,
        )

    add(
        [point for point in points if point.trial_id not in names],
        name="other trials",
        mode="markers",
        marker={"color": OTHER, "size": 7, "opacity": 0.7},
    )
    add(
        front,
        name="front",
        mode="lines+markers+text",
        line={"shape": "hv", "color": FRONT, "width": 2},
        marker={"color": FRONT, "size": 11},
        text=[html.escape(named(point)) for point in front],
        textposition="bottom right",
        **({"error_x": _spread(front)} if second == "ms" else {}),
    )
    figure.update_xaxes(title=AXES[second], rangemode="tozero")
    figure.update_yaxes(title=f"validation {metric}")
    figure.update_layout(legend={"orientation": "h", "y": 1.12})
    return figure_html(figure, "front", height=420)


def _spread(front: Sequence[FrontPoint]) -> dict[str, Any]:
    """The middle eight tenths of the passes as bars."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [point.ms_high - point.ms for point in front],
        "arrayminus": [point.ms - point.ms_low for point in front],
        "color": SPREAD,
        "thickness": 1,
        "width": 4,
    }
