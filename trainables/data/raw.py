"""What a reader of a data folder finds before it is checked: rows of text, and what is wrong with them."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""File name endings that count as a picture, in any case."""

KNOWN_COLUMNS = frozenset(("path", "label", "group", "split", "id", "gender", "age", "key", "column", "value"))
"""Columns that have a meaning here, and may be written in capitals."""


@dataclass(slots=True)
class Row:
    """One picture as the data name it."""

    path: str
    """Absolute path."""
    relative: str
    """Path below the root, with forward slashes."""
    written: str
    """The path as people write it: as in the CSV, or `<person's folder>/<file>` in a competition folder."""
    source: str
    """Where the row comes from, for messages: "train.csv row 17", or the file's path."""
    label: str
    group: str
    split: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    bad: str = ""
    """What is wrong with the picture's file; empty if nothing."""


@dataclass
class RawData:
    """What a reader found. Where there are no rows, `problems` or `strays` say why."""

    layout: str
    root: Path
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What is wrong with the structure: nothing helps but to correct it."""
    strays: list[str] = field(default_factory=list)
    """What is wrong with pictures that no row stands for; `--skip-bad` goes on without them."""
    classes: Mapping[str, Mapping[str, str]] | None = None
    """The classes with their attributes, where the layout fixes them."""
    attributes: tuple[str, ...] = ()
    has_groups: bool = False
    has_split: bool = False
    ignored_files: int = 0
    """Visible files that are no pictures."""


@dataclass
class CsvTable:
    """A CSV file as text: no value becomes a number or a missing value, so the id 001 stays 001."""

    name: str
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Where the row stands ("train.csv row 17", the header being row 1) and its values by column."""
    problems: list[str] = field(default_factory=list)


def read_table(path: Path) -> CsvTable:
    """Reads a CSV file; tolerates a byte order mark, spaces around values, and blank lines."""
    table = CsvTable(path.name)
    try:
        # The standard library's reader knows the line of each row; pandas skips blank ones without a trace.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            header = [name.lower() if name.lower() in KNOWN_COLUMNS else name for name in header]
            line = reader.line_num + 1
            for values in reader:
                source, line = f"{path.name} row {line}", reader.line_num + 1
                values = [value.strip() for value in values]
                if len(values) == len(header):
                    if any(values):
                        table.rows.append((source, dict(zip(header, values, strict=True))))
                elif any(values):
                    table.problems.append(
                        f"{source}: {len(values)} values {','.join(values)!r} where the header has "
                        f"{len(header)} columns; put a value that holds a comma into double quotes"
                    )
    except UnicodeDecodeError as error:
        table.problems.append(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8")
        return table
    except (csv.Error, OSError) as error:
        table.problems.append(f"{path}: cannot be read as CSV ({error}); save it as comma-separated UTF-8")
        return table
    table.columns = tuple(header)
    if len(header) == 1 and re.search(r"[;\t]", header[0]):
        table.problems.append(f"{path.name} row 1: {header[0]!r} has no comma; save it with commas between values")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        table.problems.append(f"{path.name} row 1: two columns are called {', '.join(twice)}; rename one")
    return table


def sorted_names(names: Iterable[str]) -> tuple[str, ...]:
    """The different names in natural order, by which 2 stands before 10."""
    return tuple(sorted(set(names), key=_natural_order))


def relative_path(path: str, base: str) -> str:
    """`os.path.relpath`, at a tenth of its time for a path below `base`."""
    return path[len(base) + 1 :] if path.startswith(f"{base}/") else os.path.relpath(path, base)


def walk(folder: str) -> Iterator[str]:
    """Yields every visible file below a folder; links to folders are followed, but none is entered twice."""
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(parent)  # noqa: PTH116
        known = (status.st_dev, status.st_ino) in seen
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [] if known else sorted(name for name in folders if not name.startswith("."))
        if not known:
            yield from (f"{parent}/{name}" for name in sorted(files) if not name.startswith("."))


def _natural_order(name: str) -> tuple[list[str | int], str]:
    return [int(part) if part.isdecimal() else part.casefold() for part in re.split(r"(\d+)", name)], name
