"""What a search promises is compared with what comes on pictures that chose nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from results.records.answers import TrialAnswers, ValidationAnswers
from results.records.trials import TrialHistory
from scripts.benchmarks.promises import Promise, main, mean, promise, render
from tests.runs import a_line, a_run_dir
from trainables.config import TrialConfig
from trainables.report import TrialStatus

CLASSES, PICTURES = 2, 400
LABELS = np.arange(PICTURES) % CLASSES
CHOOSES = np.arange(PICTURES) < 200
A_TRIAL = TrialHistory(
    trial_id="00000",
    config=TrialConfig(backbone="resnet18"),
    reports=(),
    status=TrialStatus.FINISHED,
    reason=None,
)


def answers(*trials: np.ndarray) -> ValidationAnswers:
    """Of trials `(E, N)`, on pictures of which each two are of a person."""
    return ValidationAnswers(
        labels=LABELS,
        groups=np.array([f"p{number // 2}" for number in range(PICTURES)]),
        prior=np.full(CLASSES, 1 / CLASSES),
        trials=tuple(TrialAnswers(A_TRIAL, each, Path()) for each in trials),
    )


def wrong(*ranges: range) -> np.ndarray:
    """Answers `(E, N)` that are wrong for these pictures, an epoch each."""
    chosen = np.tile(LABELS, (len(ranges), 1))
    for epoch, pictures in enumerate(ranges):
        chosen[epoch, list(pictures)] ^= 1
    return chosen


def test_what_was_picked_on_some_pictures_is_scored_on_the_others() -> None:
    # The second trial's second epoch is best by what chooses: 20 of 200 wrong there, and 60 of the others.
    found = promise(answers(wrong(range(0, 80)), wrong(range(0, 100), range(180, 260))), CHOOSES)
    assert found.best == pytest.approx(0.9, abs=1e-3)
    assert found.came == pytest.approx(0.7, abs=1e-3)
    assert found.held == 0


def test_the_best_of_many_that_guess_is_a_guess_once_corrected() -> None:
    rng = np.random.default_rng(0)
    found = [promise(answers(*rng.integers(0, CLASSES, (10, 20, PICTURES))), CHOOSES) for _ in range(8)]
    assert min(each.best for each in found) > 0.55
    assert np.mean([each.corrected for each in found]) == pytest.approx(0.5, abs=0.04)
    assert sum(each.held for each in found) >= 6


def test_the_table_has_the_mean_of_the_runs_and_their_range() -> None:
    rows = [Promise(0.9, 0.8, 0.7, 0.5), Promise(0.9, 0.8, 0.8, 1.0)]
    assert "| 60 | 2 | 0.750 | +0.150 (+0.100 to +0.200) | +0.050 (+0.000 to +0.100) | 75% |" in render({60: rows})
    assert "| half of them | 1 |" in render({0: rows[:1]})
    assert mean([]) == []


def test_runs_without_answers_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = a_run_dir(tmp_path / "run", [a_line(0, 1, 0.5)])
    (run_dir / "split.csv").write_text("path,label,group,split\n/a.png,x,p,train\n/b.png,y,q,val\n")
    assert main([str(run_dir)]) == 2
    assert "no trial with answers on validation" in capsys.readouterr().err
