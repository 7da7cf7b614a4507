"""The files of one trial: where they lie on this node, and who is told that one was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trainables.config import TaskConfig

Told = Callable[[Path], None]
"""Told of a file that was written whole, or taken away."""


def nobody(path: Path) -> None:
    """Where the driver sees the file itself, nobody need be told."""


class TrialFiles:
    """Those of a trial that sees the driver's disk: the paths of its task are its own."""

    def __init__(self, task: TaskConfig) -> None:
        self.task = task
        """With the paths as they are on this node."""

    def changed(self, path: Path) -> None:
        """Takes in that a file of the trial has been written whole, or taken away."""

    def glimpsed(self, path: Path) -> None:
        """The same for a file that may be lost, or come late."""

    def close(self) -> None:
        """Takes in that the trial writes nothing any more."""
