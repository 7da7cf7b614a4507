"""Recognizes the layout of a data folder and reads it; collects all that is wrong."""

from __future__ import annotations

import contextlib
import difflib
import itertools
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from trainables.data.columns import ColumnFlags, find_columns, label_columns
from trainables.data.competition import COLUMNS, read_competition
from trainables.data.csv_reader import RESERVED, TableFlags, read_csv
from trainables.data.finding import Finder
from trainables.data.folders import holds_classes, only_differ_by_number, read_folder, sub_folders
from trainables.data.raw import RawData, Row
from trainables.data.side_names import side_of
from trainables.data.tables import TABLES, CsvTable, read_table

__all__ = ["RESERVED", "read_layout"]

_LOOKED_FOR = (
    "looked for a competition folder (train/train.csv with train/images), a CSV or parquet file, a folder with "
    "train.csv or with one such file, and a folder with one sub-folder per class, with or without train, val and test "
    "above them"
)

_LOOKED_AT = 20
"""First rows of a table by which it is told whether it names pictures."""
_USUAL = ("labels", "train_labels", "metadata", "annotations", "data", "index", "dataset", "images")
"""Names of the table of pictures, among others in its folder."""


def read_layout(
    path: Path,
    *,
    group_regex: str | None = None,
    columns: ColumnFlags | None = None,
    label_names: Path | None = None,
) -> RawData:
    """Reads whatever layout is at `path`; see `load_manifest` for the layouts."""
    path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  (Path.absolute keeps "..")
    flags = TableFlags(columns or ColumnFlags(), label_names, group_regex is not None)
    try:
        return _read_layout(path, flags, group_regex)
    except OSError as error:
        way_out = "correct its permissions, or --data"
        return RawData("", path, problems=[f"{error.filename}: cannot be read ({error.strerror}); {way_out}"])


def _read_layout(path: Path, flags: TableFlags, group_regex: str | None) -> RawData:
    pattern, problems = _compile(group_regex)
    csv_path, problem = _find_csv(path) if path.exists() else (None, _nothing_at(path))
    if csv_path is not None:
        table = read_table(csv_path)
        if _is_competition(table, flags):
            raw = read_competition(csv_path.parent, table)
            if group_regex is not None:
                problems = [f"--group-regex {group_regex!r}: a competition's groups are its ids; leave the flag out"]
            if unknown := [name for name in flags.columns.attributes if name not in raw.attributes]:
                problems.append(
                    f"--attributes {' '.join(unknown)}: a competition's attributes are mask, gender and age; "
                    "leave the flag out"
                )
        else:
            raw = read_csv(csv_path.parent, table, flags, alone=path.is_file())
    elif path.is_file():
        raw = RawData("", path, problems=[f"{path}: neither a folder nor a .csv file, .tsv or .parquet; {_LOOKED_FOR}"])
    elif problem:
        raw = RawData("", path, problems=[problem])
    else:
        raw = read_folder(path, pattern is not None, _LOOKED_FOR)
        problems += _refused_for_folders(flags)
    raw.problems = problems + raw.problems
    if pattern is not None and raw.layout != "competition folder":
        _group_by_name(raw, pattern)
    _leave_out_unreadable_names(raw)
    _mark_bad_files(raw)
    if not (raw.rows or raw.problems or raw.strays):
        raw.problems.append(f"{path}: no row below the header of the CSV; add one row per picture")
    return raw


def _is_competition(table: CsvTable, flags: TableFlags) -> bool:
    """Whether a table is that of the mask competition, and nothing of it or of the flags says what the label is."""
    is_told = bool(flags.columns.label) or flags.names is not None
    return set(table.columns) >= COLUMNS and not is_told and not label_columns(table)


def _refused_for_folders(flags: TableFlags) -> list[str]:
    """Problems: flags that only mean something for a table."""
    problems = []
    if attributes := flags.columns.attributes:
        problems.append(
            f"--attributes {' '.join(attributes)}: a folder of classes has no columns; leave the flag "
            "out, or write a CSV with path, label and these columns"
        )
    for name in ("path", "label", "group"):
        if column := getattr(flags.columns, name):
            problems.append(f"--{name}-column {column}: a folder of classes has no columns; leave the flag out")
    if flags.names is not None:
        problems.append(f"--label-names {flags.names}: folders name the classes themselves; leave the flag out")
    return problems


