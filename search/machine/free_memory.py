"""Free memory that trials share; quick to import, so that it is read before workers take of it."""

from __future__ import annotations

from search.study import SettledStudy
from trainables.machine.hardware import gpu_handles
from trainables.machine.memory import available_bytes


def device_memory(study: SettledStudy) -> int | None:
    """Free memory that trials share: of the fullest GPU, or of this machine; None where it cannot be told.

    A cluster's nodes are not this machine, so there it cannot be told.
    """
    if study.address is not None:
        return None
    return _free_gpu_bytes() if study.gpus_per_trial else available_bytes()


def _free_gpu_bytes() -> int | None:
    import pynvml

    handles = gpu_handles()
    if not handles or any(handle is None for handle in handles):
        return None
    try:
        return min(int(pynvml.nvmlDeviceGetMemoryInfo(handle).free) for handle in handles)
    except pynvml.NVMLError:  # a part of a GPU that does not tell
        return None
