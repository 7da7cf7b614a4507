"""What there is to know of a data set before a search: its numbers, and advice drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas

from results.statistics.probe import Flattery
from trainables.data.mirror_classes import pairs_in_words

FEW_GROUPS = 5
"""Groups of a class below which its F1 on a held-out side rests on one person."""
FEW_PEOPLE = 30
"""Groups on the held-out sides below which intervals are wide."""
MILD_IMBALANCE, STRONG_IMBALANCE = 3, 10
LARGE_GROUP = 0.05
"""Share of the pictures from which one group sways a whole side."""
MOST_NAMED = 8


@dataclass(frozen=True)
class ClassFacts:
    """One class in numbers."""

    name: str
    pictures: int
    share: float
    """Of all pictures, 0 to 1."""
    groups: int
    held_out_groups: int
    """Groups on val and test of the split that a search would draw."""


@dataclass(frozen=True)
class GroupFacts:
    """One group in numbers."""

    name: str
    pictures: int
    share: float
    classes: int


@dataclass(frozen=True)
class Pair:
    """Two pictures that are the same or nearly so; paths below the data's root."""

    first: str
    second: str
    distance: int
    exact: bool
    across_groups: bool
    across_sides: bool
    across_labels: bool


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """All that was found out."""

    source: str
    layout: str
    split: str
    """How a search would draw the sides, in words."""
    sides: str
    """The sides as aligned plain text."""
    has_groups: bool
    classes: tuple[ClassFacts, ...]
    """The largest first."""
    groups: tuple[GroupFacts, ...]
    """The largest first; empty if the data name none."""
    sizes: tuple[tuple[int, int], ...]
    """Width and height of each picture."""
    formats: dict[str, int]
    bad: tuple[str, ...]
    """What was left out: row, path and reason."""
    pairs: tuple[Pair, ...]
    mirrored: tuple[tuple[str, str], ...]
    """Classes that look like each other's mirror image."""
    image_size: int
    weights: str
    """Backbone and where its weights come from."""
    flattery: Flattery | None
    """None without groups, or where no split by group can be drawn."""

    @property
    def pictures(self) -> int:
        """Pictures that can be used."""
        return sum(kind.pictures for kind in self.classes)

    @property
    def imbalance(self) -> float:
        """Pictures of the largest class over those of the smallest."""
        return self.classes[0].pictures / self.classes[-1].pictures

    def median_size(self) -> tuple[int, int]:
        """Median width and height."""
        width, height = np.median(np.asarray(self.sizes), axis=0)
        return int(width), int(height)


def class_facts(table: pandas.DataFrame) -> tuple[ClassFacts, ...]:
    """Classes of a split (`label`, `group`, `split`), the largest first."""
    facts = []
    for name, rows in table.groupby("label"):
        held_out = rows.loc[rows["split"] != "train", "group"].nunique()
        facts.append(ClassFacts(str(name), len(rows), len(rows) / len(table), rows["group"].nunique(), held_out))
    return tuple(sorted(facts, key=lambda kind: (-kind.pictures, kind.name)))


def group_facts(table: pandas.DataFrame) -> tuple[GroupFacts, ...]:
    """Groups of a split (`label`, `group`), the largest first."""
    counts = table.groupby("group").agg(pictures=("label", "size"), classes=("label", "nunique"))
    facts = [
        GroupFacts(str(name), int(pictures), int(pictures) / len(table), int(classes))
        for name, pictures, classes in counts.itertuples()
    ]
    return tuple(sorted(facts, key=lambda group: (-group.pictures, group.name)))


def advice(found: Exploration) -> list[str]:
    """What follows from the numbers, the gravest first."""
    rules = (_on_bad, _on_groups, _on_flattery, _on_duplicates, _on_mirrored, _on_few_groups, _on_classes, _on_sizes)
    return [line for rule in rules for line in rule(found)]


def _on_bad(found: Exploration) -> list[str]:
    if not found.bad:
        return []
    return [f"{many(len(found.bad), 'picture')} cannot be used: replace them, or search with --skip-bad."]


def _on_groups(found: Exploration) -> list[str]:
    if not found.has_groups:
        return [
            "The data name no groups: if one person, garment or scene is in several pictures, they will stand on "
            "several sides and the score flatters. Name them in a column `group` of the CSV, or by --group-regex."
        ]
    lines = []
    if (largest := found.groups[0]).share >= LARGE_GROUP:
        lines.append(
            f"The largest group, {largest.name}, holds {percent(largest.share)} of the pictures "
            f"({largest.pictures:,}): the side it falls on is largely about this group. "
            "Look at other seeds before trusting a small difference."
        )
    if len(found.groups) < 5 * FEW_PEOPLE:
        held_out = round(0.2 * len(found.groups))
        lines.append(
            f"{len(found.groups)} groups in all: a fifth of them, {held_out}, is what a score on val or test rests on, "
            "so its interval is wide."
        )
    return lines


