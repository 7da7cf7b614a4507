"""The table of all runs: what a score is by, and what it is sorted by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from results.records.summary import summaries
from search.service.commands import Places
from search.service.service import Service
from tests.runs import a_line, a_run_dir, an_event

pytest.importorskip("nicegui", reason="the page needs the extra ui")

from search.service.runs_page import COLUMNS, _row


def test_a_score_that_is_no_macro_f1_is_named_and_sorted_as_a_number(tmp_path: Path) -> None:
    for name, metric, lines in (
        ("a", "accuracy", [a_line(0, 1, 0.5)]),
        ("b", "macro_f1", [a_line(0, 1, 0.25)]),
        ("c", "macro_f1", []),
    ):
        run_dir = a_run_dir(tmp_path / name, lines, [an_event(0, "finished", after=1)] if lines else [])
        values = json.loads((run_dir / "run.json").read_text())
        values["task"]["metric"] = metric
        (run_dir / "run.json").write_text(json.dumps(values))
    service = Service(Places(storage=tmp_path, readme=tmp_path / "R.md", cache_dir=tmp_path / "c", roots=(tmp_path,)))
    rows = {row["name"]: row for row in (_row(each, service) for each in summaries(tmp_path))}
    assert {name: (row["best"], row["score"]) for name, row in rows.items()} == {
        "a": ("0.5000 accuracy", 0.5),
        "b": ("0.2500", 0.25),
        "c": (None, None),
    }
    [sort] = [column[":sort"] for column in COLUMNS if column["name"] == "best"]
    assert "a.score - b.score" in sort
