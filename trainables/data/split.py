"""Divides a manifest into train, val and test: no group on two sides, each class on all, shares as wanted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas

from trainables.atomic import replacing
from trainables.csv_text import csv_text
from trainables.data.manifest import DataError, Manifest, groups_on_two_sides
from trainables.data.raw import relative_path
from trainables.data.rows import COLUMNS, SIDES, read_split
from trainables.data.stratify import divide
from trainables.errors import UserError


@dataclass(frozen=True)
class SideSummary:
    """The numbers of one side of a split."""

    split: str
    """train, val or test."""
    pictures: int
    share: float
    """Of all pictures, 0 to 1."""
    groups: int
    classes: int
    """Classes with at least one picture on this side."""
    missing: tuple[str, ...]
    """Classes of the split without a picture on this side."""


@dataclass(frozen=True)
class Split:
    """Which pictures are train, val and test, and how that came about."""

    table: pandas.DataFrame
    """One row a picture with the columns `path` (absolute), `label`, `group` and `split`, all text."""
    seed: int | None
    """The seed it was drawn with; None where it was read from a file."""
    method: str
    """In words, for people and records."""
    warnings: tuple[str, ...] = ()
    """What the user should know before trusting the score."""

    def save(self, path: Path) -> None:
        """Writes `path,label,group,split` as CSV; the file is there whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = zip(*(self.table[name] for name in COLUMNS), strict=True)
        with replacing(path, durable=True) as temporary:
            temporary.write_text(csv_text([COLUMNS, *rows]), encoding="utf-8", newline="")

    def hash(self, root: Path) -> str:
        """Twelve hex digits that tell splits apart; the same wherever `root` lies."""
        digest = hashlib.sha256()
        columns = (self.table[name] for name in COLUMNS[1:])
        for values in sorted(zip(_relative_paths(self.table, root), *columns, strict=True)):
            digest.update(("\0".join(values) + "\n").encode())
        return digest.hexdigest()[:12]

    def summary(self) -> list[SideSummary]:
        """Pictures, groups and classes of each side, train first."""
        labels = sorted(set(self.table["label"]))
        sides = []
        for side in SIDES:
            rows = self.table[self.table["split"] == side]
            present = set(rows["label"])
            missing = tuple(label for label in labels if label not in present)
            share = len(rows) / len(self.table)
            sides.append(SideSummary(side, len(rows), share, rows["group"].nunique(), len(present), missing))
        return sides


def split_by_group(
    manifest: Manifest,
    *,
    seed: int,
    val_share: float = 0.2,
    test_share: float = 0.2,
    by: Literal["group", "picture"] = "group",
) -> Split:
    """Divides the pictures so that no group stands on two sides, stratified by label.

    `train_test_apart_stratify` decides which groups go where, from the order of their labels; seeded random
    integers as labels make that order random, and the same in every process. Of many relabelings the one that
    comes nearest to the wanted shares is kept: of pictures, of each class, and of groups. The result depends
    on the relative paths, labels, groups and the seed only, neither on the order of the rows nor on where the
    data lie.

    Rows that the data fix to a side stay there. A side that their column `split` never names is cut out of
    its train rows; the share is then one of these rows.

    Args:
        manifest: The pictures.
        seed: 0 to 2**32 - 1.
        val_share: Wanted share of the pictures for val, more than 0.
        test_share: Wanted share of the pictures for test, 0 for none; train gets what the two leave.
        by: "picture" takes every picture for a group of its own, which lets people leak from train to val; it
            is there to show what that does to a score.

    Raises:
        DataError: The data put a group on two sides, or train and val cannot both have every class.
        UserError: A share or the seed is out of range.
    """
    if not (val_share > 0 and test_share >= 0 and val_share + test_share < 1):
        raise UserError(
            f"val_share is {val_share} and test_share {test_share}: the first must be more than 0, the "
            "second 0 or more, and both together less than 1"
        )
    if not 0 <= seed < 2**32:
        raise UserError(f"seed is {seed}: it must be between 0 and 2**32 - 1")
    table = manifest.table[["path", "label", "group", "split", "source"]].copy()
    if by == "picture":
        table["group"] = _relative_paths(table, manifest.root)
    if problems := groups_on_two_sides(table):
        raise DataError(problems)

    given = [side for side in SIDES if (table["split"] == side).any()]
    shares = {side: share for side, share in (("test", test_share), ("val", val_share)) if side not in given}
    if any(shares.values()):
        free = table["split"].isin(["", "train"])
        table.loc[free, "split"] = divide(
            table.loc[free, "label"].to_list(),
            table.loc[free, "group"].to_list(),
            seed=seed,
            val_share=shares.get("val", 0),
            test_share=shares.get("test", 0),
        )
    if problems := _problems(table, given):
        raise DataError(problems)
    cut = [f"{share:g} {side}" for side, share in shares.items() if share]
    kind = "group" if by == "group" and manifest.has_groups else "picture"
    method = f"by {kind}, stratified by label, {' and '.join(cut)}, seed {seed}"
    if given:
        named = f"as {_who(manifest)} ({', '.join(given)})"
        method = f"{named}; of its train pictures {method}" if cut else named
    return Split(table[list(COLUMNS)], seed, method, tuple(_warnings(table, manifest, given, shares, by)))


