"""The report of an exploration: Markdown, figures and numbers in one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from results.pages.figures import save_png
from results.pages.markdown import markdown_cell, numbers_to_the_right, render_markdown_table
from results.pages.report_folder import replace_folder
from results.statistics.exploration import FEW_GROUPS, Exploration, Pair, advice, percent
from results.statistics.probe import t_interval

MARKER = "exploration.json"
WHAT = "an exploration"
"""The numbers, and the sign of a folder that may be replaced."""
MOST_ROWS = 40


def save_exploration(out: Path, found: Exploration, figures: Mapping[str, Figure]) -> None:
    """Writes report, figures and numbers; an earlier exploration is replaced once the new one is whole."""
    sizes = {"sizes": len(set(found.sizes)), "median_size": found.median_size()}
    facts = json.loads(json.dumps({**asdict(found), **sizes}))
    with replace_folder(out, MARKER, WHAT, facts) as draft:
        for name, figure in figures.items():
            save_png(figure, draft / f"{name}.png")
        report = render_report(found, {name: f"{name}.png" for name in figures})
        (draft / "report.md").write_text(report, encoding="utf-8")


def render_report(found: Exploration, figures: Mapping[str, str]) -> str:
    """The report as Markdown.

    Args:
        found: What was found out.
        figures: Section (classes, groups, sizes, duplicates, embedding, flattery) to the file of its picture.
    """
    parts = [f"# {found.source}", _summary(found), "## Advice", *[f"- {markdown_cell(line)}" for line in advice(found)]]
    body = "\n".join(parts[3:])
    sections = [*parts[:3], body, *_classes_section(found, figures), *_groups_section(found, figures)]
    sections += ["## Sizes", *_figure(figures, "sizes"), _sizes_line(found)]
    sections += ["## Split", f"As a search would draw it: {found.split}.", f"```\n{found.sides}\n```"]
    sections += _duplicates_section(found, figures)
    sections += [
        "## Embeddings",
        f"Of {found.weights}, at {found.image_size} pixels: principal components, then t-SNE. "
        "Groups that make islands of their own are what a split by picture gives away.",
        *_figure(figures, "embedding"),
    ]
    sections += _flattery_section(found, figures)
    if found.bad:
        sections += ["## Bad pictures", *["\n".join(f"- {markdown_cell(line)}" for line in found.bad)]]
    return "\n\n".join(sections) + "\n"


def _summary(found: Exploration) -> str:
    groups = f"{len(found.groups):,} groups" if found.has_groups else "no groups"
    return f"{found.pictures:,} pictures, {len(found.classes)} classes, {groups}; recognized as a {found.layout}."


def _classes_section(found: Exploration, figures: Mapping[str, str]) -> list[str]:
    rows = [
        (kind.name, f"{kind.pictures:,}", percent(kind.share))
        + ((str(kind.groups), "few groups" if kind.groups < FEW_GROUPS else "") if found.has_groups else ())
        for kind in found.classes[:MOST_ROWS]
    ]
    header = ("class", "pictures", "share", *(("groups", "") if found.has_groups else ()))
    more = [f"and {len(found.classes) - MOST_ROWS} more classes"] if len(found.classes) > MOST_ROWS else []
    return [
        "## Classes",
        f"Imbalance (largest over smallest): {found.imbalance:.1f}.",
        *_figure(figures, "classes"),
        _table(header, rows),
        *more,
    ]


def _groups_section(found: Exploration, figures: Mapping[str, str]) -> list[str]:
    if not found.has_groups:
        return ["## Groups", "The data name none: every picture counts as its own."]
    sizes = [group.pictures for group in found.groups]
    classes = np.mean([group.classes for group in found.groups])
    rows = [(group.name, f"{group.pictures:,}", percent(group.share), str(group.classes)) for group in found.groups]
    return [
        "## Groups",
        f"{len(sizes):,} groups of {min(sizes)} to {max(sizes)} pictures, {np.median(sizes):.0f} in the median; "
        f"one has pictures of {classes:.1f} classes on average. The largest:",
        *_figure(figures, "groups"),
        _table(("group", "pictures", "share", "classes"), rows[:10]),
    ]


def _sizes_line(found: Exploration) -> str:
    width, height = found.median_size()
    num_sizes = len(set(found.sizes))
    formats = ", ".join(f"{name} {count:,}" for name, count in found.formats.items())
    same = f"all {width}x{height}" if num_sizes == 1 else f"{num_sizes:,} different sizes, median {width}x{height}"
    return f"Pixels: {same}. Formats: {formats}."


def _duplicates_section(found: Exploration, figures: Mapping[str, str]) -> list[str]:
    def line(name: str, pairs: Sequence[Pair]) -> tuple[str, ...]:
        exact = sum(pair.exact for pair in pairs)
        return name, str(exact), str(len(pairs) - exact)

    rows = [line("anywhere", found.pairs)]
    if found.has_groups:
        rows.append(line("in different groups", [pair for pair in found.pairs if pair.across_groups]))
    rows.append(line("on different sides of the split", [pair for pair in found.pairs if pair.across_sides]))
    rows.append(line("under different labels", [pair for pair in found.pairs if pair.across_labels]))
    named = sorted(found.pairs, key=lambda pair: (not pair.across_sides, not pair.across_groups, not pair.exact))
    listed = [
        (f"`{pair.first}`", f"`{pair.second}`", "same file" if pair.exact else str(pair.distance))
        for pair in named[:10]
    ]
    tables = [_table(("pairs", "the same file", "nearly the same"), rows)]
    if listed:
        tables.append(_table(("first", "second", "bits of 256 apart"), listed))
    return ["## The same picture twice", *tables, *_figure(figures, "duplicates")]


def _flattery_section(found: Exploration, figures: Mapping[str, str]) -> list[str]:
    if found.flattery is None:
        return []
    num = len(found.flattery.by_group)
    rows = [
        ("by group", str(t_interval(found.flattery.by_group))),
        ("by picture", str(t_interval(found.flattery.by_picture))),
        ("by picture less by group", str(found.flattery.gap)),
    ]
    return [
        "## How far a split by picture would flatter",
        "Macro-F1 of a logistic regression on these embeddings, fitted to the train side and asked about the other "
        f"two: mean and 95% t interval over {num} seeds of the split. The seeds share their pictures, so this says how "
        "much depends on the draw, not how other people would score. A network that is trained itself can learn "
        "people by heart and is flattered more.",
        _table(("split", "macro-F1"), rows),
        *_figure(figures, "flattery"),
    ]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return render_markdown_table(header, rows, numbers_to_the_right(rows))


def _figure(figures: Mapping[str, str], name: str) -> list[str]:
    return [f"![{name}]({figures[name]})"] if name in figures else []
