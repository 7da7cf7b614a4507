"""The benchmark of soups averages weights, says what its rows say, and names a run that cannot be judged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scripts.benchmarks.soups import Row, main, mean_weights, render
from tests.runs import a_line, a_run_dir


def test_weights_are_averaged_and_counts_are_not() -> None:
    soup = [
        {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3)},
        {"w": torch.tensor([3.0, 6.0]), "n": torch.tensor(5)},
    ]
    mean = mean_weights(soup)
    assert mean["w"].tolist() == [2.0, 4.0]
    assert mean["n"].item() == 3


def a_row(two: float, chosen: float, members: int) -> Row:
    return Row(
        run="a",
        trials=4,
        epochs=20,
        best=0.5,
        two=two,
        two_together=0.53,
        chosen=chosen,
        members=members,
        chosen_val=chosen - 0.49,
    )


def test_a_soup_is_compared_with_the_best_alone() -> None:
    said = render([a_row(0.4, 0.5, 1), a_row(0.3, 0.54, 2)])
    assert "| a | 4 | 20 | 0.500 | 0.400 | 0.530 | 0.500 | 1 | +0.010 |" in said
    assert "soup of the best two -0.150 ± 0.050, their mean answers +0.030 ± 0.000" in said
    assert "chosen on validation +0.020 ± 0.020, where +0.030 ± 0.020 was promised" in said
    assert said.endswith("more than the best trial in 1.")


def test_a_run_of_one_trial_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(a_run_dir(tmp_path / "run", [a_line(0, 1, 0.5)], []))]) == 2
    assert "kept the weights of two trials of one backbone" in "".join(capsys.readouterr()).replace("\n", " ")
