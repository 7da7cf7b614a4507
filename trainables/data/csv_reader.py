"""Reads tables that name the pictures: one with all of them, or one for each side of a split."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainables.data.columns import ColumnFlags, Columns, find_columns, looks_headless, values_of
from trainables.data.endings import UNNAMED, is_picture
from trainables.data.finding import Finder
from trainables.data.label_names import find_names_file, read_label_names
from trainables.data.raw import RawData, Row, relative_path
from trainables.data.rows import SIDES
from trainables.data.side_names import side_of, side_word
from trainables.data.tables import TABLES, CsvTable, read_table

RESERVED = ("path", "label", "group", "split", "source")
"""Columns of a manifest that cannot be attributes."""
_MOST_NAMED = 50
"""Rows with the same kind of problem that are named one by one."""


@dataclass(frozen=True)
class TableFlags:
    """What a user says of a table."""

    columns: ColumnFlags = field(default_factory=ColumnFlags)
    names: Path | None = None
    """File that names the labels."""
    by_name: bool = False
    """Whether groups come from file names."""


def read_csv(root: Path, table: CsvTable, flags: TableFlags, *, alone: bool = True) -> RawData:
    """Reads one table and, where it was found by its folder, the tables of the other sides beside it."""
    raw = RawData("CSV", root)
    others = [] if alone else _other_sides(root, table)
    first = _read(raw, table, flags, "train" if others else "")
    for side, other in others if first else ():
        if first and _has_labels(other, first):
            _read(raw, other, replace(flags, columns=_as_in(first, other, flags.columns)), side)
        else:
            raw.said.append(f"{other.name}: without the columns of {table.name}, so it is left out")
    if others and len({row.split for row in raw.rows}) > 1:
        raw.layout, raw.has_split = "CSV for each side of a split", True
    else:
        for row in raw.rows if others else ():
            row.split = ""
    if raw.has_split and raw.rows and not any(row.split == "train" for row in raw.rows):
        raw.problems.append(f"{table.name}: the column split never says train; name the rows to train on")
    _name_labels(raw, table, flags)
    _count_unnamed(raw)
    return raw


def _other_sides(root: Path, table: CsvTable) -> list[tuple[str, CsvTable]]:
    """The tables beside train.csv that are called like another side."""
    if side_of(Path(table.name).stem) != "train":
        return []
    found = []
    for path in sorted(root.iterdir()):
        side = side_of(path.stem) if path.suffix.lower() in TABLES and path.name != table.name else None
        if side in ("val", "test", "eval") and path.is_file():
            found.append((side, read_table(path)))
    has_val = any(side == "val" for side, _ in found)
    return [(("test" if has_val else "val") if side == "eval" else side, other) for side, other in found]


def _has_labels(table: CsvTable, first: Columns) -> bool:
    if not {first.path, *first.labels} <= set(table.columns) or table.problems:
        return False
    return any(first.label_of(values) for _, values in table.rows) if not first.one_hot else bool(table.rows)


def _as_in(first: Columns, other: CsvTable, named: ColumnFlags) -> ColumnFlags:
    """The columns of the first table, for another side's: a person in both must be found, however few there are.

    Args:
        first: Those of the first table.
        other: The other.
        named: What the user names.
    """
    told = first.group in other.columns and any(values[first.group] for _, values in other.rows)
    return replace(named, path=first.path, label=first.label, group=first.group if told else named.group)


def _read(raw: RawData, table: CsvTable, flags: TableFlags, side: str) -> Columns | None:
    """Adds the rows of one table; returns its columns, or nothing where they cannot be told."""
    root = raw.root
    raw.problems += table.problems
    raw.said += table.said
    if not table.columns:
        if not table.problems:
            raw.problems.append(f"{root / table.name}: the file is empty; write a CSV with the columns path,label")
        return None
    if looks_headless(table, root):
        raw.problems.append(
            f"{table.name} row 1: {table.columns[0]!r} is a picture; put the header path,label above it"
        )
        return None
    finder = Finder(str(root), Path(table.name).stem)
    columns, problems = find_columns(table, flags.columns, finder.exists)
    found = f"(found {','.join(table.columns)!r})"
    attributes = flags.columns.attributes
    unknown = [name for name in attributes if name not in table.columns or name in RESERVED]
    # A label that is to be made of columns which are not there is missing for that reason alone.
    needed = (("path", columns.path), ("label", columns.labels or unknown))
    missing = [name for name, there in needed if not there and not problems]
    if missing:
        flag = " or ".join(f"--{name}-column" for name in missing)
        made = ", or make the label of several by --attributes" if "label" in missing else ""
        problems.append(
            f"{table.name} row 1: no column {' and no column '.join(missing)} {found}; a CSV needs path,label (name "
            f"others by {flag}{made}) and a competition's train.csv id,gender,age,path"
        )
    problems += [
        f"--attributes {name}: {table.name} has no such column of attributes {found}; correct the name"
        for name in unknown
    ]
    raw.problems += problems
    if missing or (problems and not (columns.path and columns.labels)):
        return None
    raw.said += columns.said(table.name)
    raw.attributes = tuple(name for name in attributes if name not in unknown)
    raw.has_groups = flags.by_name or (bool(columns.group) and (raw.has_groups or not raw.rows))
    raw.has_split = raw.has_split or bool(columns.split)
    for source, values in table.rows:
        _add(raw, source, values, columns, finder, side, flags.by_name)
    raw.said += [f"{table.name}: {line}" for line in finder.said()]
    if columns.group not in ("", "group") and not flags.by_name:
        alone = sum(not value for value in values_of(table, columns.group))
        if alone:
            raw.said.append(
                f"{table.name}: {alone:,} row{'s' * (alone > 1)} without a {columns.group}: each such picture is a "
                "group of its own"
            )
    return columns


def _add(
    raw: RawData, source: str, values: Mapping[str, str], columns: Columns, finder: Finder, side: str, by_name: bool
) -> None:
    written = values[columns.path]
    path, problem = finder.find(written)
    row = Row(path, relative_path(path, finder.root), written, source, columns.label_of(values), "", bad=problem)
    named = values[columns.group] if columns.group else ""
    row.group = named or ("" if by_name or columns.group == "group" else row.relative)
    row.attributes = {name: values[name] for name in raw.attributes}
    said = values[columns.split] if columns.split else side
    row.split = said if said in SIDES or not said else side_word(said) or said.lower()
    needed = {columns.path: "path", columns.label: "label", **{name: name for name in raw.attributes}}
    if columns.group == "group" and not by_name:
        needed[columns.group] = "group"
    raw.problems += [
        f"{source}: the {meaning} is empty ({written!r}); write it, or delete the row"
        for column, meaning in needed.items()
        if column and not values[column]
    ]
    if columns.split and row.split not in SIDES:
        raw.problems.append(f"{source}: the split {said!r} is none of {', '.join(SIDES)}; correct it")
    if written:
        raw.rows.append(row)


def _name_labels(raw: RawData, table: CsvTable, flags: TableFlags) -> None:
    """Gives labels that are numbers their names, from the user's file or one that lies beside the table."""
    labels = {row.label for row in raw.rows if row.label}
    path = flags.names
    if path is None:
        if not labels or not all(label.removesuffix(".0").isdecimal() for label in labels):
            return
        path = find_names_file(raw.root, Path(table.name).stem)
    if path is None or path.name == table.name:
        return
    names, problem = read_label_names(path, labels)
    if problem and flags.names is not None:
        raw.problems.append(problem)
    elif problem:
        why = problem.removeprefix(f"--label-names {path}: ").partition(";")[0]
        raw.said.append(f"labels stay numbers, by {path.name}: {why}; --label-names names another file")
    else:
        raw.said.append(f"labels have the names of {path.name}")
        for row in raw.rows:
            row.label = names.get(row.label, row.label)


def _count_unnamed(raw: RawData) -> None:
    """Notes the files beside the pictures that no row names."""
    named = {row.path for row in raw.rows}
    for folder in sorted({os.path.dirname(path) for path in named}):  # noqa: PTH120
        try:
            with os.scandir(folder) as entries:
                paths = [f"{folder}/{e.name}" for e in entries if not e.is_dir()]
        except (OSError, ValueError):
            continue
        for path in sorted(paths):
            name = path.rpartition("/")[2]
            if path not in named and not name.lower().endswith(TABLES):
                if name.startswith(".") or not is_picture(path):
                    raw.left_out.add_file(path)
                else:
                    raw.left_out.add(path, UNNAMED)
