"""A run answers with the best model that it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from results.records.models import model_folder, model_folders
from results.records.run_folder import RunError
from tests.runs import a_run_dir


def a_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.json").touch()
    return folder


def test_a_run_answers_with_its_retrained_model_else_with_what_the_search_left(tmp_path: Path) -> None:
    run = a_run_dir(tmp_path / "run")
    model = a_model(run / "model")
    assert model_folder(run) == (model, f"{model}: what the search left, picked by validation")
    retrained = a_model(run / "retrained")
    assert model_folder(run) == (retrained, f"{retrained}: trained again on train and val")


def test_a_folder_of_a_model_is_taken_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = a_model(tmp_path / "other")
    assert model_folders((other, tmp_path / "missing")) == [other, tmp_path / "missing"]
    assert capsys.readouterr().out == ""


def test_a_run_without_a_model_says_how_to_get_one(tmp_path: Path) -> None:
    run = a_run_dir(tmp_path / "run")
    (run / "retrained").mkdir()  # begun, not done
    storage = f"--storage {tmp_path}"
    with pytest.raises(RunError, match=rf"--resume run {storage}, or .* --run run {storage}"):
        model_folder(run)
