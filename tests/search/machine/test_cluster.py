"""The environment of a search: as it was until it is asked for, and set once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def environments(code: str, tmp_path: Path) -> list[dict[str, str]]:
    """What `os.environ` was wherever the code, in a process of its own, calls `note`."""
    head = "import json, os\ndef note(): print(json.dumps(dict(os.environ)))\n"
    env = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_", "CUDA_"))}
    command = [sys.executable, "-c", head + code]
    env["PYTHONPATH"] = str(tmp_path)
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=200, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_import_leaves_the_environment_alone(tmp_path: Path) -> None:
    before, after = environments("note()\nimport search.machine.cluster\nnote()", tmp_path)
    assert after == before


def test_a_process_that_counts_its_gpus_is_set_up_for_ray(tmp_path: Path) -> None:
    code = "from search.machine.cluster import this_machine\nthis_machine()\nnote()\nthis_machine()\nnote()"
    once, twice = environments(code, tmp_path)
    assert once == twice
    assert once["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert once["TUNE_DISABLE_SIGINT_HANDLER"] == "1"
    assert once["PYTHONPATH"] == str(tmp_path)
    assert once["RAY_worker_niceness"] == "0"


def test_a_users_own_word_counts_but_for_threads_that_turn_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    code = "import os\nos.environ['RAY_worker_niceness'] = '7'\nfrom search.machine.cluster import this_machine\n"
    [set_up] = environments(code + "this_machine()\nnote()", tmp_path)
    assert set_up["RAY_worker_niceness"] == "7"
    assert set_up["OMP_WAIT_POLICY"] == "passive"


@pytest.mark.slow
def test_a_trials_process_is_as_nice_as_the_search_and_its_threads_do_not_turn_without_end(tmp_path: Path) -> None:
    code = """
from search.machine.cluster import connect
with connect(None):
    import ray
    print(json.dumps(ray.get(ray.remote(lambda: {"nice": os.nice(0), **os.environ}).remote())))
"""
    [worker] = environments("import os\nos.environ['OMP_WAIT_POLICY'] = 'active'" + code, tmp_path)
    assert worker["nice"] == os.nice(0)
    assert (worker["OMP_WAIT_POLICY"], worker["GOMP_SPINCOUNT"]) == ("passive", "30000")


@pytest.mark.slow
def test_workers_find_the_project_by_one_entry_however_often_ray_starts(tmp_path: Path) -> None:
    code = "from search.machine.cluster import connect\nfor _ in range(2):\n  with connect(None): note()"
    seen = environments(code, tmp_path)
    assert [environment["PYTHONPATH"] for environment in seen] == [f"{ROOT}{os.pathsep}{tmp_path}"] * 2
