"""The benchmark of averaged weights compares averages of one training, and keeps what it has trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch import nn

from scripts.benchmarks.averages import AVERAGES, Averages, Training, main, render
from tests.conftest import Searched


def a_training(seed: int, gain: float) -> Training:
    scores = {epoch: (0.5, *(0.5 + gain * number for number in range(1, len(AVERAGES)))) for epoch in (6, 8, 12, 14)}
    return Training(run="birds", seed=seed, scores=scores)


def test_each_average_is_compared_with_the_first_by_phase() -> None:
    first, second, *_ = render([a_training(1, 0.1), a_training(2, 0.2)]).splitlines()[2:]
    assert first.endswith("| +0.000 ± 0.000 | +0.000 ± 0.000 |  |")
    assert second == "| steps^.75 | +0.150 ± 0.050 | +0.150 ± 0.050 |  |"


def test_a_longer_average_is_further_behind_the_weights() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    averages = Averages(model)
    for step in range(1, 1001):
        model.weight.data.fill_(step)
        averages.update(model, step)
    behind = []
    for averages.shown in range(len(AVERAGES)):
        [weight] = averages.module.parameters()
        behind.append(1000 - weight.item())
    assert behind[0] == pytest.approx(100, rel=0.2) and behind[3] == pytest.approx(250, rel=0.2)


@pytest.mark.slow
def test_a_search_is_trained_once_with_all_averages(
    searched: Searched, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(searched.folder / "runs" / "first"), "--epochs", "7", "--seeds", "5", "--out", str(tmp_path / "a")]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "first, seed 5: trained" in said.err
    [kept] = json.loads((tmp_path / "a.json").read_text())
    assert list(kept["scores"]) == ["6", "7"]
    assert {len(row) for row in kept["scores"].values()} == {len(AVERAGES)}
    assert all(0 < score <= 1 for row in kept["scores"].values() for score in row)
    assert main(command) == 0
    again = capsys.readouterr()
    assert not again.err and again.out == said.out
