"""A start imports nothing that it does not use."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from search.machine.ray_shortcuts import PRELOADED
from tests.conftest import Searched, places

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ["search.run", "search.prepare", "search.resume", "search.start", "search.callbacks.monitor", "search.finish"]


def test_what_workers_import_beforehand_is_there() -> None:
    assert all(importlib.util.find_spec(name) for name in PRELOADED)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        (
            [*DRIVER, "search.callbacks.progress", "search.tuner"],
            {"torch", "timm", "sklearn", "matplotlib", "imagehash", "plotly", "torchmetrics"},
        ),
        (PRELOADED, {"sklearn", "optuna"}),
    ],
    ids=["driver", "worker"],
)
def test_nothing_heavy_is_imported_that_a_start_does_not_use(modules: list[str], unwanted: set[str]) -> None:
    code = f"import sys, {', '.join(modules)}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not unwanted & set(done.stdout.split())


@pytest.mark.slow
@pytest.mark.long
def test_a_driver_that_knows_its_networks_trains_them_without_torch(
    searched: Searched, pictures: Path, tmp_path: Path
) -> None:
    shutil.copytree(searched.folder / "cache", tmp_path / "cache")
    code = "import sys; from search.run import main; c = main(sys.argv[1:]); print(*sorted(sys.modules)); sys.exit(c)"
    small = ("--space", "toy", "--trials", "1", "--epochs", "1", "--image-size", "32", "--batch-size", "16")
    small += ("--cpus-per-trial", "1")  # as in the search before: with other threads their speed is not known
    command = [sys.executable, "-c", code, *small, "--data", str(pictures), *places(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    modules = set(done.stdout.splitlines()[-1].split())
    assert "search.tuner" in modules
    assert not {"torch", "timm", "torchmetrics"} & modules
