"""Memory that is freed stays for the next step, and goes back between two trials."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainables.machine.allocator import ENVIRONMENT, give_back_memory, keep_freed_memory

PROGRAM = """
import resource, sys, threading
import torch
from trainables.machine.allocator import give_back_memory, keep_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def faults():
    for _ in range(30):  # until small blocks have found their places
        torch.ones(24_000_000)  # 96 MB, more than a heap that a thread has for itself can keep
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(24_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def run():  # in a thread, as Ray runs a trial
    plain = faults()
    keep_freed_memory()
    kept, held = faults(), resident()
    give_back_memory()
    print(plain, kept, held - resident())

thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


def huge_pages_unasked() -> bool:
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return setting.exists() and "[always]" in setting.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
@pytest.mark.skipif(huge_pages_unasked(), reason="pages are so large here that few are faulted in")
def test_a_step_faults_in_what_the_last_one_freed_no_more_and_a_trial_leaves_nothing() -> None:
    environment = {**os.environ, **ENVIRONMENT, "THP_MEM_ALLOC_ENABLE": "0"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    plain, kept, given_back = map(int, done.stdout.split())
    assert plain > 1000
    assert kept < plain / 5
    assert given_back > 10_000_000


def test_it_does_nothing_where_the_c_library_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    keep_freed_memory()
    give_back_memory()
