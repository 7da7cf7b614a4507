"""What a reader of a data folder finds before it is checked: rows of text, and what is wrong with them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainables.data.endings import LeftOut


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
    said: list[str] = field(default_factory=list)
    """How the layout was read, in a sentence each, for the user to agree or not."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """The files that no row stands for."""


def sorted_names(names: Iterable[str]) -> tuple[str, ...]:
    """The different names in natural order, by which 2 stands before 10."""
    return tuple(sorted(set(names), key=_natural_order))


def relative_path(path: str, base: str) -> str:
    """`os.path.relpath`, at a tenth of its time for a path below `base`."""
    return path[len(base) + 1 :] if path.startswith(f"{base}/") else os.path.relpath(path, base)


OF_SYSTEMS = ("__MACOSX", "lost+found")
"""Folders that an archive of a Mac and a disk of Linux have for themselves."""


def walk(folder: str, hidden: bool = False, *, passes_over_shut: bool = False) -> Iterator[str]:
    """Yields every file below a folder, hidden ones only if asked for, and never what is in hidden folders.

    Links to folders are followed, but none is entered twice.

    Args:
        folder: Absolute.
        hidden: Whether hidden files are wanted.
        passes_over_shut: Whether folders that may not be read are passed over.

    Raises:
        OSError: A folder cannot be read; names it.
    """
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=None if passes_over_shut else _raise):
        status = os.stat(parent)  # noqa: PTH116
        known = (status.st_dev, status.st_ino) in seen
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [] if known else sorted(n for n in folders if not n.startswith(".") and n not in OF_SYSTEMS)
        if not known:
            yield from (f"{parent}/{name}" for name in sorted(files) if hidden or not name.startswith("."))


def _raise(error: OSError) -> None:
    raise error


def _natural_order(name: str) -> tuple[list[str | int], str]:
    return [int(part) if part.isdecimal() else part.casefold() for part in re.split(r"(\d+)", name)], name
