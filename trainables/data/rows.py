"""The rows of a `split.csv` for the workers: standard library only, so no trial waits for pandas."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from trainables.errors import UserError

SIDES = ("train", "val", "test")
"""The sides of a split; a search trains on the first, is scored on the second and never touches the third."""

COLUMNS = ("path", "label", "group", "split")
"""The header of a `split.csv`."""


class SplitRow(NamedTuple):
    """One picture of a split."""

    path: str
    """Absolute path."""
    label: str
    """Name of the class."""
    group: str
    """What must not stand on two sides, such as a person's id."""
    split: str
    """train, val or test."""


def read_split(path: str | Path) -> list[SplitRow]:
    """Reads a saved split, in the order of its file.

    Raises:
        UserError: The file is no split: another header, a row of another length, or an unknown side.
    """
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            raise UserError(f"{path}: the columns are {','.join(header)!r}, a split has {','.join(COLUMNS)}")
        rows = []
        for values in reader:
            if len(values) != len(COLUMNS) or values[-1] not in SIDES:
                raise UserError(f"{path} row {reader.line_num}: {values!r} is no row of a split; write it again")
            rows.append(SplitRow(*values))
    return rows
