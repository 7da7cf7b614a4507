"""Scorings of a test side are counted, each model once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from results.records.scorings import ledger_of, note_scoring, side_hash
from trainables.strict_json import RecordError

PICTURES = [("/a/p1.jpg", "cat", "anna"), ("/a/p2.jpg", "dog", "ben")]


def note(path: Path, sha: str, side: str = "side") -> int:
    return note_scoring(path, date="2026-01-01", test_side=side, weights_sha256=sha, run="run", model="model")


def test_every_different_model_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "results" / "test_scores.csv"
    assert [note(path, sha) for sha in ("a", "a", "b", "a", "c")] == [1, 1, 2, 2, 3]
    assert note(path, "a", side="other") == 1
    assert len(path.read_text().splitlines()) == 5


def test_a_side_is_the_same_wherever_its_pictures_lie_and_in_any_order() -> None:
    moved = [("/b/c/p2.jpg", "dog", "ben"), ("/b/c/p1.jpg", "cat", "anna")]
    assert side_hash(PICTURES) == side_hash(moved)
    assert side_hash(PICTURES) != side_hash([("/a/p1.jpg", "dog", "anna"), PICTURES[1]])


def test_a_file_that_is_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "test_scores.csv"
    path.write_text("mine\n")
    with pytest.raises(RecordError, match="is no list of scorings"):
        note(path, "a")
    assert path.read_text() == "mine\n"


def test_a_project_has_one_list_whichever_folder_a_model_of_it_is_scored_from(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "first"
    for folder in (run / "model", run / "retrained" / "model", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"options": {"readme": str(tmp_path / "README.md")}}))
    expected = tmp_path / "results" / "test_scores.csv"
    assert ledger_of(run) == ledger_of(run / "model") == ledger_of(run / "retrained" / "model") == expected
    assert ledger_of(run, tmp_path / "elsewhere" / "README.md").parent.parent == tmp_path / "elsewhere"
    assert ledger_of(tmp_path / "elsewhere").parent.parent == Path.cwd()
    (run / "run.json").write_text(json.dumps({"options": {"readme": None}}))  # beside runs that are kept in a bucket
    assert ledger_of(run) == tmp_path / "runs" / "results" / "test_scores.csv"
    (run / "run.json").write_text(json.dumps({"options": {"readme": str(tmp_path / "gone" / "README.md")}}))
    assert ledger_of(run).parent.parent == Path.cwd()
