"""Copies of the driver's files on a node: one a content, written once under a lock and a rename, kept for later."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from trainables.atomic import torn_name
from trainables.data.cache import default_cache_dir
from trainables.machine.home import can_write
from trainables.sizes import size_in_words
from trainables.supply.keeper import Parcel, room_for

COPIES = "sent"
"""Folder of the copies, in the node's cache folder."""
UNUSED_SECONDS = 24 * 3600
"""A copy that no trial has opened for so long is deleted if its room is needed."""
LOCK_SECONDS = 3600.0
"""How long a process waits for another on the node that writes the same copy."""
SPARE_SHARE = 0.05
"""Of the free disk, which stays free."""
Read = Callable[[str, int], Iterator[np.ndarray]]
"""Yields the parts of a file of a parcel, given its name and bytes, in order."""


class NoRoomError(OSError):
    """The disk of the node is too full for what trials read; names the folder, what is needed and the way out."""


def copies_folder(cache_dir: Path) -> Path:
    """Where copies lie on this node: in the folder that the driver's cache has, or else in the node's own.

    Args:
        cache_dir: `--cache-dir` of the driver, which may be a path that cannot be had here.
    """
    return (cache_dir if can_write(cache_dir) else default_cache_dir()) / COPIES


def find_copy(parcel: Parcel, folder: Path) -> Path | None:
    """The copy of a parcel, if it has been written before; it is as if it had been used just now."""
    copy = folder / parcel.key
    if not copy.exists():
        return None
    with contextlib.suppress(OSError):
        os.utime(copy)
    return _inside(copy, parcel)


def write_copy(parcel: Parcel, folder: Path, read: Read) -> Path:
    """The copy of a parcel; written first, unless that was done before or another process is at it.

    Args:
        parcel: What to copy.
        folder: Where copies lie.
        read: Gets the parts.

    Returns:
        The folder, or the file.

    Raises:
        NoRoomError: The disk is too full.
        OSError: It cannot be written, or not be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{parcel.key}.lock", timeout=LOCK_SECONDS):
            return find_copy(parcel, folder) or _write(parcel, folder, read)
    except Timeout as error:
        raise OSError(f"another process has been writing {folder / parcel.key} for an hour: end it") from error


def _write(parcel: Parcel, folder: Path, read: Read) -> Path:
    copy = folder / parcel.key
    for torn in folder.glob(f"{parcel.key}.tmp-*"):  # of a process that was killed; we hold the lock
        shutil.rmtree(torn, ignore_errors=True)
    _make_room(parcel.num_bytes, folder)
    draft = torn_name(copy)
    draft.mkdir()
    try:
        for name, size in parcel.files:
            file = draft / name
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as opened:
                for part in read(name, size):
                    opened.write(part.data)
                opened.flush()
                os.fsync(opened.fileno())
        draft.rename(copy)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return _inside(copy, parcel)


def _inside(copy: Path, parcel: Parcel) -> Path:
    return copy if parcel.is_folder else copy / parcel.files[0][0]


def _delete_unused(copy: Path, now: float) -> None:
    """Deletes a copy, unless a trial has opened it meanwhile; what a kill leaves of it has no copy's name."""
    torn = torn_name(copy)
    with contextlib.suppress(OSError):
        if now - copy.stat().st_mtime > UNUSED_SECONDS:
            copy.rename(torn)
            shutil.rmtree(torn, ignore_errors=True)


def _make_room(needed: int, folder: Path) -> None:
    """Deletes copies that have not been used for long, oldest first, while there is too little room.

    Raises:
        NoRoomError: It is not enough.
    """

    def enough() -> bool:
        return needed <= (1 - SPARE_SHARE) * room_for(folder)

    now = time.time()
    old = sorted((each.stat().st_mtime, each) for each in folder.iterdir() if each.is_dir())
    for used, copy in old:
        if enough():
            return
        if now - used > UNUSED_SECONDS:
            _delete_unused(copy, now)
    if not enough():
        raise NoRoomError(
            f"what trials read needs {size_in_words(needed)} in {folder}, where {size_in_words(room_for(folder))} are "
            "free: make room there, or give --cache-dir a folder on a larger disk"
        )
