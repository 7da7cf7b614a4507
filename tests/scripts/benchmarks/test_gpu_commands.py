"""The commands that a GPU is checked by come to their end on cores as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benchmarks.gpu_commands import TRIALS, _run, run_commands


@pytest.mark.long
def test_a_search_is_killed_resumed_trained_again_and_answers(tmp_path: Path) -> None:
    found = run_commands(tmp_path, 0)
    assert "failed" not in found, found
    assert list(found["seconds"]) == ["search, killed", "resume", "retrain", "predict"]
    assert (found["trials"], found["others"]) == (TRIALS, 0)  # on cores an epoch comes to the same numbers again


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    assert "exit code 2: " in _run(["scripts/runs.py", "--storage", tmp_path, "--no-such-flag"], tmp_path, None)
