"""What a trial may take of a machine, and what it says it took: told apart with and without a GPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainables.config import Precision
from trainables.machine import hardware
from trainables.machine.epoch_meter import EnergyMeter, allocated_bytes, bytes_missing, limit_gpu_memory
from trainables.machine.hardware import CONTEXT_BYTES, allocator_share, visible_gpus

TOTAL = 80 * CONTEXT_BYTES


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What torch's allocator is limited to, on a machine that has a GPU."""
    taken: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(total_memory=TOTAL))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", taken.append)
    return taken


def test_trials_that_share_a_gpu_fit_with_their_contexts() -> None:
    for sharers in (2, 3, 4):
        assert sharers * (allocator_share(1 / sharers, TOTAL) * TOTAL + CONTEXT_BYTES) == pytest.approx(TOTAL)


def test_a_gpu_too_small_for_the_contexts_still_leaves_something() -> None:
    assert allocator_share(0.25, CONTEXT_BYTES) == 0.125


def test_a_share_of_a_gpu_is_enforced_and_a_whole_one_is_not(limits: list[float]) -> None:
    for share in (1.0, 2.0, 0.0):
        limit_gpu_memory(share)
    assert limits == []
    limit_gpu_memory(0.25)
    assert limits == [allocator_share(0.25, TOTAL)]


def test_memory_that_others_hold_is_told_from_that_of_this_process(
    limits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (TOTAL // 2, TOTAL))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: TOTAL // 8)
    assert bytes_missing(0.5) == 0
    assert bytes_missing(1.0) == int(allocator_share(1.0, TOTAL) * TOTAL) - TOTAL // 2 - TOTAL // 8

    ours = int(allocator_share(1.0, TOTAL) * TOTAL)
    assert bytes_missing(1.0, free_before=TOTAL // 4) == ours - TOTAL // 4
    assert bytes_missing(1.0, free_before=TOTAL) == 0

    def lost(device: int) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "mem_get_info", lost)
    assert bytes_missing(0.0) == bytes_missing(1.0) == 0


def test_nothing_is_limited_or_measured_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", refuse)
    limit_gpu_memory(0.5)
    cpu = torch.device("cpu")
    assert allocated_bytes(cpu) is None
    assert EnergyMeter(cpu).take() is None


def test_energy_is_what_the_counter_rose_by_times_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    millijoules = iter([5_000, 9_000, 10_000])
    uuid = "c0ffee"
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=uuid))
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda name: name)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", lambda handle: next(millijoules))
    meter = EnergyMeter(torch.device("cuda"), share=0.5)
    assert meter.take() == 2.0
    assert meter.take() == 0.5


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ("A100", "H100")),
        ("1", ("H100",)),
        ("GPU-b4, 0", ("H100", "A100")),
        ("GPU-c", ("GPU",)),
        ("7", ("GPU",)),
        ("-1", ()),
        ("", ()),
    ],
)
def test_the_gpus_that_a_process_may_use_are_named_without_torch(
    visible: str | None, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pynvml

    known = {0: "A100", 1: "H100"}

    def handle(which: int) -> int:
        if which not in known:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return which

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", handle)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", {0: "GPU-a123", 1: b"GPU-b456"}.__getitem__)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", known.__getitem__)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    visible_gpus.cache_clear()
    try:
        assert visible_gpus() == names
    finally:
        visible_gpus.cache_clear()


def test_without_a_driver_there_are_as_many_gpus_as_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    def refuse() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    for visible, count in (("0,1", 2), ("", 0)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        visible_gpus.cache_clear()
        assert len(visible_gpus()) == count
    visible_gpus.cache_clear()


A100, H100, T4, V100 = ("NVIDIA A100", (8, 0)), ("NVIDIA H100", (9, 0)), ("Tesla T4", (7, 5)), ("Tesla V100", (7, 0))
P100, GTX_1660 = ("Tesla P100", (6, 0)), ("NVIDIA GeForce GTX 1660 Ti", (7, 5))


@pytest.mark.parametrize(
    ("gpus", "precision"),
    [
        ([], "bfloat16"),
        ([H100], "bfloat16"),
        ([("NVIDIA", None)], "bfloat16"),
        ([A100, T4], "float16"),
        ([T4, A100], "float16"),
        ([V100], "float16"),
        ([P100], "float32"),
        ([A100, T4, P100], "float32"),
        ([GTX_1660], "float32"),
    ],
)
def test_networks_compute_in_what_the_oldest_gpu_is_made_for(
    monkeypatch: pytest.MonkeyPatch, gpus: list[tuple[str, tuple[int, int] | None]], precision: Precision
) -> None:
    import pynvml

    def capability(handle: int) -> tuple[int, int]:
        told = gpus[handle][1]
        if told is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return told

    monkeypatch.setattr(hardware, "gpu_handles", lambda: [*range(len(gpus)), None])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda handle: gpus[handle][0])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCudaComputeCapability", capability)
    hardware.gpu_precision.cache_clear()
    assert hardware.precision_on("cuda") == precision
    hardware.gpu_precision.cache_clear()


def test_a_precision_that_is_asked_for_is_that_of_every_device() -> None:
    assert hardware.precision_on("cpu") == "float32"
    assert {hardware.precision_on(device, "float16") for device in ("cpu", "cuda")} == {"float16"}


def test_the_cache_calls_a_precision_by_its_name_unless_it_goes_without_saying(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hardware.unusual_precision("cpu") == hardware.unusual_precision("cpu", "float32") == ""
    assert hardware.unusual_precision("cpu", "bfloat16") == "bfloat16 "
    monkeypatch.setattr(hardware, "gpu_precision", lambda: "float16")
    assert hardware.unusual_precision("cuda") == "float16 "
