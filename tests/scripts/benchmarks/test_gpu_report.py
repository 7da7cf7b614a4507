"""The page about a GPU says what was measured, and names what failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts.benchmarks.gpu_report import draw, render

FAMILY = {
    "epoch": 900.0,
    "floor": 1000.0,
    "float32": 450.0,
    "contiguous": 810.0,
    "utilization": 0.83,
    "memory_bytes": 4e9,
}


def found(**changes: Any) -> dict[str, Any]:
    return {
        "when": "2026-01-02",
        "machine": "8 cores, 1 GPU",
        "torch": "2.12.0",
        "cuda": "13.0",
        "config": {"image_size": 224, "batch_size": 64, "seconds": 2.0},
        "tests": {"passed": True, "said": "== 6 passed in 9.00s =="},
        "num_pictures": 1680,
        "families": {"resnet18": FAMILY, "broken": {"failed": "RuntimeError: no kernel"}},
        "compile": {"failed": "RuntimeError: no compiler"},
        "pictures": {"resident": 900.0, "fetched": 700.0},
        "memory": {"whole_bytes": 10e9, "limit_bytes": 5e9, "parts_bytes": 3e9, "in_parts": 4, "ran_out": True},
        "at_once": {"1": {"images_per_second": 900.0}, "2": {"images_per_second": 1500.0}, "4": {"failed": "x"}},
        "commands": {"seconds": {"resume": 31.0, "predict": 9.0}, "trials": 4, "repeated": 2, "others": 1},
        "minutes": 4.2,
        **changes,
    }


def test_the_page_has_every_part_and_says_what_failed(tmp_path: Path) -> None:
    page = render(found(), "gpu.png")
    assert "| resnet18 | 900 | 0.90 | 0.50 x | 0.90 x | 83% | 4.0 GB |" in page
    assert "failed: RuntimeError: no kernel" in page and "torch.compile: failed: RuntimeError: no compiler" in page
    assert "| 2 | 1,500 | 1.67 |" in page
    assert "a batch that needs 10.0 GB ran out with 5.0 GB allowed, and was trained in 4 parts with 3.0 GB" in page
    assert "`6 passed in 9.00s`" in page
    assert (
        "resume 31 s, predict 9 s. 4 trials came to their end. 2 epochs were trained again after the kill, 1 of" in page
    )
    assert "failed: retrain: exit code 1" in render(found(commands={"failed": "retrain: exit code 1"}), "gpu.png")
    draw(found(), tmp_path / "gpu.png")
    assert (tmp_path / "gpu.png").stat().st_size > 5000
