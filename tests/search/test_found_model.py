"""What a search leaves to answer with, from what its trials left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from results.records.answers import TrialAnswers, load_answers
from results.records.best import best_trial
from results.records.found import Found, load_found
from results.records.run_folder import RunFolder, load_run
from results.records.trials import load_trials
from results.statistics.ensemble import SINGLE
from search import found_model
from search.found_model import (
    _put_in_place,
    find_model,
    is_fit_for_the_mean,
    leaving_model,
    trainings_of_one,
)
from search.found_words import model_in_words, worth_in_words
from search.model_limits import second_view
from tests.runs import a_line, a_run_dir, an_event
from tests.saved_models import save_network
from trainables.saved.save_found import FoundMember
from trainables.second_view import MIRROR, MIRRORED_WHOLE, NONE, WHOLE
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


def found_in(folder: RunFolder, *, single: bool = False, mirror: bool = True) -> Found:
    best = best_trial(folder.path)
    assert best is not None
    trials = load_trials(folder.path)
    return find_model(load_run(folder.path), folder, best, trials, single=single, mirror=mirror)


def test_trials_that_err_apart_answer_together_and_one_that_failed_does_not(folder: RunFolder) -> None:
    found = found_in(folder)
    assert load_found(folder.found_json) == found
    assert {member["trial_id"] for member in found.members} <= {"00000", "00001", "00002"}
    assert len(found.members) > 1
    assert sum(member["share"] for member in found.members) == pytest.approx(1)
    assert found.model_bytes == 1000 * len(found.members)
    assert found.time_factor == pytest.approx(2 * len(found.members)), "the middle of each picture and a second view"
    assert (found.trials, found.epochs, found.people) == (3, 6, PEOPLE)
    said = model_in_words(found)
    assert "against the best configuration alone on people not used to choose" in said
    assert f"over {PEOPLE} people" in worth_in_words(found)
    assert f"over {PEOPLE} pictures" in worth_in_words(found, "pictures")


@pytest.mark.parametrize(
    ("epochs", "score", "fit"), [(15, 0.5, True), (14, 0.5, False), (20, 0.476, True), (20, 0.474, False)]
)
def test_in_a_plain_mean_are_trials_that_trained_long_and_are_nearly_as_good(
    epochs: int, score: float, fit: bool, tmp_path: Path
) -> None:
    [trial] = load_trials(a_run_dir(tmp_path, [a_line(0, epoch, score) for epoch in range(1, epochs + 1)], []))
    assert is_fit_for_the_mean(trial, 0.5) is fit


def test_what_a_trial_found_probable_is_read_when_it_is_asked_for(folder: RunFolder) -> None:
    first, second, third = load_answers(folder, load_trials(folder.path), "xy").trials  # the fourth failed
    assert first.chosen.shape == (2, PEOPLE * EACH) and first.chosen.dtype == np.uint8
    assert second.probabilities.shape == (PEOPLE * EACH, 2) and second.probabilities.dtype == np.float32
    for each in (second, third):
        each.path.unlink()
    np.testing.assert_allclose(second.probabilities.sum(axis=1), 1, atol=1e-3)
    with pytest.raises(FileNotFoundError):
        _ = third.probabilities


def test_long_trainings_of_one_configuration_answer_as_one(tmp_path: Path) -> None:
    epochs = {0: 10, 1: 10, 2: 9, 3: 20}
    lines = [a_line(trial, epoch, 0.5) for trial, last in epochs.items() for epoch in range(1, last + 1)]
    trials = load_trials(a_run_dir(tmp_path, lines, []))
    able = [
        TrialAnswers(replace(trial, config=trials[0].config), np.zeros((1, 2)), tmp_path / "none") for trial in trials
    ]
    able[1] = replace(able[1], trial=replace(trials[1], config=replace(trials[0].config, dropout=0.9)))
    units = [[each.trial.trial_id for each in unit] for unit in trainings_of_one(able, 30)]
    assert units == [["00000", "00003"], ["00001"], ["00002"]]
    units = [[each.trial.trial_id for each in unit] for unit in trainings_of_one(able, 13)]
    assert units == [["00000", "00002", "00003"], ["00001"]], "of 13 epochs 9 are enough"


def test_a_second_training_of_the_best_answers_whatever_few_people_say_of_it(folder: RunFolder) -> None:
    path = folder.trials_jsonl
    first = json.loads(path.read_text().splitlines()[0])
    lines = [
        {**first, "trial_id": trial, "epoch": epoch, "val_macro_f1": score, "val_score": score}
        for trial, score in (("00001", 0.9), ("00002", 0.7))
        for epoch in range(1, 16)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for trial in ("00001", "00002"):
        kept = dict(np.load(folder.answers_npz(trial)))
        np.savez(folder.answers_npz(trial), **{**kept, "chosen": np.repeat(kept["chosen"][:1], 15, 0), "best_epoch": 1})
    found = found_in(folder)
    assert {member["trial_id"]: member["share"] for member in found.members} == {"00001": 0.5, "00002": 0.5}
    assert model_in_words(found).startswith("2 trainings of one configuration, which are better together, 0000")
    assert [member["trial_id"] for member in found_in(folder, single=True).members] == ["00001"]


def test_networks_answer_to_a_second_view_of_what_they_learned_from_unless_that_is_not_wanted(
    folder: RunFolder,
) -> None:
    found = found_in(folder)
    assert found.second_view == MIRRORED_WHOLE
    assert found.time_factor == pytest.approx(2 * len(found.members))
    assert "each asked for the mirror image of the whole picture, too (--no-mirror leaves that out)" in model_in_words(
        found
    )
    plain = found_in(folder, mirror=False)
    assert not plain.second_view
    assert plain.time_factor == pytest.approx(len(plain.members))
    assert "mirror" not in model_in_words(plain)


def test_a_second_view_is_what_all_networks_learned_from_and_none_where_milliseconds_count(folder: RunFolder) -> None:
    run, [trial, *_] = load_run(folder.path), load_trials(folder.path)
    for asked in (run, None, replace(run, options={**run.options, "max_parameters": "1M"})):
        assert second_view(asked, [trial.config]) == MIRRORED_WHOLE
    unflipped, uncropped = replace(trial.config, flip=0.0), replace(trial.config, crop=0.0)
    assert second_view(run, [trial.config, unflipped]) == WHOLE
    assert second_view(run, [trial.config, uncropped]) == MIRROR
    assert second_view(run, [trial.config, uncropped, trial.config]) == MIRRORED_WHOLE
    assert second_view(run, [unflipped, uncropped]) == NONE
    for options in ({"max_ms": 9.0}, {"objective": "f1,ms"}):
        assert second_view(replace(run, options={**run.options, **options}), [trial.config]) == NONE


def test_what_was_found_before_views_had_names_is_read(folder: RunFolder) -> None:
    found = found_in(folder)
    values = json.loads(folder.found_json.read_text())
    del values["second_view"]
    for mirrored, second in (({"mirrored": True}, MIRROR), ({"mirrored": False}, NONE), ({}, NONE)):
        folder.found_json.write_text(json.dumps({**values, **mirrored}))
        assert load_found(folder.found_json) == replace(found, second_view=second)


def test_an_ensemble_that_few_people_see_no_gain_of_says_why_it_is_taken(folder: RunFolder) -> None:
    found = found_in(folder)
    assert "few" not in model_in_words(found)
    assert found.selection is not None
    found.selection["gain"] = {"value": -0.004, "low": -0.03, "high": 0.02}
    assert "it is taken all the same: they are few, and such trials gained .010 elsewhere." in model_in_words(found)


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
    assert model_in_words(found).startswith(
        "trial 00002 alone. It takes 0.0 MB and about 2.0 times the time of one network, each"
    )


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


@pytest.mark.parametrize("other", ["nothing", "weights", "second view", "parts"])
def test_what_was_made_with_a_model_stays_as_long_as_it_answers_the_same(folder: RunFolder, other: str) -> None:
    save_network(folder.model)
    draft, same = folder.path / "draft", other == "nothing"
    shutil.copytree(folder.model, draft)
    if other == "weights":
        shutil.rmtree(draft)
        save_network(draft, seed=1)
    elif other == "second view":
        described = json.loads((draft / "model.json").read_text())
        (draft / "model.json").write_text(json.dumps({**described, "second_view": MIRROR}))
    elif other == "parts":
        described = json.loads((draft / "model.json").read_text())
        (draft / "model.json").write_text(json.dumps({**described, "parts_sha256": "0" * 64}))
    (folder.model / "evaluation-2").mkdir()
    (folder.model / "evaluation").mkdir()
    (folder.model / "evaluation" / "report.html").write_text("seen")
    (folder.model / "model.onnx").write_bytes(b"graph")
    _put_in_place(draft, folder)
    assert (folder.model / "evaluation" / "report.html").exists() == (folder.model / "model.onnx").exists() == same
    assert (folder.model / "evaluation-2").is_dir() == same
    assert (folder.model / "split.csv").is_file() and (folder.model / "model.json").is_file()
    assert not list(folder.path.glob("model.tmp*"))


def test_a_member_that_was_trained_on_answers_with_those_weights(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []

    def note(draft: Path, members: Sequence[FoundMember], *_: object, **__: object) -> None:
        taken.extend(member.checkpoint for member in members)
        raise OSError("nothing is saved here")

    monkeypatch.setattr(found_model, "begin_saving", note)
    found, trials = found_in(folder), load_trials(folder.path)
    first, second = (member["trial_id"] for member in found.members[:2])
    with leaving_model(load_run(folder.path), folder, replace(found, refit_epochs={second: 3}), trials, Console()):
        pass
    assert taken[:2] == [folder.checkpoints / first, folder.refit.checkpoints / second]


def test_a_file_of_what_was_found_that_is_none_is_named(folder: RunFolder) -> None:
    folder.found_json.write_text(json.dumps({"trial_id": "00000"}))
    with pytest.raises(RecordError, match="is not what a search found"):
        load_found(folder.found_json)


def priced(folder: RunFolder, **options: object) -> None:
    """Gives each of its networks 3 ms and 400,000 parameters, and the search these options."""
    values = json.loads(folder.run_json.read_text())
    cost = {"formulation": "joint", "parameters": 400_000, "ms": 3.0, "ms_low": 2.9, "ms_high": 3.2}
    networks = [{"backbone": f"net{number}", **cost} for number in range(4)]
    folder.run_json.write_text(
        json.dumps({**values, "options": options, "costs": {"where": "1 thread", "networks": networks}})
    )


def test_within_a_limit_only_so_many_answer_together_as_fit_into_it(folder: RunFolder) -> None:
    priced(folder, max_ms=7.0)
    found = found_in(folder)
    assert len(found.members) == 2, "three take 9 ms"
    assert found.chosen_among == "the 2 best networks that fit together, as --max-ms 7 is for the whole model: 6 ms"
    assert "fit together" in model_in_words(found)
    assert load_found(folder.found_json) == found


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_ms": 5.0}, "one network alone, as --max-ms 5 is for the whole model: 3 ms"),
        ({"max_parameters": "700k"}, "--max-parameters 700k is for the whole model: 400k parameters"),
        ({"objective": "f1,ms"}, "--objective f1,ms says what single networks are worth"),
        ({"objective": "f1,parameters", "max_ms": 100.0}, "--objective f1,parameters"),
    ],
)
def test_where_two_do_not_fit_or_a_front_is_sought_the_best_answers_alone(
    options: dict[str, object], says: str, folder: RunFolder
) -> None:
    priced(folder, **options)
    found = found_in(folder)
    assert [member["trial_id"] for member in found.members] == ["00002"]
    assert says in found.chosen_among


def test_a_limit_with_room_for_all_changes_nothing(folder: RunFolder) -> None:
    before = found_in(folder, mirror=False)
    priced(folder, max_ms=9.0, max_parameters="1.2M")
    assert found_in(folder) == before, "which answers to each picture alone, as milliseconds are limited"


def test_a_trial_that_the_time_cut_off_at_its_beginning_does_not_answer(folder: RunFolder) -> None:
    assert "00001" in {member["trial_id"] for member in found_in(folder).members}
    lines = [json.loads(line) for line in folder.trials_jsonl.read_text().splitlines()]
    for line in lines:
        if line["trial_id"] == "00001":
            line.update(val_score=0.1, val_macro_f1=0.1, best_val_macro_f1=0.1)
    folder.trials_jsonl.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "00001" not in {member["trial_id"] for member in found_in(folder).members}
