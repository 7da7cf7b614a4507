"""The page of a study: what was asked, what came out in words, tables, and how it was made; and its figure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from results.pages.markdown import render_markdown_table
from results.statistics.bootstrap import Interval
from results.statistics.comparison import Compared, in_words

COLOUR = "#1b6ca8"
UNSURE = "#7f8c9b"
"""Of a difference that cannot be told from none."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A study that was done."""

    title: str
    question: str
    reported: str
    """What was known of it before."""
    command: str
    """That made it."""
    figure: str
    """Name of the figure's file, beside the page."""
    tables: Mapping[str, Sequence[Compared]]
    """Measure, as a heading, to its comparison; the first is what the answer is about."""
    epochs: Mapping[str, int]
    """Of each arm."""
    seconds: Mapping[str, float]
    """Of a training, mean over the seeds."""
    speeds: Mapping[str, float]
    """Images a second by which the epochs were chosen; empty where all arms have the same."""
    failures: Mapping[str, Sequence[str]]
    """Arm to why trainings of it failed."""
    settings: Mapping[str, Mapping[str, Any]]
    """Arm to what it sets."""
    seeds: Sequence[int]
    facts: Mapping[str, str]
    """Data, network, hardware, commit."""
    units: str
    """What a repeat holds out: people, or pictures where the data do not tell who is in them."""
    place: str
    """Stands for the place of the data, to tell two of one name apart."""
    note: str
    """What must be said before any number; empty if nothing."""
    held_out_share: float
    """Of the pictures, in each repeat."""
    trained_share: float
    """Of the pictures, those that an arm trains on."""


def render(page: Page) -> str:
    """The page in Markdown."""
    (headline, rows), *others = page.tables.items()
    lines = [f"# {page.title}", "", page.question, "", f"What was reported: {page.reported}", ""]
    if page.note:
        lines += [f"**Mind:** {page.note}.", ""]
    lines += [f"**What came out** ({headline}): {in_words(rows)}", ""]
    lines += [f"![{headline} of each arm, and its difference to the first]({page.figure})", ""]
    lines += [_table(headline, rows, page), ""]
    for name, found in others:
        lines += [f"## {name[0].upper()}{name[1:]}", "", in_words(found), "", _table(name, found, page), ""]
    lines += [f"* {arm} has no scores: {'; '.join(reasons)}" for arm, reasons in page.failures.items()]
    lines += ["## How", "", *_how(page), "", "Scores by seed, and what the arms set:", "", _by_seed(rows, page), ""]
    lines += [f"<!-- macrotune:data:{page.place} -->", ""]
    return "\n".join(lines)


def is_page_of(text: str, place: str, source: str) -> bool:
    """Whether a page is of the data at a place; one of before places were noted, of data that are called so.

    Args:
        text: The page.
        place: As `Page.place`.
        source: What the data are called, with which the page's line about them begins.
    """
    noted = re.search(r"^<!-- macrotune:data:(.*) -->$", text, re.MULTILINE)
    return noted[1] == place if noted else f"\n* Data: {source}: " in text


def draw(page: Page) -> Figure:
    """The first measure: each arm with its seeds and interval, and its difference to the first arm."""
    rows = list(next(iter(page.tables.values())))
    figure = Figure(figsize=(8, 1.7 + 0.34 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for place, row in enumerate(rows):
        left.plot(row.scores, [place] * len(row.scores), "o", color=UNSURE, alpha=0.6, markersize=4)
        _bar(left, place, row.mean, COLOUR)
        if row.difference is not None:
            _bar(right, place, row.difference, UNSURE if row.verdict.startswith("not") else COLOUR)
    left.set_yticks(range(len(rows)), [row.arm for row in rows], fontsize=8)
    left.set_ylim(len(rows) - 0.5, -0.5)
    right.axvline(0, color="black", linewidth=0.8)
    left.set_xlabel(f"{next(iter(page.tables))}\ndots: seeds; mean and 95% interval", fontsize=8)
    right.set_xlabel(f"minus {rows[0].arm}, within a seed\nblue: told apart", fontsize=8)
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
        axes.tick_params(axis="x", labelsize=8)
    figure.suptitle(f"{page.title}, n = {len(page.seeds)} seeds", fontsize=10)
    return figure


def _bar(axes: Any, place: int, interval: Interval, colour: str) -> None:
    if math.isfinite(interval.value):
        ends = [[interval.value - interval.low], [interval.high - interval.value]]
        axes.errorbar(
            [interval.value], [place], xerr=np.nan_to_num(ends), fmt="D", color=colour, capsize=3, markersize=5
        )


def _table(name: str, rows: Sequence[Compared], page: Page) -> str:
    first = rows[0].arm
    head = ["arm", "epochs", "seconds a training", f"{name} [95%]", f"minus {first} [95%]", "verdict"]
    cells = [
        (
            row.arm,
            str(page.epochs[row.arm]),
            f"{page.seconds[row.arm]:.0f}" if row.arm in page.seconds else "–",
            str(row.mean) if row.scores else "failed, see below",
            "–" if row.difference is None else str(row.difference),
            row.verdict or "–",
        )
        for row in rows
    ]
    return render_markdown_table(head, cells)


def _how(page: Page) -> list[str]:
    several = len(next(iter(page.tables.values()))) > 2
    holm = ", with Holm's correction over the arms of a table" if several else ""
    lines = [
        f"* Command: `{page.command}`",
        *(f"* {name}: {value}" for name, value in page.facts.items()),
        f"* n = {len(page.seeds)} repeats, seeds {page.seeds[0]} to {page.seeds[-1]}. Each holds out other "
        f"{page.units} ({page.held_out_share:.0%} of all pictures), trains every arm on {page.trained_share:.0%} from "
        f"the same seed, and scores the network of the last epoch on the {page.units} held out; nothing was picked by "
        "these scores.",
        f"* Intervals: corrected resampled t (Nadeau & Bengio 2003), which allows for repeats that share {page.units}. "
        f"Differences are taken within a repeat; a verdict takes p < .05{holm}.",
    ]
    if page.speeds:
        speeds = ", ".join(f"{arm} {speed:.0f}" for arm, speed in page.speeds.items())
        lines.append(
            f"* Epochs were chosen so that each arm trains as long as the first, from images/s measured "
            f"here: {speeds}. Whole epochs only, and other work on the machine: the seconds in the table are what it "
            "came to."
        )
    return lines


def _by_seed(rows: Sequence[Compared], page: Page) -> str:
    head = ["arm", "sets", *(f"seed {seed}" for seed in page.seeds)]
    lines = []
    for row in rows:
        sets = ", ".join(f"{name} {value}" for name, value in page.settings[row.arm].items()) or "the default"
        scores = [f"{score:.4f}" for score in row.scores] or ["–"] * len(page.seeds)
        lines.append([row.arm, sets, *scores])
    return render_markdown_table(head, lines)
