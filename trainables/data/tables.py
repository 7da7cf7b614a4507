"""Tables that say which pictures there are, as text: CSV with commas, semicolons, tabs or bars, and parquet."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TABLES = (".csv", ".tsv", ".tab", ".parquet", ".pq")
"""Endings of files that are read as a table."""
KNOWN_COLUMNS = frozenset(("path", "label", "group", "split", "id", "gender", "age", "key", "column", "value"))
"""Columns that have a meaning here, and may be written in capitals."""
_SEPARATORS = ",;\t|"
_MOST_PROBLEMS = 200
"""Rows of another length that are named; in a file that is no CSV at all, each row would be."""
csv.field_size_limit(2**27)


@dataclass
class CsvTable:
    """A table as text: no value becomes a number or a missing value, so the id 001 stays 001."""

    name: str
    columns: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    """The same as the file writes them: those that have a meaning here may be in capitals there."""
    rows: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Where the row stands ("train.csv row 17", the header being row 1) and its values by column."""
    problems: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """What had to be guessed: the separator, the encoding."""


def read_table(path: Path, most: int | None = None) -> CsvTable:
    """Reads a table; tolerates a byte order mark, spaces around values, blank lines, and another separator.

    Args:
        path: Of the file.
        most: Rows that are wanted, the first ones; None for all of them. Parquet is read whole.
    """
    if path.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path)
    table = CsvTable(path.name)
    try:
        text = _text(path.read_bytes(), table)
        separator = _separator(text)
        if separator != ",":
            table.said.append(f"{path.name}: values are separated by {separator!r}")
        # The standard library's reader knows the line of each row; pandas skips blank ones without a trace.
        reader = csv.reader(text.splitlines(keepends=True), delimiter=separator)
        table.written = _told_apart([name.strip() for name in next(reader, [])])
        header = _known(table.written)
        line = reader.line_num + 1
        for values in reader:
            if len(table.rows) == most:
                break
            source, line = f"{path.name} row {line}", reader.line_num + 1
            values = [value.strip() for value in values]
            while len(values) > len(header) and not values[-1]:
                values.pop()
            if len(values) == len(header):
                if any(values):
                    table.rows.append((source, dict(zip(header, values, strict=True))))
            elif any(values) and len(table.problems) < _MOST_PROBLEMS:
                table.problems.append(
                    f"{source}: {len(values)} values {','.join(values)[:200]!r} where the header has "
                    f"{len(header)} columns; put a value that holds {separator!r} into double quotes"
                )
    except (csv.Error, OSError) as error:
        table.problems.append(f"{path}: cannot be read as CSV ({error}); save it as comma-separated UTF-8")
        return table
    return _with_header(table, header)


def _told_apart(header: Sequence[str]) -> tuple[str, ...]:
    """Column names of which one at most is empty; others that are have their place for a name, as with pandas."""
    first = next((place for place, name in enumerate(header) if not name), None)
    return tuple(name if name or place == first else f"Unnamed: {place}" for place, name in enumerate(header))


def _known(header: Sequence[str]) -> list[str]:
    return [name.lower() if name.lower() in KNOWN_COLUMNS else name for name in header]


def _with_header(table: CsvTable, header: list[str]) -> CsvTable:
    table.columns = tuple(header)
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        table.problems.append(f"{table.name} row 1: two columns are called {', '.join(twice)}; rename one")
    return table


def _text(data: bytes, table: CsvTable) -> str:
    """The text of a file: UTF-8, UTF-16 by its mark, else what Windows writes in the West."""
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise csv.Error("it holds zero bytes")
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        table.said.append(
            f"{table.name}: not UTF-8 ({error.reason} at byte {error.start}), so read as Windows-1252; if names look "
            "wrong, save it as UTF-8"
        )
        return data.decode("cp1252", errors="replace")


def _separator(text: str) -> str:
    """The separator that the header has most of, quoted parts aside."""
    header = re.sub(r'"[^"]*"', "", next((line for line in text.splitlines() if line.strip()), ""))
    return max(_SEPARATORS, key=header.count)  # the first, a comma, where there is none at all


def _read_parquet(path: Path) -> CsvTable:
    import pyarrow
    import pyarrow.parquet

    table = CsvTable(path.name)
    try:
        found = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        table.problems.append(f"{path}: cannot be read as parquet ({reason}); save it again, or as CSV")
        return table
    for name, kind in zip(found.schema.names, found.schema.types, strict=True):
        if _holds_bytes(found.column(name), kind):
            table.problems.append(
                f"{path}: its column {name!r} holds the pictures themselves, not their paths; write them to files, and "
                "a table with the columns path,label"
            )
            return table
    table.written = _told_apart([name.strip() for name in found.column_names])
    header = _known(table.written)
    columns = [[_cell(value) for value in column.to_pylist()] for column in found.columns]
    for number, values in enumerate(zip(*columns, strict=True), 1):
        table.rows.append((f"{path.name} row {number}", dict(zip(header, values, strict=True))))
    return _with_header(table, header)


def _holds_bytes(column: Any, kind: Any) -> bool:
    """Whether a column of parquet has bytes in it: right there, or in the field `bytes` of Hugging Face's pictures."""
    import pyarrow

    types = pyarrow.types
    if types.is_struct(kind):
        if kind.get_field_index("bytes") < 0:
            return False
        return any(value and value.get("bytes") for value in column.to_pylist())
    binary = types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    return binary and column.null_count < len(column)


def _cell(value: object) -> str:
    """A value as text: none is empty, whole numbers have no point, a picture that lies in the file is its path."""
    if isinstance(value, dict):  # Hugging Face's column of pictures
        value = value.get("path")
    if value is None or isinstance(value, (bytes, bytearray)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