def _on_flattery(found: Exploration) -> list[str]:
    if found.flattery is None:
        return []
    gap, num = found.flattery.gap, len(found.flattery.by_group)
    words = f"{_signed(gap.value)} macro-F1 [{_signed(gap.low)}, {_signed(gap.high)}] (linear probe, {num} seeds)"
    if gap.low > 0:
        return [f"A split by picture would flatter by {words}: always split by group."]
    if gap.high < 0:
        return [f"A split by picture scores lower than one by group, by {words}: groups do not leak here. Keep them."]
    return [f"A split by picture would change the score by {words}: no clear flattery, yet keep the groups."]


def _on_duplicates(found: Exploration) -> list[str]:
    exact_sides = sum(pair.exact and pair.across_sides for pair in found.pairs)
    exact_labels = sum(pair.exact and pair.across_labels for pair in found.pairs)
    groups = sum(pair.across_groups for pair in found.pairs) if found.has_groups else 0
    labels = sum(pair.across_labels and pair.across_groups for pair in found.pairs)
    sides = sum(pair.across_sides for pair in found.pairs)
    lines = []
    if exact_sides:
        lines.append(
            f"{many(exact_sides, 'copy', 'copies')}, byte for byte, on another side of the split: give a picture and "
            "its copy one group, or remove one."
        )
    if exact_labels:
        lines.append(f"{many(exact_labels, 'copy', 'copies')} under another label: one of the two labels is wrong.")
    if groups:
        lines.append(
            f"{many(groups, 'pair')} of the same or nearly the same picture in different groups ({labels} of them "
            "under different labels): these may be one person or thing. Merge the groups by --corrections; copies.csv "
            "lists the pairs."
        )
    if not found.has_groups and sides > exact_sides:
        lines.append(
            f"{many(sides - exact_sides, 'pair')} of nearly the same picture on two sides of the split: name groups, "
            "or remove one of each; copies.csv lists them."
        )
    return lines


def _on_mirrored(found: Exploration) -> list[str]:
    if not found.mirrored:
        return []
    return [
        f"{pairs_in_words(found.mirrored)} A search mirrors no picture of such data unless --flip search or a space of "
        "your own has it do so."
    ]


def _on_few_groups(found: Exploration) -> list[str]:
    what = "group" if found.has_groups else "picture"
    few = sorted((kind for kind in found.classes if kind.groups < FEW_GROUPS), key=lambda kind: kind.groups)
    lines = [
        f"Class {kind.name} has {many(kind.groups, what)}: its F1 on val and test rests on {kind.held_out_groups} of "
        f"them together. Add {what}s, or merge the class."
        for kind in few[:MOST_NAMED]
    ]
    return lines + (
        [f"The same goes for {many(len(few) - MOST_NAMED, 'more class', 'more classes')}."]
        if len(few) > MOST_NAMED
        else []
    )


def _on_classes(found: Exploration) -> list[str]:
    if found.imbalance < MILD_IMBALANCE:
        return []
    first, last = found.classes[0], found.classes[-1]
    what = f"Imbalance {found.imbalance:.0f}: {first.name} has {first.pictures:,} pictures, {last.name} {last.pictures}"
    if found.imbalance < STRONG_IMBALANCE:
        return [f"{what}. Macro-F1 weighs both alike."]
    return [f"{what}. Macro-F1 weighs both alike, so the smallest classes decide it: pictures of those are worth most."]


def _on_sizes(found: Exploration) -> list[str]:
    width, height = found.median_size()
    short, long = sorted((width, height))
    lines = []
    if long > 1.1 * short:
        lines.append(
            f"The median picture is {width}x{height}, and the network sees its centre square: "
            f"{percent(1 - short / long)} of it is cut off. Crop to what matters beforehand if that lies outside."
        )
    small = sum(min(size) < found.image_size * 8 / 7 for size in found.sizes) / len(found.sizes)
    if small > 0.1:
        lines.append(
            f"{percent(small)} of the pictures are smaller than --image-size {found.image_size} and its margin: "
            "they are blown up, and gain nothing from that."
        )
    lines.append(f"Half of the pictures have a short side of {short} or less: an --image-size above that gains little.")
    return lines


def many(number: int, one: str, plural: str = "") -> str:
    """A count with its noun."""
    return f"{number:,} {one if number == 1 else plural or one + 's'}"


def percent(share: float) -> str:
    """A share in percent."""
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("0.", ".", 1)
