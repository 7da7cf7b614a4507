from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.predict import Options, _new_name, main
from scripts.terminal import at_home
from tests.saved_models import CLASSES, save_network
from trainables.data.competition import CLASSES as EIGHTEEN
from trainables.data.unlabelled import read_unlabelled


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_network(tmp_path_factory.mktemp("models") / "one", attributes={"round": ("yes", "no", "no")})


@pytest.fixture(scope="module")
def eighteen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the competition's classes, which stand in another order in it."""
    return save_network(tmp_path_factory.mktemp("models") / "eighteen", classes=tuple(EIGHTEEN)[::-1])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def run(tmp_path: Path, *arguments: object) -> int:
    return main([*map(str, arguments), "--cache-dir", str(tmp_path / "cache"), "--device", "cpu"])


def rows(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((40, 50)).save(path)


def test_a_folder_is_answered_by_name_with_every_probability(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run(tmp_path, model, "--data", pictures, "--proba") == 0
    assert capsys.readouterr().out == f"{model / 'predictions.csv'}: 96 pictures classified, 0 unreadable\n"
    found = rows(model / "predictions.csv")
    assert list(found[0]) == ["path", "answer", "probability", "answer_round", *(f"p_{name}" for name in CLASSES)]
    assert [row["path"] for row in found] == sorted(path.name for path in pictures.glob("*.png"))
    for row in found:
        shares = {name: float(row[f"p_{name}"]) for name in CLASSES}
        assert max(shares, key=shares.__getitem__) == row["answer"]
        assert row["answer_round"] == ("yes" if shares["circle"] > 0.5 else "no")


def test_a_csv_keeps_its_columns_and_rows_and_a_bad_picture_has_no_answer(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    draw(tmp_path / "a.png", 0)
    draw(tmp_path / "b.png", 1)
    (tmp_path / "words.png").write_text("no picture")
    (tmp_path / "list.csv").write_text("note,path\n1,b.png\n2,words.png\n3,missing.png\n4,a.png\n5,b.png\n")
    assert run(tmp_path, model, "--data", tmp_path / "list.csv", "--out", "deep/out.csv") == 1
    said = capsys.readouterr()
    assert said.out == "deep/out.csv: 3 pictures classified, 2 unreadable\n"
    assert f"{tmp_path / 'words.png'}: not a picture" in said.err
    assert f"{tmp_path / 'missing.png'}: missing" in said.err
    found = rows("deep/out.csv")
    assert [(row["note"], row["path"]) for row in found] == [
        ("1", "b.png"),
        ("2", "words.png"),
        ("3", "missing.png"),
        ("4", "a.png"),
        ("5", "b.png"),
    ]
    assert [bool(row["answer"]) for row in found] == [True, False, False, True, True]
    assert found[0]["probability"] == found[4]["probability"] != found[3]["probability"]


def test_an_eval_folder_gets_the_competitions_class_index(
    eighteen: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for seed, name in enumerate(("b", "a", "c")):
        draw(tmp_path / "eval" / "images" / f"{name}.jpg", seed)
    table = "ImageID,ans\nc.jpg,0\nmissing.jpg,0\na.jpg,0\nb.jpg,0\n"
    (tmp_path / "eval" / "info.csv").write_text(table)
    assert run(tmp_path, eighteen, "--data", tmp_path) == 1
    assert "images/missing.jpg: missing" in capsys.readouterr().err
    found = rows(eighteen / "submission.csv")
    assert [row["ImageID"] for row in found] == ["c.jpg", "missing.jpg", "a.jpg", "b.jpg"]
    assert found[1]["ans"] == ""
    assert (tmp_path / "eval" / "info.csv").read_text() == table

    assert run(tmp_path, eighteen, "--data", tmp_path / "eval" / "images") == 0
    by_name = {row["path"]: tuple(EIGHTEEN).index(row["answer"]) for row in rows(eighteen / "predictions.csv")}
    assert {row["ImageID"]: int(row["ans"]) for row in found if row["ans"]} == by_name

    assert run(tmp_path, eighteen, "--data", tmp_path, "--out", tmp_path / "eval" / "info.csv") == 1
    assert rows(tmp_path / "eval" / "info.csv") == found


@pytest.mark.slow
def test_several_models_are_averaged(model: Path, pictures: Path, tmp_path: Path) -> None:
    other = save_network(tmp_path / "other", classes=CLASSES[::-1], seed=1)
    for name, models in {"one": [model], "two": [other], "both": [model, other]}.items():
        assert run(tmp_path, *models, "--data", pictures, "--proba", "--out", f"{name}.csv") == 0
    for one, two, both in zip(rows("one.csv"), rows("two.csv"), rows("both.csv"), strict=True):
        for name in CLASSES:
            mean = (float(one[f"p_{name}"]) + float(two[f"p_{name}"])) / 2
            assert float(both[f"p_{name}"]) == pytest.approx(mean, abs=1e-5)


def test_mistakes_are_one_message_exit_code_2_and_no_file(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    def message(*arguments: object) -> str:
        assert run(tmp_path, *arguments) == 2
        return capsys.readouterr().err

    (tmp_path / "empty").mkdir()
    assert "no picture (" in message(model, "--data", tmp_path / "empty")
    (tmp_path / "files.csv").write_text("what\na.png\n")
    assert "no column path" in message(model, "--data", tmp_path / "files.csv")
    (tmp_path / "taken.csv").write_text("path,answer\na.png,x\n")
    assert "a column 'answer' already" in message(model, "--data", tmp_path / "taken.csv")
    assert "no model" in message("--data", pictures)
    assert "is a folder" in message(model, "--data", pictures, "--out", tmp_path)
    (tmp_path / "eval" / "images").mkdir(parents=True)
    (tmp_path / "eval" / "info.csv").write_text("ImageID,ans\na.jpg,0\n")
    assert "none of the competition's 18" in message(model, "--data", tmp_path / "eval")
    assert "--max-picture-gb is -1" in message(model, "--data", pictures, "--max-picture-gb", "-1")
    assert list(Path().iterdir()) == []


def test_no_answers_are_replaced_unless_they_are_named(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run_folder = tmp_path / "runs" / "first"
    model = save_network(run_folder / "model")
    (run_folder / "run.json").write_text("{}")
    one = tmp_path / "one"
    one.mkdir()
    (one / "a.png").write_bytes((pictures / "p00_0.png").read_bytes())
    for words in (run_folder, model, model):  # the folder of the model is replaced as a whole by a resume
        assert run(tmp_path, words, "--data", one) == 0
    assert [path.name for path in sorted(run_folder.glob("*.csv"))] == [
        "predictions-2.csv",
        "predictions-3.csv",
        "predictions.csv",
    ]
    capsys.readouterr()
    assert run(tmp_path, model, "--data", one, "--out", run_folder / "predictions.csv") == 0
    assert "replaces what was there" in capsys.readouterr().out
    assert len(rows(run_folder / "predictions.csv")) == 1


def test_a_picture_of_one_colour_is_named(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (50, 40), "black").save(tmp_path / "flat" / "night.png")
    assert run(tmp_path, model, "--data", tmp_path / "flat", "--out", tmp_path / "a.csv") == 0
    assert "1 picture nearly one colour after decoding" in capsys.readouterr().err


def test_one_picture_is_answered(model: Path, tmp_path: Path) -> None:
    draw(tmp_path / "one.jpe", 0)
    assert run(tmp_path, model, "--data", tmp_path / "one.jpe", "--out", "one.csv") == 0
    assert [row["path"] for row in rows("one.csv")] == ["one.jpe"]


def test_files_that_are_not_answered_are_said(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    draw(tmp_path / "in" / "a.png", 0)
    (tmp_path / "in" / "a.png").rename(tmp_path / "in" / "a.heic")  # a picture for all that
    (tmp_path / "in" / "b.heic").write_bytes(b"ftypheic")
    assert run(tmp_path, model, "--data", tmp_path / "in", "--out", "in.csv") == 0
    said = capsys.readouterr()
    assert "1 picture classified, 0 unreadable" in said.out
    assert "left out: 1 .heic (HEIF: convert to JPEG)" in said.err


def test_answers_lie_in_the_folder_of_the_run_whatever_of_its_models_is_given(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run_folder = tmp_path / "runs" / "first"
    everyone = save_network(run_folder / "retrained" / "everyone")
    (run_folder / "run.json").write_text("{}")
    for words in (everyone, everyone / "model.safetensors"):
        assert run(tmp_path, words, "--data", pictures / "p00_0.png") == 0
    assert sorted(path.name for path in run_folder.glob("*.csv")) == ["predictions-2.csv", "predictions.csv"]
    assert not list(everyone.glob("*.csv"))


def test_a_place_that_cannot_be_written_is_said_before_any_picture_is_answered(
    model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    assert run(tmp_path, model, "--data", pictures, "--out", tmp_path / "file" / "a.csv") == 2
    assert f"{tmp_path / 'file'} cannot be written; name another file by --out" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_two_that_answer_at_once_have_a_file_each(tmp_path: Path) -> None:
    draw(tmp_path / "one.png", 0)
    pictures = read_unlabelled(tmp_path / "one.png")
    names = [_new_name(tmp_path, pictures).name for _ in range(3)]
    assert names == ["predictions.csv", "predictions-2.csv", "predictions-3.csv"]


def test_a_link_to_nowhere_has_its_name(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "predictions.csv").symlink_to(tmp_path / "gone" / "predictions.csv")
    assert _new_name(tmp_path, read_unlabelled(tmp_path / "a.png")).name == "predictions-2.csv"


def test_a_path_from_home_is_that_of_the_user_for_every_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    asked = Options(models=(Path("~/m"),), data=Path("~/d"), out=Path("~/o.csv"), cache_dir=Path("~nobody-here/c"))
    meant = at_home(asked)
    assert (*meant.models, meant.data, meant.out) == (tmp_path / "m", tmp_path / "d", tmp_path / "o.csv")
    assert meant.cache_dir == Path("~nobody-here/c") and meant.batch_size == asked.batch_size
