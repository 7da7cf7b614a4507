"""What this machine has to compute on: asks the operating system and the driver, so torch need not be imported."""

from __future__ import annotations

import os
import platform
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from trainables.config import Precision
from trainables.machine.cores import usable_cores

CONTEXT_BYTES = 800_000_000
"""GPU memory of a process outside of torch's allocator: CUDA's context and the libraries' workspaces; not measured."""

AMPERE, VOLTA = 8, 7
"""Compute capability of the first GPUs of NVIDIA that have bfloat16, and of the first with units for float16."""
FLAWED_FLOAT16 = ("GTX 16", "MX450", "MX550", "T400", "T500", "T550", "T600", "T1000", "T1200", "T2000")
"""Turing without these units, on which convolutions in float16 have come out as NaN (pytorch/pytorch#58123)."""


def allocator_share(share: float, total_bytes: int) -> float:
    """Share of a GPU that torch's allocator may have, where a process may have `share` of it, context and all."""
    return max(share / 2, share - CONTEXT_BYTES / total_bytes)


def gpu_handles() -> list[Any]:
    """NVML's handles of the NVIDIA GPUs that this process may use (`CUDA_VISIBLE_DEVICES`), in their order.

    None stands for one that is asked for and that NVML does not know, as all are without a driver.
    """
    import pynvml

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    asked = None if visible is None else [gpu.strip() for gpu in visible.split(",") if gpu.strip() not in ("", "-1")]
    try:
        pynvml.nvmlInit()
        names = asked if asked is not None else map(str, range(pynvml.nvmlDeviceGetCount()))
        return [_handle(name) for name in names]
    except pynvml.NVMLError:  # no driver
        return [None for _ in asked or ()]


@cache
def visible_gpus() -> tuple[str, ...]:
    """Names of the GPUs of `gpu_handles`; GPU for one that does not tell."""
    return tuple(map(_gpu_name, gpu_handles()))


def precision_on(device: str, asked: Precision = "auto") -> Precision:
    """What networks compute in on cpu, cuda or cuda:1; auto is float32 on a CPU, most of which are slower with less."""
    if asked != "auto":
        return asked
    return gpu_precision() if device.startswith("cuda") else "float32"


def unusual_precision(device: str, asked: Precision = "auto") -> str:
    """What a key of the cache begins with where this is not the precision that goes without saying there.

    float16 always does not: earlier versions measured float32 on the GPUs that are made for it.
    """
    chosen = precision_on(device, asked)
    return "" if chosen == precision_on(device) != "float16" else f"{chosen} "


@cache
def gpu_precision() -> Precision:
    """What the oldest of the GPUs that this process may use computes in.

    bfloat16 from Ampere on, which older ones emulate, many times slower; float16 on those that have units for it, else
    float32. bfloat16 where nobody tells, as on a driver's machine without a GPU.
    """
    import pynvml

    found: set[Precision] = set()
    for handle in (handle for handle in gpu_handles() if handle is not None):
        with suppress(pynvml.NVMLError):
            capability = pynvml.nvmlDeviceGetCudaComputeCapability(handle)[0]
            flawed = any(name in _gpu_name(handle) for name in FLAWED_FLOAT16)
            if capability < VOLTA or (capability < AMPERE and flawed):
                return "float32"
            found.add("float16" if capability < AMPERE else "bfloat16")
    return "float16" if "float16" in found else "bfloat16"


@cache
def gpus_of_all() -> tuple[str, ...]:
    """Names of all NVIDIA GPUs of this machine."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return tuple(map(_gpu_name, map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))))
    except pynvml.NVMLError:  # no driver
        return ()


def _handle(visible: str) -> Any:
    """A GPU as `CUDA_VISIBLE_DEVICES` has it: an index, or a UUID, which may be cut short or of a part of a GPU."""
    import pynvml

    with suppress(pynvml.NVMLError):
        if visible.isdigit():
            return pynvml.nvmlDeviceGetHandleByIndex(int(visible))
        with suppress(pynvml.NVMLError):
            return pynvml.nvmlDeviceGetHandleByUUID(visible)
        for handle in map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount())):
            if _text(pynvml.nvmlDeviceGetUUID(handle)).startswith(visible):
                return handle
    return None


def _gpu_name(handle: Any) -> str:
    import pynvml

    with suppress(pynvml.NVMLError):
        return "GPU" if handle is None else _text(pynvml.nvmlDeviceGetName(handle))
    return "GPU"


def _text(words: str | bytes) -> str:
    return words.decode() if isinstance(words, bytes) else words  # by the version of pynvml


def device_of_trials(gpus_per_trial: float) -> str:
    """The torch device of trials with so many GPUs of NVIDIA's each: without, a Mac's own where torch has it."""
    if gpus_per_trial:
        return "cuda"
    if platform.system() != "Darwin":
        return "cpu"
    import torch  # which takes its seconds, and is needed for nothing else before trials run

    return "mps" if torch.backends.mps.is_available() else "cpu"


@cache
def hardware_in_words(*, every_gpu: bool = False) -> str:
    """Processor and GPUs of this machine, such as `2 cores of Intel(R) Xeon(R) Processor, no GPU`.

    Args:
        every_gpu: Also of GPUs that this process may not use: Ray shows a process its own alone.
    """
    processor = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    counts = Counter(gpus_of_all() if every_gpu else visible_gpus())
    gpus = ", ".join(f"{count} x {name}" for name, count in counts.items())
    cores = usable_cores()
    return f"{cores} core{'s' * (cores > 1)} of {processor}, {gpus or 'no GPU'}"
