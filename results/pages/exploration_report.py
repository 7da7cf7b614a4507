"""The report of an exploration: Markdown, a page, figures and numbers in one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure

from results.pages.exploration_page import render_page
from results.pages.exploration_tables import (
    AUGMENTATIONS_WORDS,
    Table,
    class_table,
    duplicate_tables,
    embedding_words,
    flattery_table,
    group_table,
    sizes_line,
    summary_line,
)
from results.pages.figures import to_png
from results.pages.markdown import markdown_cell, numbers_to_the_right, render_markdown_table
from results.pages.report_folder import replace_folder
from results.pages.report_pictures import Sample
from results.statistics.exploration import Exploration, advice
from trainables.atomic import write_whole
from trainables.data.duplicates import COPIES

PAGE = "report.html"
MARKER = "exploration.json"
WHAT = "an exploration"
"""The numbers, and the sign of a folder that may be replaced."""


def save_exploration(
    out: Path,
    found: Exploration,
    figures: Mapping[str, Figure],
    samples: Sequence[Sample],
    augmentations: bytes | None,
    copies: bytes,
) -> None:
    """Writes page, report, figures, numbers and copies; an earlier exploration is replaced once the new one is whole.

    Args:
        out: The folder.
        found: What was found out.
        figures: Section to its picture.
        samples: Some pictures of each class.
        augmentations: A PNG of what each augmentation does to some of the pictures; None where it was not drawn.
        copies: A CSV of the pictures that are there twice.
    """
    sizes = {"sizes": len(set(found.sizes)), "median_size": found.median_size()}
    facts = json.loads(json.dumps({**asdict(found), **sizes}))
    drawn = {name: to_png(figure) for name, figure in figures.items()}
    if augmentations is not None:
        drawn["augmentations"] = augmentations
    with replace_folder(out, MARKER, WHAT, facts) as draft:
        for name, png in drawn.items():
            write_whole(draft / f"{name}.png", png)
        write_whole(draft / COPIES, copies)
        report = render_report(found, {name: f"{name}.png" for name in drawn})
        (draft / "report.md").write_text(report, encoding="utf-8")
        page = render_page(found, drawn, samples)
        (draft / PAGE).write_bytes(page.encode(errors="backslashreplace"))


def render_report(found: Exploration, figures: Mapping[str, str]) -> str:
    """The report as Markdown.

    Args:
        found: What was found out.
        figures: Section (classes, groups, sizes, duplicates, embedding, flattery) to the file of its picture.
    """
    parts = [
        f"# {found.source}",
        summary_line(found),
        "## Advice",
        *[f"- {markdown_cell(line)}" for line in advice(found)],
    ]
    body = "\n".join(parts[3:])
    sections = [*parts[:3], body, *_classes_section(found, figures), *_groups_section(found, figures)]
    sections += ["## Sizes", *_figure(figures, "sizes"), sizes_line(found)]
    sections += ["## Split", f"As a search would draw it: {found.split}.", f"```\n{found.sides}\n```"]
    sections += _duplicates_section(found, figures)
    sections += [
        "## Embeddings",
        embedding_words(found),
        *_figure(figures, "embedding"),
    ]
    sections += _flattery_section(found, figures)
    if "augmentations" in figures:
        sections += ["## Augmentations", AUGMENTATIONS_WORDS, *_figure(figures, "augmentations")]
    if found.bad:
        sections += ["## Bad pictures", *["\n".join(f"- {markdown_cell(line)}" for line in found.bad)]]
    return "\n\n".join(sections) + "\n"


def _classes_section(found: Exploration, figures: Mapping[str, str]) -> list[str]:
    table = class_table(found)
    return [
        "## Classes",
        table.words,
        *_figure(figures, "classes"),
        _table(table),
        *([table.more] if table.more else []),
    ]


def _groups_section(found: Exploration, figures: Mapping[str, str]) -> list[str]:
    table = group_table(found)
    return ["## Groups", table.words, *([*_figure(figures, "groups"), _table(table)] if table.rows else [])]


def _duplicates_section(found: Exploration, figures: Mapping[str, str]) -> list[str]:
    tables = [_table(table) for table in duplicate_tables(found)]
    return ["## The same picture twice", *tables, *_figure(figures, "duplicates")]


def _flattery_section(found: Exploration, figures: Mapping[str, str]) -> list[str]:
    table = flattery_table(found)
    if table is None:
        return []
    return [
        "## How far a split by picture would flatter",
        table.words,
        _table(table),
        *_figure(figures, "flattery"),
    ]


def _table(table: Table) -> str:
    rows = [[f"`{cell}`" if column in table.code else cell for column, cell in enumerate(row)] for row in table.rows]
    return render_markdown_table(table.header, rows, numbers_to_the_right(rows))


def _figure(figures: Mapping[str, str], name: str) -> list[str]:
    return [f"![{name}]({figures[name]})"] if name in figures else []
