"""The benchmark of the model's turn compares after as many pictures, and keeps what it has trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.benchmarks.refit import Pair, main, render
from tests.conftest import Searched


def a_pair(run: str, seed: int, *both: float) -> Pair:
    return Pair(run=run, seed=seed, after=2, longer=1.5, alone=(0.1, 0.2, 0.3, 0.4, 0.5), both=both)


def test_a_score_between_two_epochs_lies_on_the_line_between_them() -> None:
    first, second = a_pair("birds", 1, 0.4, 0.6).differences  # after 3.5 and 5 epochs of the training side
    assert (first, second) == (pytest.approx(0.05), pytest.approx(0.1))


def test_there_is_a_row_for_each_search_and_one_for_all() -> None:
    table = render([a_pair("birds", 1, 0.4), a_pair("birds", 2, 0.5), a_pair("cars", 1, 0.35)])
    assert table.splitlines()[2:] == [
        "| birds, 2 | +0.100 ± 0.050 |",
        "| cars, 1 | +0.000 |",
        "| all, 3 | +0.067 ± 0.044 |",
    ]


@pytest.mark.slow
def test_a_search_is_gone_on_with_once(searched: Searched, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = searched.folder / "runs" / "first", tmp_path / "refit"
    command = [str(run), "--after", "2", "--epochs", "2", "--seeds", "5", "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "first, seed 5:" in said.err
    [kept] = json.loads((tmp_path / "refit.json").read_text())
    assert len(kept["both"]) == 2 and len(kept["alone"]) == 5 and 1 < kept["longer"] <= 1.5
    assert main(command) == 0
    again = capsys.readouterr()
    assert "seed 5" not in again.err and again.out == said.out
