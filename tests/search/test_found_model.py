"""What a search leaves to answer with, from what its trials left."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from results.records.best import best_trial
from results.records.found import Found, load_found
from results.records.run_folder import RunFolder, load_run
from results.records.trials import load_trials
from results.statistics.ensemble import SINGLE
from search.found_model import find_model, leaving_model, model_in_words, worth_in_words
from tests.runs import a_line, a_run_dir, an_event
from trainables.strict_json import RecordError

PEOPLE, EACH = 30, 6


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run of three trials whose answers err apart from each other, and of one that failed."""
    lines = [a_line(trial, epoch, 0.5 + trial / 100 + epoch / 1000) for trial in range(4) for epoch in (1, 2)]
    events = [an_event(trial, "finished", after=9) for trial in range(3)] + [an_event(3, "failed", after=9)]
    folder = RunFolder(a_run_dir(tmp_path / "run", lines, events))
    rows = [f"/v{person}-{n}.png,{'xy'[n % 2]},p{person},val" for person in range(PEOPLE) for n in range(EACH)]
    rows += [f"/t{n}.png,{'xxxy'[n % 4]},q{n},train" for n in range(40)]
    folder.split_csv.write_text("path,label,group,split\n" + "\n".join(rows) + "\n")
    folder.answers.mkdir()
    labels = np.arange(PEOPLE * EACH) % 2
    for trial in range(4):
        rng = np.random.default_rng(trial)
        second = 1 / (1 + np.exp(-(2.0 * labels - 1.0 + rng.normal(size=len(labels)) * 1.5)))
        probabilities = np.stack([1 - second, second], axis=1)
        np.savez(
            folder.answers_npz(f"{trial:05}"),
            probabilities=probabilities.astype(np.float16),
            chosen=np.stack([probabilities.argmax(1)] * 2).astype(np.uint8),
            best_epoch=2,
        )
        (folder.checkpoints / f"{trial:05}").mkdir(parents=True)
        (folder.checkpoints / f"{trial:05}" / "best.pt").write_bytes(b"0" * 1000)
    return folder


def found_in(folder: RunFolder, *, single: bool = False) -> Found:
    best = best_trial(folder.path)
    assert best is not None
    return find_model(load_run(folder.path), folder, best, load_trials(folder.path), single=single)


def test_trials_that_err_apart_answer_together_and_one_that_failed_does_not(folder: RunFolder) -> None:
    found = found_in(folder)
    assert load_found(folder.found_json) == found
    assert {member["trial_id"] for member in found.members} <= {"00000", "00001", "00002"}
    assert len(found.members) > 1
    assert sum(member["share"] for member in found.members) == pytest.approx(1)
    assert found.model_bytes == 1000 * len(found.members)
    assert found.time_factor == pytest.approx(len(found.members))
    assert (found.trials, found.epochs, found.people) == (3, 6, PEOPLE)
    said = model_in_words(found)
    assert "against the best trial alone on people who did not choose" in said
    assert f"over {PEOPLE} people" in worth_in_words(found)


def test_the_best_answers_alone_if_that_is_asked_for(folder: RunFolder) -> None:
    found = found_in(folder, single=True)
    assert [member["trial_id"] for member in found.members] != []
    assert found.selection is not None
    assert found.selection["method"] == SINGLE
    assert "alone" in model_in_words(found)


def test_a_run_from_before_answers_were_kept_leaves_its_best_alone(folder: RunFolder) -> None:
    for path in folder.answers.iterdir():
        path.unlink()
    found = found_in(folder)
    assert [member["trial_id"] for member in found.members] == ["00002"]
    assert (found.selection, found.val_corrected, worth_in_words(found)) == (None, None, "")
    assert model_in_words(found) == "trial 00002 alone, 0.0 MB"


def test_answers_of_another_epoch_or_a_broken_file_do_not_count(folder: RunFolder) -> None:
    folder.answers_npz("00001").write_bytes(b"PK broken")
    kept = dict(np.load(folder.answers_npz("00000")))
    np.savez(folder.answers_npz("00000"), **{**kept, "best_epoch": 1})
    assert [member["trial_id"] for member in found_in(folder).members] == ["00002"]


def test_without_weights_there_is_no_model_and_it_is_said(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in folder.checkpoints.glob("*/best.pt"):
        path.unlink()
    found = found_in(folder)
    assert found.members == []
    with leaving_model(load_run(folder.path), folder, found, [], Console()):
        pass
    assert "no trial's weights were kept, so there is no model" in capsys.readouterr().out
    assert not folder.model.exists()


def test_a_model_that_cannot_be_saved_is_a_warning_and_leaves_nothing_behind(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    found, trials = found_in(folder), load_trials(folder.path)  # whose weights are zeros
    with leaving_model(load_run(folder.path), folder, found, trials, Console(width=500)):
        pass
    assert f"the model {folder.model} could not be written" in capsys.readouterr().out
    assert not list(folder.path.glob("model*"))


def test_a_file_of_what_was_found_that_is_none_is_named(folder: RunFolder) -> None:
    folder.found_json.write_text(json.dumps({"trial_id": "00000"}))
    with pytest.raises(RecordError, match="is not what a search found"):
        load_found(folder.found_json)
