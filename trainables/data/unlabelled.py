"""Pictures to be answered: a folder, one picture, a table with a column of paths, or the competition's eval folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainables.data.columns import ColumnFlags, find_columns, looks_headless
from trainables.data.endings import ENDINGS, LeftOut, is_picture, is_shown_picture
from trainables.data.finding import Finder
from trainables.data.manifest import DataError
from trainables.data.raw import relative_path, walk
from trainables.data.tables import TABLES, read_table

EVAL_COLUMNS = ("ImageID", "ans")
"""The columns of the competition's info.csv, which lies beside the folder images."""


@dataclass(frozen=True)
class UnlabelledPictures:
    """A table with a picture in every row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """The values of the columns, as they were read."""
    paths: tuple[str, ...]
    """Absolute path of each row's picture; whether it exists is not looked at here."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Of these, which were not found, and why, where there is more to say than that they are missing."""
    is_eval: bool = False
    """Whether it is the competition's info.csv, of which the column ans is to be filled."""
    file: Path | None = None
    """The CSV that was read."""
    said: tuple[str, ...] = ()
    """How a table was read, where that takes words."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """Files in a folder that are not answered."""


def read_unlabelled(path: Path, path_column: str = "") -> UnlabelledPictures:
    """Recognizes what is at `path`: an eval folder or its parent by `info.csv`, a table, a folder, or one picture.

    Args:
        path: What the user named.
        path_column: Column of a table that names the pictures; empty: found by its name and its values.

    Raises:
        DataError: There is nothing to answer.
    """
    path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  (Path.absolute keeps "..")
    try:
        return _read(path, path_column)
    except OSError as error:
        raise DataError([f"{error.filename}: cannot be read ({error.strerror}); correct --data"]) from error


def _read(path: Path, path_column: str) -> UnlabelledPictures:
    if path.is_dir():
        for folder in (path, path / "eval"):
            if (folder / "info.csv").is_file() and (folder / "images").is_dir():
                return _read_csv(folder / "info.csv", path_column)
        return _read_folder(path)
    if not path.exists():
        raise DataError([f"{path}: no such file or folder; correct --data"])
    if path.suffix.lower() in TABLES:
        return _read_csv(path, path_column)
    if path.is_file() and is_picture(str(path)):
        return UnlabelledPictures(("path",), ((path.name,),), (str(path),))
    raise DataError([f"{path}: neither a folder nor a .csv file nor a picture; give a folder of pictures, or a CSV"])


def _read_csv(path: Path, path_column: str) -> UnlabelledPictures:
    table = read_table(path)
    problems = list(table.problems)
    is_eval = set(EVAL_COLUMNS) <= set(table.columns)
    base = path.parent / "images" if is_eval else path.parent
    if looks_headless(table, base):
        problems.append(f"{path} row 1: {table.columns[0]!r} is a picture; put the header path above it")
    finder = Finder(str(base), path.stem)
    column = "ImageID"
    if not is_eval:
        found, unknown = find_columns(table, ColumnFlags(path=path_column), finder.exists)
        column = found.path
        problems += [problem for problem in unknown if "--path-column" in problem]
    listed = f"(found {','.join(table.columns)!r})" if table.columns else "(the file is empty)"
    if not problems and (not column or column not in table.columns):
        problems.append(f"{path}: no column path {listed}; name the pictures there, relative to the CSV")
    elif not problems and not table.rows:
        problems.append(f"{path}: no row below the header; add one row per picture")
    if not problems:
        problems = [
            f"{source}: the {column} is empty; write it, or delete the row"
            for source, values in table.rows
            if not values[column]
        ]
    if problems:
        raise DataError(problems)
    found_paths = [finder.find(values[column]) for _, values in table.rows]
    named = [] if column in ("path", "ImageID") else [f"{path.name}: column {column!r} as path"]
    return UnlabelledPictures(
        columns=table.written,
        rows=tuple(tuple(values.values()) for _, values in table.rows),
        paths=tuple(path for path, _ in found_paths),
        problems={path: problem for path, problem in found_paths if problem},
        is_eval=is_eval,
        file=path,
        said=(*table.said, *named, *finder.said()),
    )


def _read_folder(folder: Path) -> UnlabelledPictures:
    base, left_out, paths = str(folder), LeftOut(), []
    for path in walk(base, hidden=True):
        if is_shown_picture(path):
            paths.append(path)
        else:
            left_out.add_file(path)
    if not paths:
        there = f" ({'; '.join(left_out.lines()[:3])})" if left_out.total else ""
        raise DataError([f"{folder}: no picture ({ENDINGS}) in it or below{there}; correct --data"])
    paths.sort()
    names = tuple((relative_path(path, base),) for path in paths)
    return UnlabelledPictures(("path",), names, tuple(paths), left_out=left_out)
