"""An exploration as one page that holds all it needs: advice, tables, figures, and pictures of every class."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from results.pages.report_pictures import Sample
from results.pages.template import render_template
from results.statistics.exploration import Exploration, advice


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page."""

    title: str
    words: str = ""
    tables: Sequence[Table] = ()
    figure: str = ""
    """Data URI of a picture."""
    block: str = ""
    """Lines to be shown as they are."""
    lines: Sequence[str] = ()


def render_page(found: Exploration, figures: Mapping[str, bytes], samples: Sequence[Sample]) -> str:
    """The page as HTML.

    Args:
        found: What was found out.
        figures: Section to the PNG of its picture.
        samples: Some pictures of each class.
    """
    uris = {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in figures.items()}
    words = "Of the train side, of different groups where there are; the number is that of the train side."
    if len(found.classes) > len(samples):
        words = f"{len(samples)} of {len(found.classes)} classes, the largest. {words}"
    return render_template(
        "exploration.html.j2",
        source=found.source,
        summary=summary_line(found),
        advice=advice(found),
        samples=samples,
        samples_words=words,
        mistakes=[],
        mistakes_words="",
        first=[_with_table("Classes", class_table(found), uris.get("classes", ""))],
        rest=_rest(found, uris),
    )


def _rest(found: Exploration, uris: Mapping[str, str]) -> list[Section]:
    sections = []
    if "augmentations" in uris:
        sections.append(Section(title="Augmentations", words=AUGMENTATIONS_WORDS, figure=uris["augmentations"]))
    sections += [
        _with_table("Groups", group_table(found), uris.get("groups", "")),
        Section(title="Sizes", words=sizes_line(found), figure=uris.get("sizes", "")),
        Section(title="Split", words=f"As a search would draw it: {found.split}.", block=found.sides),
        Section(title="The same picture twice", tables=duplicate_tables(found), figure=uris.get("duplicates", "")),
        Section(title="Embeddings", words=embedding_words(found), figure=uris.get("embedding", "")),
    ]
    if (table := flattery_table(found)) is not None:
        title = "How far a split by picture would flatter"
        sections.append(_with_table(title, table, uris.get("flattery", "")))
    if found.bad:
        sections.append(Section(title="Bad pictures", lines=found.bad))
    return sections


def _with_table(title: str, table: Table, figure: str) -> Section:
    return Section(title=title, words=table.words, tables=[table] if table.rows else [], figure=figure)
