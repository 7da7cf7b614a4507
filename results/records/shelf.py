"""The folder of records: one file per space and data set, `<space>.json` or `<space>@<data>.json`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from results.records.record import BestTrial, load_record
from trainables.errors import UserError
from trainables.free_names import numbered
from trainables.strict_json import RecordError

BUILT_IN = "built-in demo set"
"""Source of the pictures that macrotune draws itself."""
SAYING_NOTHING = frozenset(
    ("train", "training", "data", "dataset", "images", "imgs", "pictures", "photos", "labels", "all", "raw", "index")
)
"""Names of folders and files that many data sets have."""


def data_facts(source: Path) -> dict[str, str]:
    """What a record says of where its data set is, without saying where: its name, and a hash of its place.

    A name that says nothing, such as `train` or `labels.csv`, has that of the folder above before it.
    """
    path = source.expanduser().resolve()
    words = path.parts[-2:] if path.stem.lower() in SAYING_NOTHING else path.parts[-1:]
    return {"name": "/".join(word.strip("/") for word in words), "place": place_hash(path)}


def place_hash(source: Path) -> str:
    """Stands for the place of a data set; the same on one machine alone."""
    return hashlib.sha256(os.fsencode(source.expanduser().resolve())).hexdigest()[:12]


def data_name(record: BestTrial) -> str:
    """What a data set is called: its folder or file without its parents, where that says something."""
    source = str(record.data.get("name") or record.data.get("source") or "pictures").rstrip("/")
    name = source if record.data.get("name") else source.rpartition("/")[2]
    return "built-in" if name == BUILT_IN else name


def same_data(one: BestTrial, other: BestTrial) -> bool:
    """Whether two records are of one data set: the very same split, or one name, the same classes and one place.

    The number of pictures may differ, as data sets grow. So may the folder, as they move, where the pictures are the
    same; two folders of one name in different places are two. Records from before places were noted have none.
    """
    if one.split_hash == other.split_hash and data_name(one) == data_name(other):
        return True
    places = {one.data.get("place"), other.data.get("place")} - {None}
    alike = set(one.task.classes) == set(other.task.classes)
    return alike and len(places) < 2 and _last(one) == _last(other)


def _last(record: BestTrial) -> str:
    """The name without the folder above, as records from before it was noted have it."""
    return data_name(record).rpartition("/")[2]


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
    return [path for path in all_paths(records_dir) if _space_of(path) == space]


def all_paths(records_dir: Path) -> list[Path]:
    """Every record, in an order in which a new one changes no other's place within its space and name."""
    return sorted(records_dir.glob("*.json"), key=lambda path: (_space_of(path), len(path.stem), path.stem))


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


def record_of(records_dir: Path, space: str, data: Path | None = None) -> Path | None:
    """The record of a space, on the data set at a place, or of its name, where that is said; None without any.

    Raises:
        UserError: There are several, and it is not said which; names them.
        RecordError: A record of the space is corrupt.
        OSError: One cannot be read.
    """
    records = {path: load_checked(path) for path in paths_of(records_dir, space)}
    if data is not None:
        here = [path for path, record in records.items() if record.data.get("place") == place_hash(data)]
        named = [path for path, record in records.items() if _last(record) == data.name]
        records = {path: records[path] for path in here or named or records}
    if len(records) > 1:
        listed = "; ".join(f"{data_name(record)} (run {record.run}, {path})" for path, record in records.items())
        raise UserError(
            f"--space {space} has a record on each of {len(records)} data sets: {listed}. Say which by --run, --record "
            "or --data"
        )
    return next(iter(records), None)


def _names(records_dir: Path, record: BestTrial) -> Iterator[Path]:
    yield records_dir / f"{record.space}.json"
    words = re.sub(r"[^A-Za-z0-9_.-]+", "-", data_name(record)).strip("-.") or "data"
    yield from (records_dir / name for name in numbered(f"{record.space}@{words}", ".json"))


def _space_of(path: Path) -> str:
    return path.stem.partition("@")[0]
