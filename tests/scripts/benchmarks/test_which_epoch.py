"""The comparison of rules for the epoch to keep takes epochs by some pictures and scores them on others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.benchmarks.which_epoch import LAST, SMOOTHED, deal, gained, main, render
from tests.runs import a_line, a_run_dir

CLASSES = 2
LABELS = np.arange(400) % CLASSES
CHOOSES = np.arange(400) < 200


def answers(*wrong: tuple[int, int]) -> np.ndarray:
    """Answers `(E, 400)` of epochs with so many wrong ones among those that choose, and among the others."""
    chosen = np.tile(LABELS, (len(wrong), 1))
    for epoch, (choosing, other) in enumerate(wrong):
        for wrong_ones, start in ((choosing, 0), (other, 200)):
            chosen[epoch, start : start + wrong_ones] ^= 1
    return chosen


def test_an_epoch_is_taken_by_some_pictures_and_scored_on_the_others() -> None:
    gains = gained(answers((60, 60), (20, 40), (21, 36), (25, 30), (40, 44)), LABELS, CHOOSES, CLASSES)
    assert gains["the latest within 2"] == pytest.approx(0.02, abs=1e-3)
    assert gains["the latest within 6"] == pytest.approx(0.05, abs=1e-3)
    assert gains[SMOOTHED] == pytest.approx(0.02, abs=1e-3)
    assert gains[LAST] == pytest.approx(-0.02, abs=1e-3)


def test_all_pictures_of_a_group_choose_or_none() -> None:
    groups = np.repeat([f"p{number}" for number in range(10)], 7)
    chooses = deal(groups, 30, np.random.default_rng(0))
    assert chooses.sum() == 28
    assert all(chooses[groups == group].all() != (~chooses[groups == group]).all() for group in np.unique(groups))


def test_the_table_has_a_row_for_each_size() -> None:
    table = render({24: [{"a": 0.01, "b": 0.0}, {"a": -0.02, "b": 0.0}], 0: [{"a": 0.0, "b": 0.1}]})
    assert "| 24 | 2 | -0.005 (-0.020) | +0.000 (+0.000) |" in table
    assert "| half of them | 1 | +0.000 (+0.000) | +0.100 (+0.100) |" in table


def test_runs_of_short_trainings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = a_run_dir(tmp_path / "run", [a_line(0, 1, 0.5)])
    (run_dir / "split.csv").write_text("path,label,group,split\n/a.png,x,p,train\n/b.png,y,q,val\n")
    assert main([str(run_dir)]) == 2
    assert "no trial with answers on validation of 12 epochs" in capsys.readouterr().err
