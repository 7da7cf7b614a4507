"""What was understood of a data set, in a few lines that its owner can check before the first trial."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

import pandas

from trainables.data.endings import LeftOut

_MOST_CLASSES = 12
"""Classes that are listed; of more, the first and the last few."""
_MOST_EXAMPLES = 3


def look_alikes(names: Iterable[str], kind: str) -> list[str]:
    """A warning for each set of names that people would hold to be one: case, spaces, Unicode's spellings, 07 and 7.

    Args:
        names: Of classes or groups.
        kind: What they are, in the singular and the plural with a slash: `class/classes`.
    """
    different = sorted(set(names))
    found: dict[str, list[str]] = {}
    for name in different:
        found.setdefault(_look(name), []).append(name)
    alike = [group for group in found.values() if len(group) > 1]
    plural = kind.partition("/")[2]
    lines = [
        f"the {plural} {' and '.join(_shown(name, group) for name in group[:4])} look alike ({_difference(group)}): "
        "if they are one, rename them, or give one name by --corrections"
        for group in alike[:_MOST_EXAMPLES]
    ]
    if len(alike) > _MOST_EXAMPLES:
        lines.append(f"{len(alike) - _MOST_EXAMPLES:,} more sets of {plural} look alike")
    return lines


def class_lines(table: pandas.DataFrame, classes: Sequence[str], has_groups: bool) -> list[str]:
    """Each class with its pictures and groups, sides in brackets where the data fix them; of many the first and last.

    Args:
        table: `label`, `group` and `split` of each picture.
        classes: In the order of their indices.
        has_groups: Whether the data name groups.
    """
    counts = table["label"].value_counts()
    groups = table.groupby("label")["group"].nunique()
    sides = table[table["split"] != ""].groupby(["label", "split"]).size()

    def line(name: str) -> str:
        text = f"{name!r}: {counts.get(name, 0):,} pictures" if counts.get(name, 0) != 1 else f"{name!r}: 1 picture"
        if has_groups:
            text += f" of {groups.get(name, 0):,} groups"
        if len(sides):
            parts = [f"{side} {sides.get((name, side), 0):,}" for side in ("train", "val", "test")]
            text += f" ({', '.join(part for part in parts if not part.endswith(' 0'))})"
        return text

    if len(classes) <= _MOST_CLASSES:
        return [line(name) for name in classes]
    edge = _MOST_CLASSES // 2
    rest = f"... {len(classes) - 2 * edge:,} more, {counts.min():,} to {counts.max():,} pictures each"
    return [*map(line, classes[:edge]), rest, *map(line, classes[-edge:])]


def used_line(layout: str, used: int, left_out: LeftOut) -> str:
    """The layout, and how many files are used and are not."""
    files = f"{used:,} pictures used" if used != 1 else "1 picture used"
    rest = f", {left_out.total:,} files left out" if left_out.total else ", no file left out"
    return f"Read as: {layout}; {files}{rest}"


def _look(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).casefold()
    text = re.sub(r"[\s_\-\u200b\ufeff]+", " ", text).strip()
    text = re.sub(r"(?<![\w.])0+(?=\d)", "", text)
    return re.sub(r"(?<![\w.])(\d+)\.0+(?![\w.])", r"\1", text)


def _shown(name: str, group: Sequence[str]) -> str:
    """The name, with its code points spelled out where it would look the same as another."""
    same = [other for other in group if unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", name)]
    return ascii(name) if len(same) > 1 else repr(name)


def _difference(group: Sequence[str]) -> str:
    for words, key in (
        ("Unicode form", lambda text: unicodedata.normalize("NFKC", text)),
        ("case", lambda text: unicodedata.normalize("NFKC", text).casefold()),
        ("spaces", lambda text: re.sub(r"[\s_\-\u200b\ufeff]+", "", unicodedata.normalize("NFKC", text).casefold())),
    ):
        if len({key(name) for name in group}) == 1:
            return words
    return "the same number"
