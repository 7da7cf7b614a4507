"""What an epoch costs the machine: seconds, peak memory, how busy the GPU was."""

from __future__ import annotations

import os
import platform
import resource
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType

import torch

SAMPLE_SECONDS = 0.5
"""Time between two looks at the GPU's utilization; NVML averages over about as long itself."""


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
            self._sampler.join()
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


def num_gpus() -> int:
    """CUDA devices that this process may use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def hardware_in_words() -> str:
    """Processor and GPUs of this machine, such as `2 cores of Intel(R) Xeon(R) Processor, no GPU`."""
    processor = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    names = Counter(torch.cuda.get_device_name(index) for index in range(num_gpus()))
    gpus = ", ".join(f"{count} x {name}" for name, count in names.items())
    return f"{len(os.sched_getaffinity(0))} cores of {processor}, {gpus or 'no GPU'}"


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
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
