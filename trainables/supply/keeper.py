"""Reads and writes on the driver's node for nodes that do not see its disk; an actor of Ray's is made of it.

It keeps nothing that it could not find out again, so that it may be started anew at any time. It is given parts of
files, so that no message is large; parts may come in any order.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainables.atomic import TORN
from trainables.networks.known_costs import known_fact

HASH_DIGITS = 24
"""Of the SHA-256 that a copy is called by."""


@dataclass(frozen=True)
class Parcel:
    """A file, or a folder of files, that a node may be given a copy of."""

    key: str
    """Tells contents apart, whatever their names: what has the same key is the same."""
    files: tuple[tuple[str, int], ...]
    """Path within the folder and bytes of each file; for a file alone its own name."""
    is_folder: bool

    @property
    def num_bytes(self) -> int:
        """Of all files together."""
        return sum(size for _, size in self.files)


class Keeper:
    """Hands out what trials read, and takes in what they write."""

    def __init__(self, cache_dir: str) -> None:
        """Knows nothing yet.

        Args:
            cache_dir: Where the hashes of files are remembered: a search after this one need not read them for it.
        """
        self._cache_dir = Path(cache_dir)
        self._open: dict[str, float] = {}

    def describe(self, path: str) -> Parcel | None:
        """What there is at a path; None if nothing is.

        Raises:
            OSError: It cannot be read.
        """
        whole = Path(path)
        if not whole.exists():
            return None
        folder = whole if whole.is_dir() else whole.parent
        files = sorted(each for each in whole.rglob("*") if each.is_file()) if whole.is_dir() else [whole]
        sizes = tuple((each.relative_to(folder).as_posix(), each.stat().st_size) for each in files)
        digest = hashlib.sha256()
        for file, (name, size) in zip(files, sizes, strict=True):
            digest.update(f"{name if whole.is_dir() else ''} {size} {self._hash(file)}\n".encode())
        return Parcel(digest.hexdigest()[:HASH_DIGITS], sizes, whole.is_dir())

    def read(self, path: str, offset: int, num_bytes: int) -> np.ndarray:
        """A part of a file, `(num_bytes,) uint8`.

        Raises:
            OSError: It cannot be read, or has become shorter.
        """
        with Path(path).open("rb") as file:
            file.seek(offset)
            part = file.read(num_bytes)
        if len(part) != num_bytes:
            raise OSError(f"{path} has become shorter while it was sent")
        return np.frombuffer(part, np.uint8)

    def size(self, path: str) -> int | None:
        """Bytes of a file; None if there is none."""
        return Path(path).stat().st_size if Path(path).is_file() else None

    def begin(self, folder: str, *more: str) -> None:
        """Makes the folders of a trial that begins.

        Args:
            folder: Of its checkpoints, which the driver deletes when nobody wants them any more.
            more: Others that it writes into.
        """
        for each in (folder, *more):
            Path(each).mkdir(parents=True, exist_ok=True)
        for torn in Path(folder).glob(TORN):  # of an attempt whose node died
            torn.unlink(missing_ok=True)
        self._open[folder] = time.monotonic()

    def end(self, folder: str) -> None:
        """Takes in that a trial has sent its last file."""
        self._open.pop(folder, None)

    def quiet_seconds(self) -> dict[str, float]:
        """How long nothing has come from each trial that has not said that it has sent everything, by its folder."""
        now = time.monotonic()
        return {folder: now - last for folder, last in list(self._open.items())}

    def write(self, path: str, draft: str, offset: int, part: np.ndarray, *, is_whole: bool = False) -> bool:
        """Writes a part of a file under a name for drafts.

        Args:
            path: The file.
            draft: The name to write it under, in the same folder.
            offset: Where the part begins, in bytes.
            part: `(bytes,) uint8`.
            is_whole: Whether it is all of the file, which then gets its name at once.

        Returns:
            False if its folder is gone: nobody wants the file any more.

        Raises:
            OSError: It cannot be written.
        """
        folder = str(Path(path).parent)
        if folder in self._open:
            self._open[folder] = time.monotonic()
        try:
            opened = os.open(Path(path).with_name(draft), os.O_WRONLY | os.O_CREAT, 0o666)
        except FileNotFoundError:
            return False
        try:
            content = part.tobytes()
            while content:
                written = os.pwrite(opened, content, offset)
                content, offset = content[written:], offset + written
        finally:
            os.close(opened)
        if is_whole:
            self.commit(path, draft)
        return True

    def commit(self, path: str, draft: str) -> None:
        """Gives a draft, all parts of which have been written, its name."""
        Path(path).with_name(draft).replace(path)

    def remove(self, path: str) -> None:
        """Takes a file away, if it is there."""
        Path(path).unlink(missing_ok=True)

    def _hash(self, file: Path) -> str:
        status = file.stat()

        def read() -> str:
            with file.open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest()

        if status.st_size < 2**20:  # as quick to read as to look up
            return read()
        key = f"content of {file} {status.st_size} {status.st_mtime_ns}"
        return str(known_fact(self._cache_dir, key, read, lambda known: isinstance(known, str)))


def room_for(folder: Path) -> int:
    """Free bytes on the disk of a folder, there or not."""
    return shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.exists())).free