def _compile(group_regex: str | None) -> tuple[re.Pattern[str] | None, list[str]]:
    try:
        return (None if group_regex is None else re.compile(group_regex)), []
    except re.error as error:
        return None, [f"--group-regex {group_regex!r}: no regular expression ({error}); correct it, as in '^([0-9]+)_'"]


def _nothing_at(path: Path) -> str:
    parent = next(folder for folder in path.parents if folder.is_dir())
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = sorted(entry.name for entry in parent.iterdir() if not entry.name.startswith("."))
    near = difflib.get_close_matches(path.relative_to(parent).parts[0], names, n=1) or names[:5]
    hint = f"{parent} holds {', '.join(near)}" if near else f"there is nothing in {parent}"
    return f"{path}: no such file or folder ({hint}); correct --data, or leave it out for the built-in demo set"


def _find_csv(path: Path) -> tuple[Path | None, str]:
    """The table to read, and the problem of a folder of which it cannot be told which, or whether one says the classes.

    It is the file itself, a train table in the folder, or the only table where there are no classes.
    """
    if path.is_file():
        return (path if path.suffix.lower() in TABLES else None), ""
    folders = [path, path / "train", *([path.parent] if path.name == "images" else [])]
    for folder, suffix in itertools.product(folders, TABLES):
        if (candidate := folder / f"train{suffix}").is_file():
            return candidate, ""
    if not (tables := _tables(path)):
        return None, ""
    parts, has_classes = _parts(path), holds_classes(path)
    usual = tables
    if len(tables) > 1 and not (has_classes and len(parts) > 1):
        usual = [p for p in tables if p.stem.lower() in _USUAL or side_of(p.stem) == "train"]
        usual = usual if len(usual) == 1 else []
    if has_classes:
        usual = [p for p in usual if parts and _lists_pictures(p)]
    if len(usual) == 1:
        return usual[0], ""
    if has_classes:
        return None, _table_or_folders(path, tables, parts)
    names = ", ".join(table.name for table in tables[:4]) + (", ..." if len(tables) > 4 else "")
    return None, f"{path}: {len(tables)} tables ({names}), no class folders; give the CSV itself, {tables[0]}"


def _table_or_folders(path: Path, tables: Sequence[Path], parts: Sequence[str]) -> str:
    """The problem of a folder in which a table may say the classes, or the folders that differ by a number alone."""
    named = [p for p in tables if _names_pictures(p)] if len(parts) > 1 else []
    if not named:
        return ""
    return (
        f"{path}: its folders {parts[0]}, {parts[1]}{', ...' * (len(parts) > 2)} differ by a number alone, and "
        f"{' and '.join(table.name for table in named[:3])} beside them "
        f"{'names' if len(named) == 1 else 'name'} their pictures; if that says the classes, give the table itself, "
        f"--data {named[0]} (its columns by --path-column and --label-column); if the folders are the classes, move it "
        "elsewhere"
    )


def _tables(root: Path) -> list[Path]:
    """The tables right in a folder, but for a submission."""
    found = [p for p in sorted(root.iterdir()) if p.suffix.lower() in TABLES and not p.name.startswith(".")]
    return [p for p in found if p.is_file() and "submission" not in p.name.lower()]


def _parts(root: Path) -> list[str]:
    """The sub-folders, if they differ by a number alone, as `images_part1` and `images_part2` do; else none."""
    names = sub_folders(str(root))
    return names if only_differ_by_number(names) and not all(name.isdigit() for name in names) else []


def _lists_pictures(table: Path) -> bool:
    """Whether a table beside folders of parts can be read as it stands, and its pictures are there."""
    if not _names_pictures(table, or_numbers=True):
        return False
    raw = read_csv(table.parent, read_table(table), TableFlags(), alone=False)
    return bool(raw.rows) and not raw.problems and all(Path(row.path).is_file() for row in raw.rows)


