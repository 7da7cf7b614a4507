"""The page of all runs: what it says, that names are text and not markup, and how large it gets."""

from __future__ import annotations

import json
from pathlib import Path

from results.pages.run_index import write_run_index
from tests.runs import a_line, a_run_dir, an_event


def test_it_names_every_run_with_its_state_and_score(tmp_path: Path) -> None:
    a_run_dir(tmp_path / "a", [a_line(0, 1, 0.625)], [an_event(0, "interrupted", after=1)])
    html = write_run_index(tmp_path).read_text()
    assert "0.6250" in html
    assert "interrupted" in html
    assert "--resume a" in html


def test_markup_in_a_run_is_text(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path / "<b>&", [a_line(0, 1, 0.5)])
    values = json.loads((run_dir / "run.json").read_text())
    values["data"]["source"] = "/x/<script>alert(1)</script>"
    (run_dir / "run.json").write_text(json.dumps(values))
    html = write_run_index(tmp_path).read_text()
    assert "<b>&" not in html
    assert "<script>alert" not in html


def test_without_a_run_it_says_how_to_start_one(tmp_path: Path) -> None:
    assert "python search/run.py" in write_run_index(tmp_path).read_text()
