"""Pictures to be answered: a folder, a CSV with the column path, or the competition's eval folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from trainables.data.manifest import DataError
from trainables.data.raw import SUFFIXES, read_table, relative_path, walk

EVAL_COLUMNS = ("ImageID", "ans")
"""The columns of the competition's info.csv, which lies beside the folder images."""
_ENDINGS = " ".join(SUFFIXES)


@dataclass(frozen=True)
class UnlabelledPictures:
    """A table with a picture in every row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """The values of the columns, as they were read."""
    paths: tuple[str, ...]
    """Absolute path of each row's picture; whether it exists is not looked at here."""
    is_eval: bool = False
    """Whether it is the competition's info.csv, of which the column ans is to be filled."""
    file: Path | None = None
    """The CSV it was read from."""


def read_unlabelled(path: Path) -> UnlabelledPictures:
    """Recognizes what is at `path`: an eval folder or its parent by `info.csv`, a CSV, or a folder of pictures.

    Raises:
        DataError: There is nothing to answer.
    """
    path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  (Path.absolute keeps "..")
    if path.is_dir():
        for folder in (path, path / "eval"):
            if (folder / "info.csv").is_file() and (folder / "images").is_dir():
                return _read_csv(folder / "info.csv")
        return _read_folder(path)
    if not path.exists():
        raise DataError([f"{path}: no such file or folder; correct --data"])
    if path.suffix.lower() != ".csv":
        raise DataError([f"{path}: neither a folder nor a .csv file; give a folder of pictures, or a CSV"])
    return _read_csv(path)


def _read_csv(path: Path) -> UnlabelledPictures:
    table = read_table(path)
    problems = list(table.problems)
    is_eval = set(EVAL_COLUMNS) <= set(table.columns)
    column = "ImageID" if is_eval else "path"
    found = f"(found {','.join(table.columns)!r})" if table.columns else "(the file is empty)"
    if not problems and column not in table.columns:
        problems.append(f"{path}: no column path {found}; name the pictures there, relative to the CSV")
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
    base = path.parent / "images" if is_eval else path.parent
    return UnlabelledPictures(
        columns=table.columns,
        rows=tuple(tuple(values.values()) for _, values in table.rows),
        paths=tuple(os.path.normpath(base / values[column]) for _, values in table.rows),
        is_eval=is_eval,
        file=path,
    )


def _read_folder(folder: Path) -> UnlabelledPictures:
    base = str(folder)
    paths = sorted(path for path in walk(base) if path.lower().endswith(SUFFIXES))
    if not paths:
        raise DataError([f"{folder}: no picture ({_ENDINGS}) in it or below; correct --data"])
    names = tuple((relative_path(path, base),) for path in paths)
    return UnlabelledPictures(("path",), names, tuple(paths))
