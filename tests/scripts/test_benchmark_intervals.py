"""The drawn test sides of the interval benchmark are what they are said to be."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.benchmark_intervals import draw_people, main, spread


def test_every_kind_of_people_is_there_and_the_rest_in_the_shares() -> None:
    kinds = spread(60)
    assert len(kinds) == 60
    assert set(kinds) == set(range(6))
    assert (kinds == 4).sum() > 5 * (kinds == 2).sum()


def test_every_person_has_seven_pictures() -> None:
    counts = draw_people(spread(12), np.random.default_rng(0))
    assert counts.shape == (12, 3, 18)
    assert (counts[:, 1].sum(axis=1) == 7).all()


def test_a_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--people", "12", "--repeats", "5"]) == 0
    assert "| 12 | " in capsys.readouterr().out
