"""The commands that the page was asked to start, whoever runs them: this machine, or a Ray cluster."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

AS_ASKED = (0, 130, 143)
"""Exit codes of a command that is done, or that was told to end: by Ctrl-C, which the page's Stop is, or by SIGTERM."""
LOG_TAIL_BYTES = 60_000


def as_asked(code: int) -> bool:
    """Whether an exit code is of those; one that is negative is of a process that the signal itself has ended."""
    return code in AS_ASKED or (code < 0 and 128 - code in AS_ASKED)


class JobState(StrEnum):
    """The state of a command."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    ENDED = "ended"
    """It ended while no page was there to take its exit code."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A command that the page was asked to start."""

    job_id: str
    what: str
    """In words, as in "re-train first"."""
    run: str
    """Name of the run that it is about; empty where it has none yet."""
    command: list[str]
    trains: bool
    """Whether it waits for others that train."""
    asked: str
    """When: ISO 8601 with offset."""
    state: str = JobState.WAITING
    pid: int | None = None
    process_began: float | None = None
    exit_code: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs."""
        return self.state in (JobState.WAITING, JobState.RUNNING)


def shown_command(command: Sequence[str]) -> str:
    """A command as one would type it."""
    return shlex.join(["python", *command[1:]])


class Jobs(Protocol):
    """Who starts, lists, follows and stops the commands; all methods may be called from any thread."""

    waits_for: str | None
    """What the first waiting command waits for, in words."""
    problem: str
    """Why nothing can be said or started now; empty where all is well."""

    def jobs(self) -> list[Job]:
        """All commands, the latest first."""

    def job(self, job_id: str) -> Job | None:
        """One command."""

    def submit(self, what: str, command: Sequence[str], *, run: str = "", trains: bool = True) -> Job:
        """Adds a command, and starts it if nothing is in its way.

        Raises:
            UserError: The same is under way, or it cannot be started.
        """

    def cancel(self, job_id: str) -> None:
        """Takes a waiting command out of the list, or stops a running one as one Ctrl-C would.

        Raises:
            UserError: It has ended already, or cannot be reached.
        """

    def tick(self) -> None:
        """Notes what has ended, and starts what can start."""

    def log(self, job_id: str) -> str:
        """What a command has said, the last of it where that is much; empty where it cannot be read."""


def tail(said: bytes) -> str:
    """The end of what a command has said, as text."""
    return said[-LOG_TAIL_BYTES:].decode(errors="replace")
