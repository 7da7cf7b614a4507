"""The tables of the honesty benchmark say what its rows say."""

from __future__ import annotations

from typing import Any

import pytest

from results.pages.figures import to_png
from results.statistics.bootstrap import Interval
from scripts.benchmarks.honesty import Row, draw, main, render_splits, render_table


def a_row(seed: int, **changes: Any) -> Row:
    row = {
        "seed": seed,
        "search": 0.5,
        "search_truth": 0.4,
        "val": 0.45,
        "test": Interval(0.4, 0.3, 0.5),
        "truth": 0.42,
        "is_default": False,
        "default_truth": 0.40,
        "verdict": "not distinguishable from the default",
    }
    return Row(**{**row, **changes})


def test_flattery_coverage_and_a_pick_worse_than_the_default_are_counted() -> None:
    rows = [a_row(0), a_row(1, truth=0.2, default_truth=0.3), a_row(2, is_default=True)]
    assert [row.covered for row in rows] == [True, False, True]
    text = render_table(rows, 600)
    assert "2 of 3 intervals hold the truth (67%, 95% interval 21% to 94%)" in text
    assert "The pick was not the default 2 times, and in truth worse than it 1 times" in text
    assert "The search says +0.100 ± 0.000 more than the truth of the very network" in text
    assert "Re-ranking says +0.103 ± 0.073 more than the truth of the final network" in text
    assert "| 1 | 0.500 | 0.400 | 0.450 | .400 [.300, .500] | 0.200 | **no** | -0.100 |" in text


def test_the_two_splits_are_compared_seed_by_seed() -> None:
    by_person = [a_row(0, truth=0.42), a_row(1, truth=0.4)]
    by_picture = [a_row(0, truth=0.32), a_row(1, truth=0.28)]
    text = render_splits(by_person, by_picture, 400)
    assert "| 0 | 0.500 | .400 [.300, .500] | 0.420 | 0.500 | .400 [.300, .500] | 0.320 |" in text
    assert (
        "The test side says -0.010 ± 0.010 more than the truth with a split by person, +0.100 ± 0.020 with one by "
        "picture; paired, the latter flatters by +0.110 ± 0.010." in text
    )
    assert "Validation says +0.100 ± 0.000 more than the truth with a split by person" in text
    assert "By person: 2 of 2 intervals hold the truth" in text
    assert "By picture: 1 of 2 intervals hold the truth" in text


def test_the_figure_is_drawn() -> None:
    assert to_png(draw([a_row(0), a_row(1)])).startswith(b"\x89PNG")


def test_a_number_out_of_range_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--searches", "0"])
    assert "it must be at least 1" in " ".join(capsys.readouterr().err.split())
