"""A search for score and milliseconds, as a user does it, and gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tests.conftest import run_command

pytestmark = [pytest.mark.slow, pytest.mark.long]
SMALL = ("--space", "toy", "--epochs", "2", "--image-size", "32", "--batch-size", "16", "--history", "none")


def test_a_search_for_two_objectives_leaves_a_front_and_keeps_it_over_a_resume(pictures: Path, tmp_path: Path) -> None:
    asked = ("--objective", "f1,ms", "--max-parameters", "400k", "--keep", "1", "--trials", "4", "--name", "front")
    said = run_command("search/run.py", *SMALL, *asked, "--data", str(pictures), folder=tmp_path)
    assert "One picture on 1 thread of" in said
    assert "Pareto front of validation macro-F1 and ms" in said
    _front_is_kept(tmp_path)
    said = run_command("search/run.py", "--resume", "front", "--add-trials", "1", folder=tmp_path)
    assert "Pareto front" in said
    _front_is_kept(tmp_path)
    journal = JournalFileBackend(str(tmp_path / "runs" / "front" / "study.journal"))
    study = optuna.load_study(study_name=None, storage=JournalStorage(journal))
    assert len(study.directions) == 2 and len(study.trials) == 5
    assert all(trial.intermediate_values for trial in study.trials)
    said = run_command("scripts/retrain.py", "--run", "front", "--pick", "ms=0.0001", folder=tmp_path, code=2)
    assert "no point takes at most 0.0001 ms; the front is" in said


def _front_is_kept(folder: Path) -> None:
    """The record's front, whose points have their weights and whose best is the model, alone."""
    record = json.loads((folder / "results" / "best" / "toy.json").read_text())
    front, run_dir = record["answering"]["front"], folder / "runs" / "front"
    costs = json.loads((run_dir / "run.json").read_text())["costs"]["networks"]
    assert all(cost["parameters"] <= 400_000 and cost["ms"] > 0 for cost in costs)
    assert front and front[-1]["val_score"] == record["report"]["val_macro_f1"], "of equals the cheaper is on it"
    assert [point["ms"] for point in front] == sorted(point["ms"] for point in front)
    for point in front:
        assert (run_dir / "checkpoints" / point["trial_id"] / "best.pt").is_file()
    found = json.loads((run_dir / "found.json").read_text())
    assert [member["trial_id"] for member in found["members"]] == [record["trial_id"]]
    assert "The Pareto front" in (run_dir / "report.html").read_text()
