"""Pictures of an exploration: classes, groups, sizes, embeddings, flattery and pairs of duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from results.pages.sheets import picture_sheet
from results.statistics.exploration import FEW_GROUPS, ClassFacts, Exploration
from results.statistics.probe import Flattery

BLUE, RED, GREY = "#3b6fb6", "#c8553d", "#c4c4c4"
MOST_BARS = 40
MOST_COLOURED = 10
"""Categories with a colour of their own: as many as tab10 has."""
MOST_PAIRS = 12


def classes_figure(classes: Sequence[ClassFacts], has_groups: bool) -> Figure:
    """Pictures, and groups, of each class; the largest first."""
    shown = list(classes[:MOST_BARS])
    names = [_short(kind.name) for kind in shown]
    columns = 2 if has_groups else 1
    figure = Figure(figsize=(4.6 * columns + 1, max(2.4, 0.9 + 0.24 * len(shown))), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, columns, sharey=True))
    left = panels[0]
    _bars(left, names, [kind.pictures for kind in shown], [BLUE] * len(shown))
    left.set_xlabel("pictures")
    if has_groups:
        colours = [RED if kind.groups < FEW_GROUPS else BLUE for kind in shown]
        _bars(panels[1], names, [kind.groups for kind in shown], colours)
        panels[1].set_xlabel(f"groups (red: fewer than {FEW_GROUPS})")
    more = f", the {MOST_BARS} largest of {len(classes)}" if len(classes) > MOST_BARS else ""
    imbalance = classes[0].pictures / classes[-1].pictures
    figure.suptitle(f"Classes{more}; imbalance {imbalance:.1f}", fontsize=10)
    return figure


def groups_figure(found: Exploration) -> Figure:
    """How many groups are how large, and of how many classes a group has pictures."""
    sizes = np.array([group.pictures for group in found.groups])
    kinds = np.array([group.classes for group in found.groups])
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    wide = sizes.max() > 20 * max(1, np.median(sizes))
    low, high = max(1, sizes.min()), sizes.max() + 1
    if wide:
        bins = np.unique(np.geomspace(low, high, 25).round())
        first.set_xscale("log")
        first.xaxis.set_major_formatter(ScalarFormatter())
    else:
        step = -(-(high - low) // 30)
        bins = np.arange(low - 0.5, high + step, step)
    first.hist(sizes, bins=bins, color=BLUE, edgecolor="white", linewidth=0.4)
    first.set_xlabel("pictures in a group" + (" (log scale)" if wide else ""))
    first.set_ylabel("groups")
    if not wide:
        first.xaxis.set_major_locator(MaxNLocator(integer=True))
        first.set_xlim(0, bins[-1] + 0.5)
    second.hist(kinds, bins=np.arange(0.5, kinds.max() + 1.5), color=BLUE, edgecolor="white", linewidth=0.4)
    second.set_xlabel("classes in a group")
    second.xaxis.set_major_locator(MaxNLocator(integer=True))
    largest = found.groups[:MOST_COLOURED]
    _bars(third, [_short(group.name, 16) for group in largest], [group.pictures for group in largest])
    third.set_xlabel("pictures in the largest groups")
    return figure


def sizes_figure(sizes: Sequence[tuple[int, int]], image_size: int) -> Figure:
    """Width against height, a dot a size, and how wide pictures are for their height."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    counts = Counter(sizes)
    points = np.array(list(counts))
    numbers = np.array(list(counts.values()))
    area = 12 + 250 * numbers / numbers.max()
    left.scatter(points[:, 0], points[:, 1], s=area, color=BLUE, alpha=0.45, linewidths=0)
    left.plot([image_size], [image_size], marker="s", color=RED, linestyle="none", markersize=6)
    place = {"xytext": (8, -1), "textcoords": "offset points", "va": "center"}
    left.annotate(f"--image-size {image_size}", (image_size, image_size), color=RED, fontsize=8, **place)
    largest = 1.08 * max(points.max(), image_size)
    left.plot([0, largest], [0, largest], color=GREY, linewidth=0.8, zorder=0)
    left.set(xlim=(0, largest), ylim=(0, largest), xlabel="width in pixels", ylabel="height in pixels")
    left.set_aspect("equal")
    left.set_title("all of one size" if len(counts) == 1 else f"{len(counts):,} sizes; area: pictures", fontsize=9)
    ratios = np.log2([width / height for width, height in sizes])
    reach = max(1.0, float(np.abs(ratios).max()) * 1.05)
    right.hist(ratios, bins=np.linspace(-reach, reach, 42), color=BLUE)
    marks = [(np.log2(value), name) for value, name in RATIOS if abs(np.log2(value)) <= reach]
    right.set_xticks([place for place, _ in marks], [name for _, name in marks])
    right.set(xlabel="width : height", ylabel="pictures")
    right.set_title("shape", fontsize=9)
    return figure


