"""Re-training end to end: a search, its best ranked again, the pick scored once on people never seen."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console
from sklearn.metrics import f1_score

from results.records.models import model_folder
from results.records.retrained import load_retrained
from scripts.retrain import Options, main, retrain
from search.flags import PlaceFlags
from search.remote_storage import open_mirror
from search.retraining.flags import RetrainFlags
from tests.conftest import Searched, places, run_command
from tests.records import a_record
from tests.runs import a_line, a_run_dir
from trainables.data.manifest import DataConfig
from trainables.data.rows import read_split
from trainables.saved.saved_model import load_model

pytestmark = pytest.mark.timeout(600)  # a machine that does other things too


@pytest.fixture(scope="module")
def copied(searched: Searched, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the search, to train again."""
    folder = tmp_path_factory.mktemp("copies") / "elsewhere"
    shutil.copytree(searched.folder, folder)
    return folder


@pytest.fixture(scope="module")
def retrained(copied: Path) -> tuple[Path, str]:
    flags = ("--space", "toy", "--seeds", "2", "--top-k", "1", "--final-on", "all")
    return copied, run_command("scripts/retrain.py", *flags, folder=copied)


@pytest.mark.slow
def test_the_pick_is_scored_on_the_test_side_and_shown_in_the_row(retrained: tuple[Path, str]) -> None:
    folder, said = retrained
    final = load_retrained(folder / "results" / "retrained" / "toy.json")
    with (folder / "runs" / "first" / "retrained" / "test_predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    score = f1_score([row["label"] for row in rows], [row["answer"] for row in rows], average="macro", zero_division=0)
    assert final.test["macro_f1"]["value"] == pytest.approx(score)
    known = {row.group for row in read_split(folder / "runs/first/split.csv") if row.split != "test"}
    assert known.isdisjoint(row["group"] for row in rows)
    assert final.seeds == [4, 5]
    assert final.task.train_on == ("train", "val")
    assert final.gap == pytest.approx(final.val_macro_f1 - score)
    readme = (folder / "README.md").read_text()
    assert f"{score:.3f}".removeprefix("0") in readme
    assert f"Against the default configuration: {final.verdict}" in said
    assert (folder / "runs" / "first" / "report.html").read_text().count("Re-trained,") == 1
    assert not (folder / "runs" / "first" / "retrained" / "checkpoints").exists()


@pytest.mark.slow
def test_the_model_on_disk_is_the_one_that_was_scored(retrained: tuple[Path, str]) -> None:
    folder, _ = retrained
    model = load_model(folder / "runs" / "first" / "retrained", "cpu")
    final = load_retrained(folder / "results" / "retrained" / "toy.json")
    assert model.description.weights_sha256 == final.weights_sha256
    assert model.description.record["test"] == final.to_json()["test"]
    assert model.network(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


@pytest.mark.slow
def test_the_model_of_all_people_has_seen_them_and_says_whose_the_score_is(retrained: tuple[Path, str]) -> None:
    folder, said = retrained
    everyone = folder / "runs" / "first" / "retrained" / "everyone"
    record = load_model(everyone, "cpu").description.record
    final = load_retrained(folder / "results" / "retrained" / "toy.json")
    assert record["trained_on"] == ["train", "val", "test"]
    assert record["score"] is None
    honest = record["score_of_the_model_that_had_not_seen_the_test_people"]
    assert honest == {"weights_sha256": final.weights_sha256, "test": final.to_json()["test"]}
    assert {row.split for row in read_split(everyone / "split.csv")} == {"train"}
    assert f"Model of all people: {everyone}. It has no score of its own" in said
    assert model_folder(folder / "runs" / "first")[0] == folder / "runs" / "first" / "retrained"


@pytest.mark.slow
@pytest.mark.long
def test_the_same_command_again_trains_the_same_network_and_counts_no_second_scoring(
    retrained: tuple[Path, str],
) -> None:
    folder, _ = retrained
    before = load_retrained(folder / "results" / "retrained" / "toy.json")
    said = run_command("scripts/retrain.py", "--run", "first", "--seeds", "2", "--top-k", "1", folder=folder)
    after = load_retrained(folder / "results" / "retrained" / "toy.json")
    assert "seed-4 starts" not in said.replace("epochs-seed-4 starts", "")  # the ranking's trainings are there already
    assert after.ranking == before.ranking
    assert after.weights_sha256 == before.weights_sha256
    assert after.test == before.test
    assert after.times_scored == 1


@pytest.mark.slow
@pytest.mark.long
def test_a_record_alone_is_enough_folds_answer_everybody_once_and_two_networks_together(
    retrained: tuple[Path, str], pictures: Path, tmp_path: Path
) -> None:
    folder, _ = retrained
    shutil.copytree(folder / "results", tmp_path / "results")
    flags = ("--folds", "2", "--top-k", "1", "--data", str(pictures), "--final-seeds", "2", "--time-budget", "1h")
    run_command("scripts/retrain.py", "--space", "toy", *flags, folder=tmp_path)
    final = load_retrained(tmp_path / "results" / "retrained" / "toy.json")
    assert final.folds == 2
    assert final.out_of_fold is not None
    assert len(final.ranking[0]["scores"]) == 2
    with (tmp_path / "runs" / "first" / "retrained" / "out_of_fold.csv").open() as file:
        answered = [row["path"] for row in csv.DictReader(file)]
    asked = [row.path for row in read_split(tmp_path / "runs/first/retrained/split.csv") if row.split != "test"]
    assert sorted(answered) == sorted(asked)
    assert final.times_scored == 2  # another model than that of the seeds
    model = load_model(tmp_path / "runs" / "first" / "retrained", "cpu")
    assert final.networks == len(model.description.members) == 2
    assert [member.trial_id[-1] for member in model.description.members] == ["4", "5"]
    with (tmp_path / "runs" / "first" / "retrained" / "test_predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    score = f1_score([row["label"] for row in rows], [row["answer"] for row in rows], average="macro", zero_division=0)
    assert final.test["macro_f1"]["value"] == pytest.approx(score)


def mistaken(*flags: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> str:
    try:
        code = main([*flags, *places(folder)])
    except SystemExit as end:  # tyro's way
        code = end.code
    assert code == 2
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    return said


def test_mistakes_are_one_message_and_leave_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "no such record; search first" in mistaken("--space", "toy", folder=tmp_path, capfd=capfd)
    assert "does not exist: name one of the runs" in mistaken("--run", "gone", folder=tmp_path, capfd=capfd)
    assert "'runs/a' is no name of a run" in mistaken("--run", "runs/a", folder=tmp_path, capfd=capfd)
    assert "--folds is 1: it must be at least 2" in mistaken("--folds", "1", folder=tmp_path, capfd=capfd)
    assert "--trial names a trial of a run" in mistaken("--trial", "00001", folder=tmp_path, capfd=capfd)
    assert "--device is 'tpu'" in mistaken("--device", "tpu", folder=tmp_path, capfd=capfd)
    assert not (tmp_path / "runs").exists()


def test_the_run_of_a_record_in_a_bucket_is_copied_down_before_it_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    there = tmp_path / "there"
    there.mkdir()
    config = RetrainFlags(space="toy")
    asked = Options(retrain=config, places=PlaceFlags(storage=Path(f"file://{there}"))).asked()
    run_dir = a_run_dir(asked.places.runs_dir / "a", [a_line(0, 1, 0.5)])
    a_record().save(asked.places.records_dir / "toy.json")
    mirror = open_mirror(asked.places, None, None)
    assert mirror is not None
    mirror.push("a")
    lines = (run_dir / "trials.jsonl").read_text() * 2
    (there / "a" / "trials.jsonl").write_text(lines)  # by another machine

    def begin(*_: object) -> None:
        raise InterruptedError

    monkeypatch.setattr("search.retraining.begin.begin_retraining", begin)
    with pytest.raises(InterruptedError):
        retrain(config, asked, DataConfig(), Console(file=io.StringIO()))
    assert (run_dir / "trials.jsonl").read_text() == lines


@pytest.mark.slow
def test_a_search_that_does_not_fit_is_refused_by_name(
    searched: Searched, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(searched.folder / "results", tmp_path / "results")
    record = tmp_path / "results" / "best" / "toy.json"
    values = json.loads(record.read_text())
    data = ("--data", str(pictures))
    fewer = tmp_path / "fewer"
    shutil.copytree(pictures, fewer)
    rows = (fewer / "train.csv").read_text().splitlines()
    (fewer / "train.csv").write_text("\n".join(rows[:-4]) + "\n")
    said = mistaken("--record", str(record), "--data", str(fewer), folder=tmp_path, capfd=capfd)
    assert "do not give the split of the search first" in said
    said = mistaken("--record", str(record), "--trial", "9", *data, folder=tmp_path, capfd=capfd)
    assert "--trial 9: the search has no trial of that name" in said
    other = tmp_path / "gone.json"
    other.write_text(json.dumps({**values, "space": "gone"}))
    assert "there is no space 'gone'" in mistaken("--record", str(other), *data, folder=tmp_path, capfd=capfd)
    record.write_text(json.dumps({**values, "seed": "one"}))
    assert "seed is 'one', it must be int" in mistaken("--record", str(record), *data, folder=tmp_path, capfd=capfd)
