"""What an epoch costs the machine: seconds, peak memory, energy, how busy the GPU was."""

from __future__ import annotations

import resource
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from trainables.machine.hardware import allocator_share

SAMPLE_SECONDS = 0.5
"""Time between two looks at the GPU's utilization; NVML averages over about as long itself."""

JOIN_SECONDS = 5.0
"""How long the GPU's driver may take to answer before its last answer is done without."""


class Watch:
    """A context that measures what happens in it."""

    seconds: float
    peak_memory_bytes: int
    gpu_utilization: float | None

    def __init__(self, device: torch.device) -> None:
        """Prepares to watch this device."""
        self._device = device

    def __enter__(self) -> Watch:
        self._on_gpu = self._device.type == "cuda"
        self._samples: list[float] = []
        self._done = threading.Event()
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats(self._device)
            self._sampler = threading.Thread(target=self._sample, daemon=True)
            self._sampler.start()
        else:
            _reset_peak_rss()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._started
        self._done.set()
        if self._on_gpu:
            self._sampler.join(JOIN_SECONDS)
            self.peak_memory_bytes = torch.cuda.max_memory_allocated(self._device)
        else:
            self.peak_memory_bytes = _peak_rss_bytes()
        self.gpu_utilization = sum(self._samples) / len(self._samples) if self._samples else None

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            try:
                self._samples.append(torch.cuda.utilization(self._device) / 100)
            except Exception:  # no NVML, or a virtual GPU that does not tell: the report says None
                return


class EnergyMeter:
    """Reads how much energy a GPU has taken since it was last asked."""

    def __init__(self, device: torch.device, share: float = 1.0) -> None:
        """Finds the GPU's counter, if it has one.

        Args:
            device: Where trials run.
            share: Share of the device that belongs to this process, which its energy is counted by.
        """
        self._share = share
        self._handle = _nvml_handle(device) if device.type == "cuda" else None
        self._before = self._joules()

    def take(self) -> float | None:
        """Joules since the last call, or since the start; None without a GPU that tells."""
        before, self._before = self._before, self._joules()
        return None if before is None or self._before is None else (self._before - before) * self._share

    def _joules(self) -> float | None:
        if self._handle is None:
            return None
        import pynvml

        try:
            return pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000
        except pynvml.NVMLError:  # older than Volta, or a part of a GPU
            return None


def _nvml_handle(device: torch.device) -> Any:
    """What NVML knows the device by; None if it does not."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    except (pynvml.NVMLError, AttributeError, RuntimeError):
        return None


def limit_gpu_memory(share: float) -> None:
    """Keeps this process to its share of the GPU's memory, so that trials which share one cannot starve each other.

    What goes beyond it is out of memory, as on a smaller GPU. A whole GPU is not limited, nor is a CPU.
    """
    if 0 < share < 1 and torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(allocator_share(share, total))


def bytes_missing(share: float, free_before: int | None = None) -> int:
    """GPU memory that this process should have and that others hold; 0 without CUDA, or where nobody can tell.

    Args:
        share: Of the GPU's memory that is this process's, 0 to 1; with 0 CUDA is not started, which takes of it.
        free_before: What of the GPU's memory was free when the search began, for what others held then; by default
            what they hold now.
    """
    try:
        if not share or not torch.cuda.is_available():
            return 0
        free, total = torch.cuda.mem_get_info(0)
        ours = allocator_share(min(1.0, share), total) * total
        free = free + torch.cuda.memory_reserved(0) if free_before is None else free_before
        return max(0, int(ours - free))
    except RuntimeError:  # a GPU that does not start, or is lost
        return 0


def gpus_work() -> bool:
    """Whether torch can use the GPUs that the driver knows."""
    return torch.cuda.is_available()


def allocated_bytes(device: torch.device) -> int | None:
    """GPU memory that tensors of this process hold; None on a CPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else None


def _reset_peak_rss() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, see proc(5)
    except OSError:
        return  # not Linux, or not allowed: the peak is then that of the process so far


def _peak_rss_bytes() -> int:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