RATIOS = ((1 / 4, "1:4"), (1 / 2, "1:2"), (3 / 4, "3:4"), (1, "1:1"), (4 / 3, "4:3"), (2, "2:1"), (4, "4:1"))


@dataclass(frozen=True)
class Map:
    """Pictures placed in the plane."""

    positions: np.ndarray
    """`(pictures, 2)`."""
    labels: Sequence[str]
    groups: Sequence[str] | None


def embedding_figure(places: Map, title: str) -> Figure:
    """The same map coloured by class and by group."""
    panels = [("class", places.labels)] + ([("group", places.groups)] if places.groups is not None else [])
    figure = Figure(figsize=(6.6 * len(panels), 5.2), layout="constrained")
    for axes, (what, names) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        _dots(axes, places.positions, names, what)
    figure.suptitle(title, fontsize=10)
    return figure


def flattery_figure(flattery: Flattery) -> Figure:
    """The probe's score by group and by picture, a line a seed."""
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.subplots()
    for pair in zip(flattery.by_group, flattery.by_picture, strict=True):
        axes.plot([0, 1], pair, color=BLUE, alpha=0.6, marker="o", markersize=5)
    axes.set_xticks([0, 1], ["by group", "by picture"])
    axes.set(xlim=(-0.4, 1.4), ylabel="macro-F1 of a linear probe")
    gap = flattery.gap
    axes.set_title(
        f"By picture minus by group: {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]\n"
        f"95% t interval over {len(flattery.by_group)} seeds of the split",
        fontsize=9,
    )
    axes.grid(axis="y", alpha=0.3)
    return figure


def pairs_figure(pairs: Sequence[tuple[str, str, str, str]], title: str) -> Figure:
    """Pairs of pictures side by side, two pairs a row.

    Args:
        pairs: File and caption of the first picture, and of the second.
        title: A line above them.
    """
    cells = []
    for number, (first, above, second, below) in enumerate(pairs[:MOST_PAIRS], start=1):
        cells += [(first, f"{number}a  {above}"), (second, f"{number}b  {below}")]
    more = f" (the first {MOST_PAIRS} of {len(pairs)})" if len(pairs) > MOST_PAIRS else ""
    return picture_sheet([cells[start : start + 4] for start in range(0, len(cells), 4)], title + more)


def _bars(axes: Axes, names: Sequence[str], values: Sequence[int], colours: Sequence[str] | str = BLUE) -> None:
    places = np.arange(len(names))
    axes.barh(places, values, color=colours, height=0.72)
    axes.set_yticks(places, names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.14 * max(values))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for place, value in zip(places, values, strict=True):
        axes.text(value, float(place), f" {value:,}", va="center", fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _dots(axes: Axes, positions: np.ndarray, names: Sequence[str], what: str) -> None:
    counts = Counter(names)
    tab20 = len(counts) > MOST_COLOURED and what == "class"
    most = 20 if tab20 else MOST_COLOURED
    colours = [colormaps["tab20" if tab20 else "tab10"](number) for number in range(most)]
    values = np.asarray(names)
    largest = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]]
    others = ~np.isin(values, largest)
    size = float(np.clip(9000 / len(values), 5, 26))
    if others.any():
        left = len(counts) - len(largest)
        axes.scatter(
            positions[others, 0], positions[others, 1], s=size, color=GREY, linewidths=0, label=f"{left:,} others"
        )
    for name, colour in zip(largest, colours, strict=False):
        chosen = values == name
        axes.scatter(
            positions[chosen, 0],
            positions[chosen, 1],
            s=size,
            color=colour,
            alpha=0.8,
            linewidths=0,
            label=_short(name),
        )
    axes.set_title(f"by {what}" + (f" (the {most} largest coloured)" if others.any() else ""), fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, markerscale=2)


def _short(name: str, most: int = 28) -> str:
    """A name that fits beside an axis, and with no dollar sign to be taken for mathematics."""
    text = name.encode(errors="backslashreplace").decode().replace("$", r"\$")
    return text if len(text) <= most else f"{text[: most - 1]}…"
