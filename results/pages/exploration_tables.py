"""The tables and sentences of an exploration, which its Markdown and its page share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from results.statistics.exploration import FEW_GROUPS, Exploration, Pair, percent
from results.statistics.probe import t_interval

MOST_ROWS = 40
AUGMENTATIONS_WORDS = (
    "Each augmentation alone, at the strongest that a search proposes, on four of these pictures. One that hides what "
    "tells the classes apart is best left out by a space of your own."
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under a header, with a sentence before them."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: str = ""
    more: str = ""
    """A line below it."""
    code: tuple[int, ...] = ()
    """Columns that hold names of files."""


def summary_line(found: Exploration) -> str:
    """How many pictures, classes and groups there are."""
    groups = f"{len(found.groups):,} groups" if found.has_groups else "no groups"
    return f"{found.pictures:,} pictures, {len(found.classes)} classes, {groups}; recognized as a {found.layout}."


def class_table(found: Exploration) -> Table:
    """The classes, the largest first."""
    rows = [
        (kind.name, f"{kind.pictures:,}", percent(kind.share))
        + ((str(kind.groups), "few groups" if kind.groups < FEW_GROUPS else "") if found.has_groups else ())
        for kind in found.classes[:MOST_ROWS]
    ]
    left = len(found.classes) - MOST_ROWS
    return Table(
        header=("class", "pictures", "share", *(("groups", "") if found.has_groups else ())),
        rows=rows,
        words=f"Imbalance (largest over smallest): {found.imbalance:.1f}.",
        more=f"and {left} more classes" if left > 0 else "",
    )


def group_table(found: Exploration) -> Table:
    """The ten largest groups; without rows where the data name none."""
    header = ("group", "pictures", "share", "classes")
    if not found.has_groups:
        return Table(header=header, rows=(), words="The data name none: every picture counts as its own.")
    sizes = [group.pictures for group in found.groups]
    classes = np.mean([group.classes for group in found.groups])
    rows = [(group.name, f"{group.pictures:,}", percent(group.share), str(group.classes)) for group in found.groups]
    words = (
        f"{len(sizes):,} groups of {min(sizes)} to {max(sizes)} pictures, {np.median(sizes):.0f} in the median; "
        f"one has pictures of {classes:.1f} classes on average. The largest:"
    )
    return Table(header=header, rows=rows[:10], words=words)


def sizes_line(found: Exploration) -> str:
    """How large the pictures are, and in which formats."""
    width, height = found.median_size()
    num_sizes = len(set(found.sizes))
    formats = ", ".join(f"{name} {count:,}" for name, count in found.formats.items())
    same = f"all {width}x{height}" if num_sizes == 1 else f"{num_sizes:,} different sizes, median {width}x{height}"
    return f"Pixels: {same}. Formats: {formats}."


def embedding_words(found: Exploration) -> str:
    """How the map came about, and how to read it."""
    return (
        f"Of {found.weights}, at {found.image_size} pixels: principal components, then t-SNE. "
        "Groups that make islands of their own are what a split by picture gives away."
    )


def duplicate_tables(found: Exploration) -> list[Table]:
    """How many pictures stand there twice, and the ten pairs that matter most."""

    def line(name: str, pairs: Sequence[Pair]) -> tuple[str, ...]:
        exact = sum(pair.exact for pair in pairs)
        return name, str(exact), str(len(pairs) - exact)

    rows = [line("anywhere", found.pairs)]
    if found.has_groups:
        rows.append(line("in different groups", [pair for pair in found.pairs if pair.across_groups]))
    rows.append(line("on different sides of the split", [pair for pair in found.pairs if pair.across_sides]))
    rows.append(line("under different labels", [pair for pair in found.pairs if pair.across_labels]))
    tables = [Table(header=("pairs", "the same file", "nearly the same"), rows=rows)]
    named = sorted(found.pairs, key=lambda pair: (not pair.across_sides, not pair.across_groups, not pair.exact))
    if named:
        listed = [(p.first, p.second, "same file" if p.exact else str(p.distance)) for p in named[:10]]
        tables.append(Table(header=("first", "second", "bits of 256 apart"), rows=listed, code=(0, 1)))
    return tables


def flattery_table(found: Exploration) -> Table | None:
    """What a split by picture would add to a score; None where that was not measured."""
    if found.flattery is None:
        return None
    num = len(found.flattery.by_group)
    rows = [
        ("by group", str(t_interval(found.flattery.by_group))),
        ("by picture", str(t_interval(found.flattery.by_picture))),
        ("by picture minus by group", str(found.flattery.gap)),
    ]
    words = (
        "Macro-F1 of a logistic regression on these embeddings, fitted to the train side and asked about the other "
        f"two: mean and 95% t interval over {num} seeds of the split. The seeds share their pictures, so this says how "
        "much depends on the draw, not how other people would score. A network that is trained itself can learn "
        "people by heart and is flattered more."
    )
    return Table(header=("split", "macro-F1"), rows=rows, words=words)
