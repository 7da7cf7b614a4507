"""Keeps a run to one process, and tells everybody who looks at the folder which one that is."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from results.records.presence import BEATS_SECONDS, Presence
from results.records.run_folder import RunFolder
from trainables.errors import UserError


@contextmanager
def hold(run_dir: Path, doing: str = "searched") -> Iterator[None]:
    """Keeps the run to this process; the lock goes with the process, however it ends.

    Args:
        run_dir: Folder of the run.
        doing: What the process does to it, as in "is being searched".

    Raises:
        UserError: Another process is at it.
    """
    folder = RunFolder(run_dir)
    lock = FileLock(folder.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"{run_dir} is in use by another process: wait for it, or end it") from error
    try:
        with _told(folder.presence, doing):
            yield
    finally:
        lock.release()


def now_doing(run_dir: Path, doing: str) -> None:
    """Tells that the process that holds a run does something else to it by now; if it cannot, that stops nobody.

    Args:
        run_dir: Folder of the run.
        doing: As in `hold`.
    """
    with contextlib.suppress(OSError):
        Presence.of_this_process(doing).write(RunFolder(run_dir).presence)


@contextmanager
def _told(path: Path, doing: str) -> Iterator[None]:
    """Keeps the file that says who is at the run fresh; that it cannot be written stops nobody."""
    with contextlib.suppress(OSError):
        Presence.of_this_process(doing).write(path)
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEATS_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(path)

    thread = threading.Thread(target=beat, name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
