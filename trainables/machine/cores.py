"""Cores that this process may use: those it is bound to, or fewer where a container has a quota."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux shows control groups; in a container usually that of the container alone."""
OWN_CGROUP = Path("/proc/self/cgroup")
"""Which group this process is in."""


def usable_cores() -> int:
    """How many, at least 1: what the scheduler allows, or the whole part of a control group's quota if that is less."""
    try:
        cores = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux
        cores = os.cpu_count() or 1
    return max(1, min([cores, *map(int, _quotas())]))


def _quotas() -> Iterator[float]:
    """The quotas that hold for this process, in cores; none where there are none."""
    for folder in (CGROUP / "cpu", CGROUP / "cpu,cpuacct", *control_groups("cpu")):
        try:
            quota, period = (folder / "cpu.max").read_text().split()  # version 2: "100000 100000", "max 100000"
        except (OSError, ValueError):
            try:
                quota = (folder / "cpu.cfs_quota_us").read_text()  # version 1: -1 for none
                period = (folder / "cpu.cfs_period_us").read_text()
            except OSError:
                continue
        try:
            cores = float(quota) / float(period)
        except (ValueError, ZeroDivisionError):  # max
            continue
        if cores > 0:
            yield cores


def control_groups(controller: str) -> Iterator[Path]:
    """Folders of the groups that hold this process, from its own up to the outermost, of both versions.

    Args:
        controller: What they are to limit: cpu or memory.
    """
    yield CGROUP
    try:
        lines = OWN_CGROUP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        own = CGROUP / controllers / name.lstrip("/") if controllers else CGROUP / name.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder != CGROUP and CGROUP in folder.parents)
