"""The folder of records: one file per space and data set, `<space>.json` or `<space>@<data>.json`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from results.records.record import BestTrial, load_record
from trainables.strict_json import RecordError

BUILT_IN = "built-in demo set"
"""Source of the pictures that macrotune draws itself."""


def data_name(record: BestTrial) -> str:
    """What a data set is called: its folder or file without its parents."""
    source = str(record.data.get("source") or "pictures").rstrip("/").rpartition("/")[2]
    return "built-in" if source == BUILT_IN else source


def same_data(one: BestTrial, other: BestTrial) -> bool:
    """Whether two records are of one data set: of one name and with the same classes.

    The number of pictures may differ, as data sets grow; so may the folder, as they move.
    """
    return data_name(one) == data_name(other) and set(one.task.classes) == set(other.task.classes)


def load_checked(path: Path) -> BestTrial:
    """Reads a record and compares it with its file's name.

    Raises:
        RecordError: It is corrupt, or of another space than the file's name says.
        OSError: It cannot be read.
    """
    record = load_record(path)
    if record.space != _space_of(path):
        raise RecordError(f"{path}: space is {record.space!r}: rename the file to {record.space}.json")
    return record


def paths_of(records_dir: Path, space: str) -> list[Path]:
    """The records of a space, that of the first data set before all."""
    return sorted(path for path in records_dir.glob("*.json") if _space_of(path) == space)


def place_of(records_dir: Path, record: BestTrial) -> Path:
    """The file that a record belongs into: that of its space and data set, or the first free name for a new one.

    Raises:
        RecordError: A record of the space is corrupt.
        OSError: One cannot be read.
    """
    for path in paths_of(records_dir, record.space):
        if same_data(load_checked(path), record):
            return path
    return next(path for path in _names(records_dir, record) if not path.exists())


def latest_of(records_dir: Path, space: str, data: Path | None = None) -> Path | None:
    """The record of the last search of a space, on the data set of this name if there is one; None without any.

    Raises:
        RecordError: A record of the space is corrupt.
        OSError: One cannot be read.
    """
    records = {path: load_checked(path) for path in paths_of(records_dir, space)}
    named = {path for path, record in records.items() if data is not None and data_name(record) == data.name}
    return max(named or records, key=lambda path: datetime.fromisoformat(records[path].date), default=None)


def _names(records_dir: Path, record: BestTrial) -> Iterator[Path]:
    yield records_dir / f"{record.space}.json"
    words = re.sub(r"[^A-Za-z0-9_.-]+", "-", data_name(record)).strip("-.") or "data"
    for number in itertools.count(1):
        yield records_dir / f"{record.space}@{words}{f'-{number}' * (number > 1)}.json"


def _space_of(path: Path) -> str:
    return path.stem.partition("@")[0]
