"""Memory that this process can have at most: the machine's, or less where a container has a limit."""

from __future__ import annotations

from contextlib import suppress

import psutil

from trainables.machine.cores import CGROUP, control_groups

LIMIT_FILES = ("memory.max", "memory.limit_in_bytes")
"""Of control groups of versions 2 and 1; one without a limit holds `max`, or a number beyond any machine."""


def total_memory() -> int:
    """In bytes, used or not."""
    total = psutil.virtual_memory().total
    for folder in (CGROUP / "memory", *control_groups("memory")):
        for name in LIMIT_FILES:
            with suppress(OSError, ValueError):
                total = min(total, int((folder / name).read_text()))
    return total
