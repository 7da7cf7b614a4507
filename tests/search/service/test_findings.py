"""What the page finds out of a run beyond its logs."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage
from PIL import Image

from results.records.found import MODEL_OF_BEFORE, Found
from results.records.run_folder import RunFolder
from search.service.commands import Places
from search.service.findings import Importances, mistakes, retraining
from search.service.findings_cards import not_shown
from search.service.run_page import found_in_words
from search.service.run_view import RunView, Watcher
from search.service.service import Service
from tests.runs import a_line, a_run_dir, an_event
from trainables.errors import UserError
from trainables.saved.model_description import DESCRIPTION


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of one trial whose best epoch, the second, answered four validation pictures, two of them wrongly."""
    events = [an_event(0, "placed", after=1, node="gpu1", pid=7), an_event(0, "finished", after=3)]
    run_dir = a_run_dir(
        tmp_path / "runs" / "a", [a_line(0, epoch, 0.1 * epoch, after=epoch) for epoch in (1, 2)], events
    )
    pictures = [tmp_path / "pictures" / f"{place}.png" for place in range(4)]
    pictures[0].parent.mkdir()
    for path in pictures:
        Image.new("RGB", (40, 30), "red").save(path)
    with RunFolder(run_dir).split_csv.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "group", "split"))
        writer.writerow(("/etc/passwd", "x", "p", "train"))
        writer.writerows((path, label, "p", "val") for path, label in zip(pictures, "xyxy", strict=True))
    answers = RunFolder(run_dir).answers_npz("00000")
    answers.parent.mkdir()
    shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]], dtype=np.float16)
    np.savez(answers, probabilities=shares, chosen=np.zeros((2, 4), dtype=np.uint8), best_epoch=2)
    return run_dir


def view_of(run_dir: Path) -> RunView:
    return Watcher(run_dir.parent).view("a")


def test_the_worst_mistake_is_the_one_that_believed_the_truth_least(run_dir: Path) -> None:
    found = mistakes(view_of(run_dir))
    assert [(mistake.place, mistake.truth, mistake.answer) for mistake in found] == [(2, "x", "y"), (1, "y", "x")]
    assert found[0].truth_share == pytest.approx(0.2, abs=1e-3)


def test_answers_that_do_not_fit_the_logs_or_are_torn_are_no_mistakes(run_dir: Path) -> None:
    answers = RunFolder(run_dir).answers_npz("00000")
    np.savez(answers, probabilities=np.ones((3, 2)), chosen=np.zeros((2, 3)), best_epoch=2)
    assert mistakes(view_of(run_dir)) == []
    answers.write_bytes(b"PK torn")
    assert mistakes(view_of(run_dir)) == []
    RunFolder(run_dir).split_csv.write_text("no,split\n")
    assert mistakes(view_of(run_dir)) == []


def test_only_validation_pictures_below_the_roots_are_shown(run_dir: Path, tmp_path: Path) -> None:
    service = Service(
        Places(
            storage=run_dir.parent, readme=tmp_path / "R", cache_dir=tmp_path / "cache", roots=(tmp_path / "pictures",)
        )
    )
    assert service.picture("a", 0) == tmp_path / "pictures" / "0.png"
    for place in (-1, 4):
        with pytest.raises(UserError, match="no validation picture"):
            service.picture("a", place)
    split = RunFolder(run_dir).split_csv
    split.write_text(split.read_text().replace(str(tmp_path / "pictures" / "1.png"), "/etc/passwd"))
    with pytest.raises(UserError, match="does not lie below"):
        service.picture("a", 1)


def test_a_mistake_whose_picture_may_not_be_shown_says_why(run_dir: Path, tmp_path: Path) -> None:
    places = Places(
        storage=run_dir.parent, readme=tmp_path / "R", cache_dir=tmp_path / "c", roots=(tmp_path / "pictures",)
    )
    found = mistakes(view_of(run_dir))
    assert not_shown(places, found) == {}
    elsewhere = replace(places, roots=(tmp_path / "home",))
    assert set(not_shown(elsewhere, found)) == {1, 2}
    assert "Start it with --roots to allow more" in not_shown(elsewhere, found)[2]
    Path(found[0].path).unlink()
    assert list(not_shown(places, found)) == [found[0].place]


def test_a_run_says_what_its_score_is_worth_and_what_its_model_is_made_of(run_dir: Path) -> None:
    interval = {"value": 0.5, "low": 0.4, "high": 0.6}
    member = {"trial_id": "00000", "backbone": "net0", "share": 1.0, "val_score": 0.2}
    folder = RunFolder(run_dir)
    assert found_in_words(view_of(run_dir)) == ("", "")
    found = Found(
        trial_id="00000", val_interval=interval, val_corrected=interval, people=4, trials=1, epochs=2, members=[member],
        selection=None, model_bytes=1000, time_factor=1.0,
    )  # fmt: skip
    found.save(folder.found_json)
    worth, model = found_in_words(view_of(run_dir))
    assert "over 4 people" in worth and "2 epochs of 1 trial," in worth
    assert model == "", "its weights are not there"
    folder.model.mkdir()
    (folder.model / DESCRIPTION).write_text(json.dumps({"record": {**found.to_json(), "members": []}}))
    assert found_in_words(view_of(run_dir))[1] == MODEL_OF_BEFORE
    (folder.model / DESCRIPTION).write_text(json.dumps({"record": found.to_json()}))
    assert found_in_words(view_of(run_dir))[1].startswith("trial 00000 alone")
    replace(found, trial_id="00001", selection={"method": "none"}).save(folder.found_json)
    assert found_in_words(view_of(run_dir)) == ("", "")


def test_a_trial_says_where_it_ran(run_dir: Path) -> None:
    assert view_of(run_dir).trials["00000"].places == ["gpu1, process 7"]


def test_a_knob_that_decides_is_the_most_important(run_dir: Path) -> None:
    importances = Importances()
    assert importances.of(view_of(run_dir)) == []  # there is no study
    journal = RunFolder(run_dir).study_journal
    study = optuna.create_study(storage=JournalStorage(JournalFileBackend(str(journal))), direction="maximize")
    rng = np.random.default_rng(0)
    for _ in range(20):
        trial = study.ask()
        trial.suggest_float("noise", 0, 1)
        trial.report(trial.suggest_float("decides", 0, 1) + 0.01 * rng.random(), 1)
        study.tell(trial, 0.0)
    found = Importances().of(view_of(run_dir))
    assert found[0][0] == "decides"
    assert found[0][1] > 0.8
    journal.write_text("no journal\n")
    assert Importances().of(view_of(run_dir)) == []


@pytest.mark.parametrize("content", [None, "{", "[]", '{"record": 3}', '{"other": {}}'])
def test_a_re_training_that_cannot_be_read_says_nothing(run_dir: Path, content: str | None) -> None:
    folder = RunFolder(run_dir)
    folder.retrained.path.mkdir()
    if content is not None:
        (folder.retrained.path / DESCRIPTION).write_text(content)
    assert retraining(folder) == {}
    (folder.retrained.path / DESCRIPTION).write_text(json.dumps({"record": {"verdict": "better"}}))
    assert retraining(folder) == {"verdict": "better"}
