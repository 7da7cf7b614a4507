"""Cores by binding and by a container's quota, and a machine that is not Linux."""

from __future__ import annotations

import errno
import os
import platform
from pathlib import Path

import numpy as np
import pytest
import torch

from search.study import num_cores
from trainables.config import TaskConfig
from trainables.data import cache as cache_module
from trainables.data.batches import load_data
from trainables.data.cache import build_cache
from trainables.machine import cores
from trainables.machine.cores import usable_cores
from trainables.machine.epoch_meter import Watch
from trainables.machine.hardware import device_of_trials, hardware_in_words
from trainables.networks.model import choose_device


def cgroup(folder: Path, files: dict[str, str], own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 8 cores with these files of control groups; `own` says which group the process is in."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "own").write_text(own)
    monkeypatch.setattr(cores, "CGROUP", folder)
    monkeypatch.setattr(cores, "OWN_CGROUP", folder / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("files", "own", "expected"),
    [
        ({}, "", 8),
        ({"cpu.max": "max 100000"}, "0::/", 8),
        ({"cpu.max": "100000 100000"}, "0::/", 1),
        ({"cpu.max": "350000 100000"}, "0::/", 3),
        ({"cpu.max": "20000 100000"}, "0::/", 1),  # a fifth of a core is a core that is slow
        ({"cpu.max": "1600000 100000"}, "0::/", 8),
        ({"cpu.max": "broken"}, "0::/", 8),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, "0::/a/b\n", 2),  # of systemd-run, say
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, "", 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "", 8),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "0"}, "", 8),
        (
            {"cpu,cpuacct/d/cpu.cfs_quota_us": "100000", "cpu,cpuacct/d/cpu.cfs_period_us": "50000"},
            "5:memory:/m\n4:cpu,cpuacct:/d\nno colons",
            2,
        ),
    ],
)
def test_a_quota_counts_as_cores(
    files: dict[str, str], own: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup(tmp_path, files, own, monkeypatch)
    assert usable_cores() == num_cores() == expected


@pytest.fixture
def no_linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Takes away what only Linux has."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.setattr(cores, "CGROUP", tmp_path / "no cgroup")
    monkeypatch.setattr(cores, "OWN_CGROUP", tmp_path / "no proc")
    read, write = Path.read_text, Path.write_text

    def refuse(path: Path, *args: object, **kwargs: object) -> None:
        if path.parts[:2] == ("/", "proc"):
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))

    def read_text(path: Path, *args: object, **kwargs: object) -> str:
        refuse(path)
        return read(path, *args, **kwargs)  # type: ignore[arg-type]

    def write_text(path: Path, *args: object, **kwargs: object) -> int:
        refuse(path)
        return write(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(Path, "write_text", write_text)


def test_cores_and_processor_are_found_without_linux(no_linux: None) -> None:
    assert usable_cores() == os.cpu_count()
    hardware_in_words.cache_clear()
    assert hardware_in_words().startswith(f"{os.cpu_count()} cores of ")
    hardware_in_words.cache_clear()


@pytest.mark.parametrize(("system", "factor"), [("darwin", 1), ("linux", 1024)])
def test_the_peak_of_memory_is_in_bytes_without_proc(
    no_linux: None, monkeypatch: pytest.MonkeyPatch, system: str, factor: int
) -> None:
    import resource

    monkeypatch.setattr("sys.platform", system)
    with Watch(torch.device("cpu")) as watch:
        pass
    assert watch.peak_memory_bytes == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * factor


def test_pictures_are_decoded_without_fallocate(no_linux: None, pictures: Path, tmp_path: Path) -> None:
    paths = [str(path) for path in pictures.glob("*.png")]
    cache = build_cache(paths, 32, tmp_path)
    assert cache.images.any(axis=(1, 2, 3)).all()
    assert not cache.bad


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSPC])
def test_a_file_system_that_cannot_fallocate_is_written_to_and_one_that_is_full_is_not(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    path = tmp_path / "images.npy"
    size = 3 * 2**20 + 5
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(size,))
    header = path.read_bytes()[:128]
    if number == errno.ENOSPC:
        with pytest.raises(OSError, match="No space"):
            cache_module._take_room(path)
        return
    cache_module._take_room(path)
    assert path.read_bytes()[:128] == header
    assert np.load(path).shape == (size,)
    assert path.stat().st_blocks * 512 >= size  # no hole is left


def test_a_macs_gpu_is_taken_where_torch_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_of_trials(0.5) == "cuda"
    for system, has, expected in (("Linux", True, "cpu"), ("Darwin", True, "mps"), ("Darwin", False, "cpu")):
        monkeypatch.setattr(platform, "system", lambda name=system: name)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda has=has: has)
        assert device_of_trials(0) == expected
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "mps"


def test_pictures_go_to_a_device_that_is_neither_cpu_nor_cuda(task: TaskConfig) -> None:
    stored, labels = next(load_data(task, torch.device("meta")).train.batches(8))
    assert stored.device.type == labels.device.type == "meta"
