from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from scripts.evaluate import _seen_in_words, main
from tests.conftest import CLASSES
from tests.saved_models import save_network
from trainables.config import TaskConfig


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    attributes = {"round": ("yes", "no", "no")}
    return save_network(tmp_path_factory.mktemp("models") / "one", classes=CLASSES[::-1], attributes=attributes)


def run(tmp_path: Path, *arguments: object) -> int:
    return main([*map(str, arguments), "--cache-dir", str(tmp_path / "cache"), "--device", "cpu"])


def test_a_side_of_a_run_is_scored_into_a_report(
    model: Path, task: TaskConfig, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run(tmp_path, model, "--split", task.split_path, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "16 pictures\nmacro-F1 " in said
    assert f"report: {tmp_path / 'out' / 'report.md'}" in said
    with (tmp_path / "out" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["group"] for row in rows} == {"p20", "p21", "p22", "p23"}
    assert {row["label"] for row in rows} == set(CLASSES)
    right = sum(row["label"] == row["answer"] for row in rows)
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["accuracy"]["value"] == right / 16
    report = (tmp_path / "out" / "report.md").read_text()
    assert "intervals from 1,000 bootstrap samples of the 4 groups" in report
    assert f"test of {task.split_path}" in report


@pytest.mark.slow
def test_several_models_are_averaged_on_all_pictures_beside_the_first(
    task: TaskConfig, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first = save_network(tmp_path / "first")
    second = save_network(tmp_path / "second", classes=CLASSES[::-1], image_size=48, seed=1)
    assert run(tmp_path, first, second, "--data", pictures, "--tta") == 0
    assert "96 pictures" in capsys.readouterr().out
    report = (first / "evaluation" / "report.md").read_text()
    assert "| model 2 | " in report
    assert "| asked beside the middle | its mirror image |" in report
    assert run(tmp_path, first, "--data", pictures, "--split", task.split_path, "--side", "val") == 0
    assert "16 pictures" in capsys.readouterr().out


@pytest.mark.slow
def test_what_the_scores_cannot_say_is_said(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "data"
    for name in CLASSES[:2]:
        for number in range(2):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGBA", (30, 40), (number * 200, 90, 0, 60)).save(folder / name / f"{number}.png")
    (folder / CLASSES[0] / "broken.png").write_text("no picture")
    assert run(tmp_path, model, "--data", folder, "--out", tmp_path / "out") == 2
    assert "broken.png: not a picture that Pillow can read; replace it, or go on" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run(tmp_path, model, "--data", folder, "--out", tmp_path / "out", "--skip-bad") == 0
    said = capsys.readouterr().out
    assert "note: No groups in the data" in said
    assert f"note: No picture of the class {CLASSES[2]}." in said
    assert "note: 1 bad picture is left out; the first: " in said


def test_mistakes_are_one_message_and_exit_code_2(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    def message(*arguments: object) -> str:
        assert run(tmp_path, *arguments) == 2
        said = capsys.readouterr()
        assert said.out == ""
        return said.err

    assert "name labelled ones by --data, or a run's split.csv by --split" in message(model)
    assert "no model; name at least one" in message("--data", pictures)
    assert "is not a saved model" in message(pictures, "--data", pictures)
    assert "is not an evaluation" in message(model, "--data", pictures, "--out", pictures)
    other = save_network(tmp_path / "other", classes=("circle", "square"))
    assert "does not know the class 'stripes' of the data" in message(other, "--data", pictures)
    assert "No such file" in message(model, "--split", tmp_path / "split.csv")


def test_looks_at_a_test_side_are_those_of_the_side_that_was_looked_at_most(
    task: TaskConfig, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    readme = tmp_path / "README.md"
    common = ("--split", task.split_path, "--readme", readme, "--out", tmp_path / "out")
    split = Path(task.split_path).read_text()
    models = [save_network(tmp_path / name, seed=seed) for seed, name in enumerate(("first", "second", "third"))]
    for model in models[:2]:
        (model / "split.csv").write_text(split)
        assert run(tmp_path, model, *common) == 0
    head, *rows = split.splitlines()
    a_test_picture = next(row for row in rows if row.endswith(",test"))
    (models[2] / "split.csv").write_text("\n".join([head, *(row for row in rows if row != a_test_picture), ""]))
    without = save_network(tmp_path / "without", seed=7)  # no split lies beside it
    capsys.readouterr()
    assert run(tmp_path, models[0], models[2], without, *common) == 0
    assert "note: 2 models have been scored on this test side by now" in capsys.readouterr().out
    with (tmp_path / "results" / "test_scores.csv").open() as file:
        noted = list(csv.DictReader(file))
    assert [row["model"] for row in noted] == ["first", "second", "third"]
    assert noted[0]["test_side"] == noted[1]["test_side"] != noted[2]["test_side"]


@pytest.mark.parametrize("order", [("honest", "everyone"), ("everyone", "honest")])
def test_a_picture_that_any_of_several_models_has_seen_counts_as_seen(
    order: tuple[str, ...], task: TaskConfig, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    split = Path(task.split_path).read_text()
    for seed, (name, text) in enumerate({"honest": split, "everyone": split.replace(",test", ",train")}.items()):
        (save_network(tmp_path / name, seed=seed) / "split.csv").write_text(text)
    models = [tmp_path / name for name in order]
    more = ("--readme", tmp_path / "R.md", "--out", tmp_path / "out")
    assert run(tmp_path, *models, "--split", task.split_path, *more) == 0
    assert "16 of these pictures are ones that the model was trained on" in capsys.readouterr().out
    with (tmp_path / "results" / "test_scores.csv").open() as file:
        assert [row["model"] for row in csv.DictReader(file)] == ["honest"]


def test_a_report_beside_a_model_replaces_none_of_other_pictures(
    task: TaskConfig, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    model = save_network(tmp_path / "model")
    for side in ("test", "val", "test"):
        assert run(tmp_path, model, "--split", task.split_path, "--side", side) == 0
    assert sorted(path.name for path in model.glob("eval*")) == ["evaluation", "evaluation-2"]
    assert "report: " + str(model / "evaluation" / "report.md") in capsys.readouterr().out.splitlines()
    for name, side in (("evaluation", "test"), ("evaluation-2", "val")):
        assert f"| side | {side} of " in (model / name / "report.md").read_text()


@pytest.mark.parametrize(
    ("sides", "way_out"),
    [
        ({"a": "train", "b": "val", "c": "test"}, "give --split with the split.csv beside the model."),
        ({"a": "train", "b": "train"}, "Score it on pictures that it has not seen."),
    ],
)
def test_the_test_side_is_the_way_out_only_where_there_is_one(sides: dict[str, str], way_out: str) -> None:
    [said] = _seen_in_words(sides, ["a", "b", "elsewhere"])
    assert said.startswith("2 of these pictures are ones that the model") and said.endswith(way_out)
    assert _seen_in_words(sides, ["c", "elsewhere"]) == []


def test_a_side_without_a_split_is_refused(model: Path, pictures: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main([str(model), "--data", str(pictures), "--side", "test"])
    assert "--side test is one of a split" in capsys.readouterr().err


def test_a_look_that_cannot_be_noted_is_refused_with_the_way_out(
    task: TaskConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    model = save_network(tmp_path / "model")
    (model / "split.csv").write_text(Path(task.split_path).read_text())
    monkeypatch.setattr("scripts.evaluate.can_write", lambda folder: folder.parent != tmp_path / "shut")
    common = ("--split", task.split_path, "--out", tmp_path / "out")
    assert run(tmp_path, model, *common, "--readme", tmp_path / "shut" / "README.md") == 2
    assert "by --readme" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert run(tmp_path, model, *common, "--readme", tmp_path / "open" / "README.md") == 0
    assert (tmp_path / "open" / "results" / "test_scores.csv").is_file()


def test_pictures_that_were_moved_are_scored_and_noted_all_the_same(
    task: TaskConfig, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    model, moved = save_network(tmp_path / "model"), tmp_path / "moved"
    shutil.copytree(pictures, moved)
    (model / "split.csv").write_text(Path(task.split_path).read_text())
    asked = (model, "--data", moved, "--split", task.split_path, "--readme", tmp_path / "README.md")
    assert run(tmp_path, *asked) == 0
    assert "16 pictures" in capsys.readouterr().out
    assert (tmp_path / "results" / "test_scores.csv").is_file()
    assert run(tmp_path, *asked, "--side", "train") == 0
    assert "64 of these pictures are ones that the model was trained on" in capsys.readouterr().out
