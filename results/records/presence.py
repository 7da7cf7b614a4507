"""Who is at a run right now: a small file that the process at work keeps fresh and takes away when it ends.

The lock of a run keeps two processes apart; this file says to everybody else, on this machine or on another that sees
the folder, which process that is and what it does.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import psutil

from results.records.run_folder import RunFolder
from trainables.atomic import replacing
from trainables.strict_json import RecordError, check_fields, parse_object

BEATS_SECONDS = 2.0
"""How often a process writes its file."""
STALE_SECONDS = 60.0
"""A file of another machine that is older than this was left by a process that is gone: clocks may differ."""


@dataclass(frozen=True, kw_only=True)
class Presence:
    """A process that is at a run."""

    host: str
    """Name of its machine."""
    pid: int
    """Its number there."""
    process_began: float
    """When the process began, in seconds since 1970: numbers are used again after a reboot."""
    doing: str
    """What it does to the run: `searched`, `trained again`, ..."""
    since: str
    """When it took the run: ISO 8601 with offset."""

    @classmethod
    def of_this_process(cls, doing: str) -> Presence:
        """This process, from now on."""
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            process_began=psutil.Process().create_time(),
            doing=doing,
            since=datetime.now().astimezone().isoformat(timespec="seconds"),
        )

    @property
    def is_here(self) -> bool:
        """Whether the process is one of this machine."""
        return self.host == socket.gethostname()

    @property
    def is_this_process(self) -> bool:
        """Whether it is the process that asks."""
        return self.is_here and self.pid == os.getpid()

    def is_alive(self, written: float) -> bool:
        """Whether the process still is at work.

        Args:
            written: When its file was last written, in seconds since 1970.
        """
        if not self.is_here:
            return time.time() - written < STALE_SECONDS
        return is_running(self.pid, self.process_began)

    def write(self, path: Path) -> None:
        """Writes the file, whole or not at all; it need not survive a power cut."""
        with replacing(path) as temporary:
            temporary.write_bytes(self.as_bytes())

    def as_bytes(self) -> bytes:
        """What its file holds."""
        return json.dumps(asdict(self), allow_nan=False).encode()

    @classmethod
    def of_bytes(cls, held: bytes, where: str) -> Presence:
        """What a file tells of.

        Args:
            held: Its content.
            where: What to call it in an error.

        Raises:
            RecordError: It is not one of ours.
        """
        return cls(**check_fields(cls, parse_object(held, where), where))


def is_running(pid: int, began: float) -> bool:
    """Whether the process of this machine that began then still runs: its number may be another's by now.

    Args:
        pid: Its number.
        began: When it began, in seconds since 1970.
    """
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - began) < 1.0
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def who_is_at_run(folder: RunFolder) -> Presence | None:
    """The live process that searches a run or trains it again; None if there is none."""
    return who_is_at(folder.presence) or who_is_at(folder.retrained.presence)


def who_is_at(path: Path) -> Presence | None:
    """The live process that a file tells of; None if there is none, or the file is not one of ours."""
    with contextlib.suppress(OSError, RecordError):
        presence = Presence.of_bytes(path.read_bytes(), str(path))
        if presence.is_alive(path.stat().st_mtime):
            return presence
    return None
