"""Folders of reports: replaced whole or not at all, and only if they hold nothing but an earlier report."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainables.atomic import torn_name
from trainables.errors import UserError
from trainables.machine.home import can_write
from trainables.strict_json import RecordError, load_object, save_object

FILES = "files"
"""Key under which the marker of a report names all files of its folder."""


def refuse_foreign_folder(out: Path, marker: str, what: str) -> None:
    """Makes sure that a folder can be made or replaced.

    Args:
        out: The folder; there need not be one.
        marker: The file by which a report of this kind is known.
        what: What such a report is called, as in "an evaluation".

    Raises:
        UserError: It is a file, or a folder that holds something else than an earlier report, or one that cannot be
            replaced: where nothing may be written, or where a disk is mounted.
    """
    out = out.resolve()  # a link to a folder stays, and the folder is replaced
    _refuse_fixed(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    ours: set[str] = set()
    with contextlib.suppress(RecordError, OSError, TypeError):
        ours = {marker, *load_object(out / marker).get(FILES, ())}
    if not ours:
        raise UserError(f"{out} exists and is not {what}: name another folder by --out")
    if foreign := sorted({path.name for path in out.iterdir()} - ours):
        raise UserError(
            f"{out} holds {what}, but {foreign[0]!r} is not a part of it and would be lost: move it away, or name "
            "another folder by --out"
        )


def _refuse_fixed(out: Path) -> None:
    if not can_write(out.parent):
        raise UserError(f"{out} cannot be made, as {out.parent} cannot be written: name another folder by --out")
    if os.path.ismount(out):
        raise UserError(f"{out} is where a disk is mounted, and a report replaces its folder: name one in it by --out")


@contextmanager
def replace_folder(out: Path, marker: str, what: str, numbers: Mapping[str, Any]) -> Iterator[Path]:
    """Yields a new folder to fill; at the end it gets its marker and takes the place of an earlier one.

    Args:
        out: The folder.
        marker: The file by which a report of this kind is known.
        what: What such a report is called.
        numbers: What the marker holds besides the names of the files, as strict JSON values.

    Raises:
        UserError: `out` holds something else.
        OSError: The folder cannot be written.
    """
    out = out.resolve()  # a link stays one
    refuse_foreign_folder(out, marker, what)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft, before = (torn_name(out) for _ in range(2))
    try:
        draft.mkdir()
        yield draft
        files = sorted(path.name for path in draft.iterdir())
        save_object(draft / marker, {**numbers, FILES: files})
        if out.exists():
            out.rename(before)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if before.exists() and not out.exists():
            before.rename(out)
        shutil.rmtree(before, ignore_errors=True)
