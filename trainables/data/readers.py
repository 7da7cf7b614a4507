"""Recognizes the layout of a data folder and reads it; collects all that is wrong."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import stat
from pathlib import Path

from trainables.data.competition import COLUMNS, read_competition
from trainables.data.raw import SUFFIXES, CsvTable, RawData, Row, read_table, relative_path, walk
from trainables.data.rows import SIDES

RESERVED = ("path", "label", "group", "split", "source")
"""Columns of a manifest that cannot be attributes."""

_LOOKED_FOR = (
    "looked for a competition folder (train/train.csv with train/images), a CSV file or train.csv with the "
    "columns path,label, and a folder with one sub-folder per class"
)
_ENDINGS = " ".join(SUFFIXES)


def read_layout(path: Path, *, attributes: tuple[str, ...] = (), group_regex: str | None = None) -> RawData:
    """Reads whatever layout is at `path`; see `load_manifest` for the layouts."""
    path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  (Path.absolute keeps "..")
    try:
        return _read_layout(path, attributes, group_regex)
    except OSError as error:
        way_out = "correct its permissions, or --data"
        return RawData("", path, problems=[f"{error.filename}: cannot be read ({error.strerror}); {way_out}"])


def _read_layout(path: Path, attributes: tuple[str, ...], group_regex: str | None) -> RawData:
    pattern, problems = _compile(group_regex)
    if not path.exists():
        raw = RawData("", path, problems=[_nothing_at(path)])
    elif csv_path := _find_csv(path):
        table = read_table(csv_path)
        if set(table.columns) >= COLUMNS and "label" not in table.columns:
            raw = read_competition(csv_path.parent, table)
            if group_regex is not None:
                problems = [f"--group-regex {group_regex!r}: a competition's groups are its ids; leave the flag out"]
            if unknown := [name for name in attributes if name not in raw.attributes]:
                problems.append(
                    f"--attributes {' '.join(unknown)}: a competition's attributes are mask, gender and age; "
                    "leave the flag out"
                )
        else:
            raw = _read_csv(csv_path.parent, table, attributes, pattern)
    elif path.is_file():
        raw = RawData("", path, problems=[f"{path}: neither a folder nor a .csv file; {_LOOKED_FOR}"])
    else:
        raw = _read_folder(path, pattern)
        if attributes:
            problems.append(
                f"--attributes {' '.join(attributes)}: a folder of classes has no columns; leave the flag "
                "out, or write a CSV with path, label and these columns"
            )
    raw.problems = problems + raw.problems
    if pattern is not None and raw.layout != "competition folder":
        _group_by_name(raw, pattern)
    _leave_out_unreadable_names(raw)
    _mark_bad_files(raw)
    if not (raw.rows or raw.problems or raw.strays):
        raw.problems.append(f"{path}: no row below the header of the CSV; add one row per picture")
    return raw


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


def _find_csv(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix.lower() == ".csv" else None
    candidates = [path / "train.csv", path / "train" / "train.csv"]
    if path.name == "images":
        candidates.append(path.parent / "train.csv")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _read_csv(root: Path, table: CsvTable, attributes: tuple[str, ...], pattern: re.Pattern[str] | None) -> RawData:
    raw = RawData("CSV", root, problems=list(table.problems))
    found = f"(found {','.join(table.columns)!r})"
    missing = [name for name in ("path", "label") if name not in table.columns]
    if missing and table.columns:
        raw.problems.append(
            f"{table.name} row 1: no column {' and no column '.join(missing)} {found}; a CSV needs "
            "path,label and a competition's train.csv id,gender,age,path"
        )
    elif missing and not table.problems:
        raw.problems.append(f"{root / table.name}: the file is empty; write a CSV with the columns path,label")
    unknown = [name for name in attributes if name not in table.columns or name in RESERVED]
    if table.columns:
        raw.problems += [
            f"--attributes {name}: {table.name} has no such column of attributes {found}; correct the name"
            for name in unknown
        ]
    if missing:
        return raw
    raw.attributes = tuple(name for name in attributes if name not in unknown)
    raw.has_groups = pattern is not None or "group" in table.columns
    raw.has_split = "split" in table.columns
    base = str(root)
    for source, values in table.rows:
        written = values["path"]
        path = os.path.normpath(os.path.join(base, written))  # noqa: PTH118
        row = Row(path, relative_path(path, base), written, source, values["label"], "")
        row.group = values.get("group", "") if raw.has_groups else row.relative
        row.split = values.get("split", "").lower()
        row.attributes = {name: values[name] for name in raw.attributes}
        needed = ["path", "label", *raw.attributes]
        if raw.has_groups and pattern is None:
            needed.append("group")
        raw.problems += [
            f"{source}: the {name} is empty ({written!r}); write it, or delete the row"
            for name in needed
            if not values[name]
        ]
        if raw.has_split and row.split not in SIDES:
            raw.problems.append(f"{source}: the split {values['split']!r} is none of {', '.join(SIDES)}; correct it")
        if written:
            raw.rows.append(row)
    if raw.has_split and raw.rows and not any(row.split == "train" for row in raw.rows):
        raw.problems.append(f"{table.name}: the column split never says train; name the rows to train on")
    return raw


def _read_folder(root: Path, pattern: re.Pattern[str] | None) -> RawData:
    raw = RawData("folder of classes", root, has_groups=pattern is not None)
    with os.scandir(root) as entries:
        visible = {e.name: e.is_dir() for e in entries if not e.name.startswith(".") and e.name != "__MACOSX"}
    folders = sorted(name for name, is_dir in visible.items() if is_dir)
    raw.ignored_files = len(visible) - len(folders)
    tables = sorted(name for name in visible if name.lower().endswith(".csv"))
    if folders and {name.lower() for name in folders} <= {*SIDES, "eval", "valid", "validation", "dev"}:
        raw.problems.append(
            f"{root}: its sub-folders {', '.join(folders)} look like the sides of a split, not like classes, "
            f"and there is no train/train.csv; {_LOOKED_FOR}; give {root / folders[0]}, or a CSV with the "
            "columns path,label,split"
        )
        return raw
    empty = []
    for name in folders:
        before = len(raw.rows)
        for path in walk(f"{root}/{name}"):
            if path.lower().endswith(SUFFIXES):
                relative = relative_path(path, str(root))
                raw.rows.append(Row(path, relative, relative, path, name, relative))
            else:
                raw.ignored_files += 1
        if len(raw.rows) == before:
            empty.append(f"{root / name}: no picture ({_ENDINGS}) in this class; add some or remove the folder")
    raw.problems += empty
    if not raw.rows:
        way_out = "make a folder for each class, or write a CSV with the columns path,label"
        if tables:
            way_out = f"give the CSV itself, {root / tables[0]}"
        what = f"no picture ({_ENDINGS}) in any sub-folder" if folders else "no data found"
        raw.problems = [f"{root}: {what}; {_LOOKED_FOR}; {way_out}"]
    return raw


def _group_by_name(raw: RawData, pattern: re.Pattern[str]) -> None:
    """Takes each row's group from its file name."""
    unmatched = []
    for row in raw.rows:
        name = row.path.rpartition("/")[2]
        match = pattern.search(name)
        row.group = (match and match[1 if pattern.groups else 0]) or ""
        if not row.group:
            unmatched.append((row.source, name))
    flag = f"--group-regex {pattern.pattern!r}"
    if unmatched and len(unmatched) == len(raw.rows):
        some = ", ".join(repr(name) for _, name in unmatched[:3])
        raw.problems.append(f"{flag}: finds a group in no file name, for example not in {some}; correct it")
    else:
        raw.problems += [
            f"{source}: {flag} finds no group in the file name {name!r}; widen it or rename the file"
            for source, name in unmatched
        ]


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
