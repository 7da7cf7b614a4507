"""A small part of what the command checks; the rest takes a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benchmarks.layouts import check_layout, draw_layout, main


@pytest.mark.parametrize("seed", range(10_000, 10_040))
def test_a_drawn_layout_is_read_right_or_refused_with_a_message(tmp_path: Path, seed: int) -> None:
    assert check_layout(draw_layout(tmp_path, seed)) in ("right", "refused")


def test_the_command_counts(capsys: pytest.CaptureFixture) -> None:
    assert main(["--count", "3"]) == 0
    assert capsys.readouterr().out.startswith("3 layouts in ")