def _names_pictures(table: Path, *, or_numbers: bool = False) -> bool:
    """Whether most of the first rows of a table name pictures beside it; bare numbers may be anything."""
    first = read_table(table, _LOOKED_AT)
    finder = Finder(str(table.parent), table.stem)
    column = find_columns(first, ColumnFlags(), finder.exists)[0].path
    named = [values[column] for _, values in first.rows] if column else []
    found = [name for name in named if (or_numbers or not name.isdigit()) and finder.exists(name)]
    return len(found) > len(named) / 2


def _group_by_name(raw: RawData, pattern: re.Pattern[str]) -> None:
    """Takes each row's group from its file name, or from its path below the data folder.

    From the path where it fits no file name, as one with a slash in it.
    """
    flag = f"--group-regex {pattern.pattern!r}"
    names, where = [row.path.rpartition("/")[2] for row in raw.rows], "the file name"
    groups = [_group_in(name, pattern) for name in names]
    if not any(groups):
        some = ", ".join(map(repr, names[:3]))
        names, where = [row.relative for row in raw.rows], "the path"
        groups = [_group_in(name, pattern) for name in names]
    if raw.rows and not any(groups):
        raw.problems.append(
            f"{flag}: finds a group in no file name, for example not in {some}, and in no path below {raw.root}, "
            f"such as {names[0]!r}; correct it"
        )
        return
    for row, group in zip(raw.rows, groups, strict=True):
        row.group = group
    raw.problems += [
        f"{row.source}: {flag} finds no group in {where} {name!r}; widen it or rename the file"
        for row, name in zip(raw.rows, names, strict=True)
        if not row.group
    ]
    if raw.rows and groups[0]:
        raw.said.append(f"groups by --group-regex in {where}, such as {groups[0]!r} in {names[0]!r}")


def _group_in(name: str, pattern: re.Pattern[str]) -> str:
    match = pattern.search(name)
    return (match and match[1 if pattern.groups else 0]) or ""


def _leave_out_unreadable_names(raw: RawData) -> None:
    """Takes out pictures whose file names are not UTF-8, which neither pandas nor a record can hold."""
    rows = []
    for row in raw.rows:
        try:
            row.path.encode()
            rows.append(row)
        except UnicodeEncodeError:
            shown = f"{row.source}: {row.relative}" if not row.source.endswith(row.relative) else row.source
            line = f"{shown}: the file name is not UTF-8 text"
            raw.strays.append(line.encode(errors="backslashreplace").decode())
    raw.rows = rows


def _mark_bad_files(raw: RawData) -> None:
    """Notes each row's missing, empty or unreadable file; a picture that two rows name is a problem."""
    by_path: dict[str, Row] = {}
    by_file: dict[tuple[int, int], Row] = {}
    for row in raw.rows:
        if (before := by_path.setdefault(row.path, row)) is not row:
            raw.problems.append(_twice(row, before))
            continue
        if row.bad:
            continue
        try:
            status = os.stat(row.path)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            row.bad = f"no such file (looked for {row.path})"
            continue
        except (OSError, ValueError) as error:  # a ValueError where the name holds a NUL
            row.bad = f"cannot be read ({getattr(error, 'strerror', error)}: {row.path})"
            continue
        if not stat.S_ISREG(status.st_mode):
            row.bad = "not a file"
        elif not status.st_size:
            row.bad = "zero bytes"
        elif not os.access(row.path, os.R_OK):
            row.bad = f"cannot be read (no permission: {row.path})"
        # Two names of one file are the same picture if a link leads from one to the other; equal inodes alone
        # can be hard links, which are two pictures to their owner.
        before = by_file.setdefault((status.st_dev, status.st_ino), row)
        if before is not row and os.path.realpath(before.path) == os.path.realpath(row.path):
            raw.problems.append(_twice(row, before))


def _twice(row: Row, before: Row) -> str:
    other = f"{before.written!r} ({before.source})"
    return f"{row.source}: {row.written!r} is the same picture as {other}; delete one of the two"
