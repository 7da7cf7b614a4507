"""Confusion matrices as CSV: true classes in rows, answers in columns.

Letters: `C` classes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.atomic import write_whole
from trainables.csv_text import csv_text
from trainables.errors import UserError
from trainables.strict_json import RecordError

CORNER = "true\\answered"


@dataclass(frozen=True)
class ConfusedPair:
    """Pictures of one class that were taken for another; as a text, in words."""

    count: int
    whole: int
    """Pictures of the true class."""
    true: str
    answered: str

    def __str__(self) -> str:
        return f"{self.count} of {self.whole} `{self.true}` taken for `{self.answered}`"


def confused_pairs(confusion: Sequence[Sequence[int]], classes: Sequence[str], top: int = 10) -> list[ConfusedPair]:
    """The classes most often taken for another, by count; of equal counts the larger share of the class first."""
    pairs = [
        ConfusedPair(int(count), int(sum(row)), classes[true], classes[answered])
        for true, row in enumerate(confusion)
        for answered, count in enumerate(row)
        if count and true != answered
    ]
    return sorted(pairs, key=lambda pair: (-pair.count, pair.whole))[:top]


def save_confusion(path: Path, confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
    """Writes counts `(C, C)` with the names of the classes, whole or not at all."""
    rows: list[Sequence[object]] = [[CORNER, *classes]]
    rows += [[name, *row] for name, row in zip(classes, confusion, strict=True)]
    write_whole(path, csv_text(rows).encode(errors="backslashreplace"))


def load_confusion(path: Path) -> tuple[tuple[str, ...], list[list[int]]]:
    """Reads classes and counts `(C, C)`.

    Raises:
        RecordError: The file is no confusion matrix.
        OSError: It cannot be read.
    """
    rows = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
    try:
        (corner, *classes), *body = rows
        counts = [[int(value) for value in row[1:]] for row in body]
        if corner != CORNER or [row[0] for row in body] != classes or {len(row) for row in counts} != {len(classes)}:
            raise UserError("names and counts do not match")
    except (ValueError, IndexError) as error:
        raise RecordError(f"{path} is no confusion matrix ({error}): delete it") from error
    return tuple(classes), counts
