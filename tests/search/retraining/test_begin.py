"""What a re-training begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from results.records.trials import load_trials
from search.retraining.begin import _as_long_as_any
from tests.records import a_task
from tests.runs import a_line, a_run_dir


@pytest.mark.parametrize(("trained", "epochs"), [((2, 1), 6), ((2, 9), 9), ((), 6)])
def test_what_a_trial_that_went_on_has_learned_is_trained_again_as_long(
    trained: tuple[int, ...], epochs: int, tmp_path: Path
) -> None:
    lines = [a_line(trial, epoch, 0.5) for trial, last in enumerate(trained) for epoch in range(1, last + 1)]
    trials = load_trials(a_run_dir(tmp_path, lines))
    assert _as_long_as_any(a_task(epochs=6), trials).epochs == epochs
