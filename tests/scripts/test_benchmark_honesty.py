"""The table of the honesty benchmark says what its rows say."""

from __future__ import annotations

from typing import Any

from results.figures import to_png
from scripts.benchmark_honesty import covers, draw, render_table


def a_row(seed: int, **changes: Any) -> dict[str, Any]:
    row = {
        "seed": seed,
        "people": 600,
        "search": 0.5,
        "search_truth": 0.4,
        "val": 0.45,
        "test": 0.4,
        "low": 0.3,
        "high": 0.5,
        "truth": 0.42,
        "is_default": False,
        "default_truth": 0.40,
        "verdict": "not distinguishable from the default",
    }
    return {**row, **changes}


def test_flattery_coverage_and_a_pick_worse_than_the_default_are_counted() -> None:
    rows = [a_row(0), a_row(1, truth=0.2, default_truth=0.3), a_row(2, is_default=True)]
    assert [covers(row) for row in rows] == [True, False, True]
    text = render_table(rows, 600)
    assert "2 of 3 intervals hold the truth (67%, 95% interval 21% to 94%)" in text
    assert "The pick was not the default 2 times, and in truth worse than it 1 times" in text
    assert "The search says +0.100 ± 0.000 more than the truth of the very network" in text
    assert "Re-ranking says +0.103 ± 0.073 more than the truth of the final network" in text
    assert "| 1 | 0.500 | 0.400 | 0.450 | 0.400 [0.300, 0.500] | 0.200 | **no** | -0.100 |" in text


def test_the_figure_is_drawn() -> None:
    assert to_png(draw([a_row(0), a_row(1)])).startswith(b"\x89PNG")
