"""`--check`: all that a search says before its first trial, and nothing of it left."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.run import main
from tests.conftest import places


@pytest.mark.slow
def test_it_says_what_would_be_searched_and_leaves_no_run(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--space", "toy", "--weights", "none", "--trials", "2", "--epochs", "2", "--image-size", "32"]
    assert main(["--check", "--data", str(pictures), *small, *places(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "3 classes" in said
    assert "2 trials of up to 2 epochs" in said
    assert not list((tmp_path / "runs").glob("*/run.json"))


def test_what_is_wrong_is_said_as_by_the_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--data", str(tmp_path / "none"), *places(tmp_path)]) == 2
    assert "none" in capsys.readouterr().err


def test_a_run_that_goes_on_has_been_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.runs import a_run_dir

    a_run_dir(tmp_path / "runs" / "a")
    assert main(["--check", "--resume", "a", *places(tmp_path)]) == 2
    assert "error:" in capsys.readouterr().err
