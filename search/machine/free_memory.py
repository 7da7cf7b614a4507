"""Free memory that trials share; quick to import, so that it is read before workers take of it."""

from __future__ import annotations

from pathlib import Path

import psutil

from search.study import SettledStudy
from trainables.machine.hardware import gpu_handles

CGROUP_FILES = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


def device_memory(study: SettledStudy) -> int | None:
    """Free memory that trials share: of the fullest GPU, or of this machine; None where it cannot be told.

    A cluster's nodes are not this machine, so there it cannot be told.
    """
    if study.address is not None:
        return None
    return _free_gpu_bytes() if study.gpus_per_trial else _free_ram_bytes()


def _free_gpu_bytes() -> int | None:
    import pynvml

    handles = gpu_handles()
    if not handles or any(handle is None for handle in handles):
        return None
    try:
        return min(int(pynvml.nvmlDeviceGetMemoryInfo(handle).free) for handle in handles)
    except pynvml.NVMLError:  # a part of a GPU that does not tell
        return None


def _free_ram_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
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
