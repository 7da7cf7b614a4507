"""A file is there whole or not at all: it is written under a temporary name beside its own, and then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TORN = "*.tmp-*"
"""What a process that was killed while it wrote leaves in the folder."""


@contextmanager
def replacing(path: Path, *, durable: bool = False, suffix: str = "") -> Iterator[Path]:
    """Yields a temporary name beside `path`, and at the end renames what is there to `path`; after an error, nothing.

    Args:
        path: The file to write; its folder is there.
        durable: Whether what was written, and the rename, must reach the disk: they survive a power cut.
        suffix: What the temporary name must end in, for a library that goes by it.

    Raises:
        FileExistsError: There is a device, which a file would take the place of.
    """
    if _is_device(path):
        raise FileExistsError(errno.EEXIST, "this is a device, and would be replaced", str(path))
    temporary = torn_name(path, suffix)
    try:
        yield temporary
        if durable:
            _to_disk(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        _to_disk(path.parent)


def torn_name(path: Path, suffix: str = "") -> Path:
    """A name beside a file or folder for what is not whole yet, of this process and moment alone; `TORN` finds it."""
    return path.with_name(f"{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}{suffix}")


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file's content in one step: whoever reads it sees the old content or the new, never a part.

    It has reached the disk then. A link stays a link (the file it points to is replaced) and an existing file keeps
    its mode. Missing folders are made. A device, such as /dev/null, is written to.
    """
    target = Path(os.path.realpath(path))
    if _is_device(target):
        target.write_bytes(content)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target, durable=True) as temporary:
        temporary.touch()
        with contextlib.suppress(FileNotFoundError):  # before there is anything to read
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.write_bytes(content)


def _is_device(path: Path) -> bool:
    return path.is_char_device() or path.is_block_device()


def _to_disk(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
