"""The best score over the epochs spent, and the settings in which two configurations differ."""

from __future__ import annotations

from pathlib import Path

from results.records.best import best_trial
from results.records.progress import best_so_far, knobs
from results.records.run_folder import RunFolder
from results.records.summary import summary
from tests.runs import a_line, a_run_dir
from trainables.config import TrialConfig


def test_the_best_so_far_counts_each_epoch_once(tmp_path: Path) -> None:
    lines = [
        a_line(0, 1, 0.3, after=1),
        a_line(1, 1, 0.2, after=2),
        a_line(0, 1, 0.3, after=3),
        a_line(0, 2, 0.5, after=4),
    ]
    assert best_so_far(RunFolder(a_run_dir(tmp_path / "a", lines)).epochs()) == [(1, 0.3), (2, 0.3), (3, 0.5)]


def test_the_best_so_far_ends_at_the_score_of_the_weights_that_are_kept(tmp_path: Path) -> None:
    scores = ((0, 1, 0.5, 1), (1, 1, 0.62, 1), (0, 2, 0.61, 2), (1, 2, 0.6, 2), (0, 3, 0.1, 2))
    lines = [
        {**a_line(trial, epoch, score, after=spent), "best_epoch": kept}
        for spent, (trial, epoch, score, kept) in enumerate(scores)
    ]
    run_dir = a_run_dir(tmp_path / "a", lines)
    curve = best_so_far(RunFolder(run_dir).epochs())
    assert curve == [(1, 0.5), (2, 0.62), (3, 0.62), (4, 0.61), (5, 0.61)]
    best = best_trial(run_dir)
    assert best is not None and best.report.val_score == curve[-1][1]


def test_an_epoch_that_was_trained_again_counts_with_its_last_numbers(tmp_path: Path) -> None:
    lines = [a_line(0, 1, 0.3, after=1), a_line(0, 2, 0.6, after=2), a_line(0, 2, 0.4, after=4)]
    run = a_run_dir(tmp_path / "a", lines)
    assert best_so_far(RunFolder(run).epochs()) == [(1, 0.3), (2, 0.4)]
    row = summary(run)
    assert row is not None and row.best == 0.4


def test_a_failed_trial_costs_epochs_and_does_not_count(tmp_path: Path) -> None:
    lines = [a_line(0, 1, 0.9, after=1), a_line(1, 1, 0.2, after=2)]
    assert best_so_far(RunFolder(a_run_dir(tmp_path / "a", lines)).epochs(), {"00000"}) == [(2, 0.2)]


def test_settings_that_differ_are_marked() -> None:
    pairs = knobs(TrialConfig(backbone="a", lr=1e-3), TrialConfig(backbone="b", lr=1e-3))
    assert [knob.name for knob in pairs if knob.differs] == ["backbone"]
