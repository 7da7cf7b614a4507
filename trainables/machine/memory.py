"""Memory that this process can have, at most or now: the machine's, or less where a container has a limit."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

from trainables.machine.cores import CGROUP, control_groups

LIMIT_FILES = ("memory.max", "memory.limit_in_bytes")
"""Of control groups of versions 2 and 1; one without a limit holds `max`, or a number beyond any machine."""

CGROUP_FILES = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
"""A limit and what is used of it, of both versions."""


def total_memory() -> int:
    """In bytes, used or not."""
    total = psutil.virtual_memory().total
    for folder in (CGROUP / "memory", *control_groups("memory")):
        for name in LIMIT_FILES:
            with suppress(OSError, ValueError):
                total = min(total, int((folder / name).read_text()))
    return total


def available_bytes(cgroup: Path = CGROUP) -> int:
    """What the machine has available, or what the container may still take if that is less."""
    free = psutil.virtual_memory().available
    for limit_name, used_name in CGROUP_FILES:
        try:
            limit, used = (cgroup / limit_name).read_text(), (cgroup / used_name).read_text()
            reclaimable = _inactive_file_bytes((cgroup / used_name).with_name("memory.stat"))
            free = min(free, int(limit) - int(used) + reclaimable)
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return max(0, free)


def _inactive_file_bytes(stat: Path) -> int:
    """Page cache that counts as used and is given up when memory is wanted."""
    words = dict(line.split() for line in stat.read_text().splitlines())
    return int(words.get("total_inactive_file", words.get("inactive_file", 0)))