def load_split(path: Path) -> Split:
    """Reads a saved split as a table; `read_split` does so without pandas.

    Raises:
        UserError: The file is no split.
    """
    table = pandas.DataFrame(read_split(path), columns=list(COLUMNS), dtype=str)
    return Split(table, None, f"read from {path}")


def render_split(split: Split) -> str:
    """The split as an aligned table of plain text: pictures, share, groups and classes a side."""
    sides = split.summary()
    total = max(side.classes + len(side.missing) for side in sides)
    lines = [["side", "pictures", "share", "groups", "classes"]]
    for side in sides:
        numbers = [
            f"{side.pictures:,}",
            f"{side.share:.1%}",
            f"{side.groups:,}",
            f"{side.classes} of {total}",
        ]
        lines.append([side.split, *numbers])
    width = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [[cell.rjust(w) for cell, w in zip(line, width, strict=True)] for line in lines]
    return "\n".join(
        "  ".join([line[0].ljust(width[0]), *cells[1:]]) for line, cells in zip(lines, aligned, strict=True)
    )


def _problems(table: pandas.DataFrame, given: Sequence[str]) -> list[str]:
    """Why a finished split cannot be used; a class that the data's own column keeps apart only warns."""
    problems = [
        f"the {side} side has no picture; name rows of it in the column split, or drop that column"
        for side in ("train", "val")
        if not (table["split"] == side).any()
    ]
    if given:
        return problems
    for label, rows in table.groupby("label"):
        if rows["group"].nunique() > 1 and not {"train", "val"} <= set(rows["split"]):
            problems.append(
                f"the class {label!r}: its {rows['group'].nunique()} groups cannot stand on both train and "
                "val beside those of other classes; add pictures of other groups (people), or merge the class"
            )
    return problems


def _warnings(
    table: pandas.DataFrame, manifest: Manifest, given: Sequence[str], shares: dict[str, float], by: str
) -> list[str]:
    warnings = []
    if by == "picture" and manifest.has_groups:
        warnings.append("Split by picture: the same people stand on several sides, so scores are flattering.")
    cut = [side for side, share in shares.items() if share]
    if given and cut:
        warnings.append(f"No {' or '.join(cut)} is given: cut out of train, and the rest is as {_who(manifest)}.")
    labels = set(table["label"])
    absent = [label for label in manifest.classes if label not in labels]
    if absent:
        warnings.append(
            f"No picture at all of {_names(absent)}: left out of the score unless answered, which counts as 0."
        )
    for side in [side for side in SIDES if side == "train" or side in given or side in cut]:
        present = {*table.loc[table["split"] == side, "label"], *absent}
        if missing := [label for label in manifest.classes if label not in present]:
            warnings.append(f"The {side} side has no picture of {_names(missing)}.")
    return warnings


def _who(manifest: Manifest) -> str:
    """What fixes the sides."""
    if manifest.layout.startswith("folders"):
        return "the folders say"
    return "the column split says" if manifest.layout == "CSV" else "the tables say"


def _names(labels: Sequence[str]) -> str:
    return ", ".join(labels[:10]) + (f" and {len(labels) - 10} more" if len(labels) > 10 else "")


def _relative_paths(table: pandas.DataFrame, root: Path) -> list[str]:
    base = str(root)
    return [relative_path(path, base) for path in table["path"]]
