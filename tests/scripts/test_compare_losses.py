"""Losses that differ in any epoch are said to differ."""

from __future__ import annotations

from scripts.compare_losses import main, render


def test_one_other_number_in_one_epoch_is_a_difference() -> None:
    before = {"a": [[1.0, 2.0, 0.1, 0.2], [0.5, 1.5, 0.3, 0.4]], "b": [[1.0, 2.0, 0.1, 0.2]]}
    now = {"a": [[1.0, 2.0000001, 0.1, 0.2], [0.5, 1.5, 0.3, 0.4]], "b": [[1.0, 2.0, 0.1, 0.2]]}
    rows = render("main", before, now).splitlines()[2:]
    assert rows[0] == "| a | 0.500000, 1.500000 | 0.500000, 1.500000 | differs |"
    assert rows[1].endswith("the same |")


def test_a_commit_that_is_not_there_is_named(capsys) -> None:
    assert main(["--base", "no-such-commit"]) == 2
    assert "--base no-such-commit" in capsys.readouterr().err
