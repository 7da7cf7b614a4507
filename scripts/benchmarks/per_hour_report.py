"""What `per_hour.py` measured: table, what it comes to over all data sets, and figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

from matplotlib.figure import Figure

from results.pages.markdown import render_markdown_table
from results.statistics.probe import t_interval
from trainables.machine.hardware import hardware_in_words

MOST_ACROSS = 3
"""Panels beside each other, to be read at the width of a page."""
Row = dict[str, Any]
"""One data set, budget and seed, as the benchmark's JSON has it."""


def render(numbers: Sequence[Row]) -> str:
    """The numbers as Markdown: one row a data set and budget, the differences paired by seed; then over all of them."""
    rows = []
    for data, minutes in sorted({(row["data"], row["minutes"]) for row in numbers}):
        chosen = [row for row in numbers if (row["data"], row["minutes"]) == (data, minutes)]
        rows.append(
            (
                data,
                f"{minutes:g}",
                str(len(chosen)),
                f"{mean(row['alone']['f1'] for row in chosen):.3f}",
                _mean_of("plain", chosen),
                _mean_of("autogluon", chosen),
                f"{mean(row['search']['f1'] for row in chosen):.3f}",
                _difference(chosen, "f1"),
                _difference(chosen, "two_views"),
                f"{mean(row['alone']['epochs'] for row in chosen):.0f}",
                f"{mean(row['search']['epochs'] for row in chosen):.0f}",
                ", ".join(str(row["search"]["networks"]) for row in chosen),
            )
        )
    head = (
        *("data", "minutes", "seeds", "default alone", "plain script", "AutoGluon", "search", "search - alone [95%]"),
        "search - alone with two views [95%]",
        *("epochs alone", "epochs of the search", "networks in the model"),
    )
    table = render_markdown_table(head, rows)
    parts = (f"{hardware_in_words()}. Macro-F1 on the test side.", table, _over_all(numbers))
    return "\n\n".join(filter(None, parts)) + "\n"


def _over_all(numbers: Sequence[Row]) -> str:
    """The mean difference of each budget over several data sets; seeds of one set share pictures, so n says both."""
    words = []
    for minutes in sorted({row["minutes"] for row in numbers}):
        rows = [row for row in numbers if row["minutes"] == minutes]
        sets = len({row["data"] for row in rows})
        if sets > 1:
            others = {"plain script": "plain", "AutoGluon": "autogluon"}
            more = [
                f", search - {name} {found}" for name, arm in others.items() if (found := _difference(rows, "f1", arm))
            ]
            words.append(
                f"{minutes:g} minutes, {len(rows)} searches of {sets} data sets: search - alone "
                f"{_difference(rows, 'f1')}, with two views {_difference(rows, 'two_views')}{''.join(more)}."
            )
    return "  \n".join(words)


def draw(numbers: Sequence[Row]) -> Figure:
    """A panel a data set: the default alone over minutes as a line of each seed, the searches as points on it."""
    sets = sorted({row["data"] for row in numbers})
    across = min(len(sets), MOST_ACROSS)
    down = math.ceil(len(sets) / across)
    figure = Figure(figsize=(1 + 3.6 * across, 3.4 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for unused in panels[len(sets) :]:
        unused.remove()
    for axes, data in zip(panels, sets, strict=False):
        rows = [row for row in numbers if row["data"] == data]
        for number, seed in enumerate(sorted({row["seed"] for row in rows})):
            own = sorted((row for row in rows if row["seed"] == seed), key=lambda row: row["minutes"])
            colour = f"C{number}"
            last = own[-1]
            curve = [*last["alone"].get("curve", []), [60 * last["minutes"], last["alone"]["f1"]]]
            minutes, scores = zip(*((seconds / 60, score) for seconds, score in curve), strict=True)
            axes.step(minutes, scores, where="post", color=colour, linewidth=1.2, label=f"default alone, seed {seed}")
            searched = [(row["minutes"], row["search"]["f1"]) for row in own]
            axes.plot(*zip(*searched, strict=True), "o", color=colour, label=f"search, seed {seed}")
        axes.set(title=data, xlabel="minutes", xlim=(0, None), ylim=_limits(rows))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, loc="lower right")
    for axes in panels[: len(sets) : across]:
        axes.set_ylabel("macro-F1 on test")
    return figure


def _limits(rows: Iterable[Row]) -> tuple[float, float]:
    """From a little below what is compared to a little above: how a training begins is not of interest."""
    scores = [row[arm]["f1"] for row in rows for arm in ("alone", "search")]
    return min(scores) - 0.12, max(scores) + 0.02


def _mean_of(arm: str, rows: Sequence[Row]) -> str:
    """The mean score of an arm that not every row has."""
    scores = [row[arm]["f1"] for row in rows if arm in row]
    return f"{mean(scores):.3f}" if scores else ""


def _difference(rows: Sequence[Row], score: str, arm: str = "alone") -> str:
    """Search less another arm, by one of its scores: the mean, and Student's interval of more than one."""
    values = [row["search"]["f1"] - row[arm][score] for row in rows if score in row.get(arm, {})]
    if len(values) < 2:
        return "".join(f"{value:+.3f}" for value in values)
    found = t_interval(values)
    return f"{mean(values):+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
