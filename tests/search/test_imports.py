"""A start imports nothing that it does not use."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from search.cluster import PRELOADED

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ["search.run", "search.prepare", "search.resume", "search.start", "search.monitor", "search.finish"]


def test_what_workers_import_beforehand_is_there() -> None:
    assert all(importlib.util.find_spec(name) for name in PRELOADED)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        (
            [*DRIVER, "search.progress", "search.tuner"],
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
