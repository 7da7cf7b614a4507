from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from results.pages.evaluation_report import MARKER, WHAT, _numbers, render_report, save_evaluation
from results.pages.report_folder import refuse_foreign_folder
from results.records.confusion import load_confusion
from results.statistics.evaluation import Answers, evaluate_answers
from results.statistics.measure import Measure


def answers(folder: Path, wrong: int = 3, groups: bool = True) -> Answers:
    labels = np.array([0, 0, 1, 1, 2, 2, 2, 2])
    probabilities = np.full((8, 3), 0.1, np.float32)
    chosen = labels.copy()
    chosen[:wrong] = (chosen[:wrong] + 1) % 3
    probabilities[np.arange(8), chosen] = 0.8
    paths = tuple(str(folder / f"{row}.png") for row in range(8))
    return Answers(
        ("a|b", "$b$", "c"),
        paths,
        labels,
        probabilities,
        tuple(f"p{row // 2}" for row in range(8)) if groups else None,
        {"big/small": ("big", "small", "small")},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for row in range(1, 8):
        Image.new("RGB", (30, 40), (row * 30, 0, 0)).save(tmp_path / "pictures" / f"{row}.png")
    return tmp_path / "pictures"


def test_the_numbers_have_the_score_by_the_metric_of_the_search(folder: Path) -> None:
    found = evaluate_answers(replace(answers(folder), measure=Measure("balanced_accuracy")))
    numbers = _numbers(found)
    assert numbers["metric"] == "balanced_accuracy"
    assert found.other is not None
    assert numbers["score"] == found.other.to_json() != numbers["macro_f1"]


@pytest.mark.slow
def test_an_evaluation_is_a_folder_with_all_that_its_report_shows(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "evaluation"
    save_evaluation(out, evaluate_answers(answers(folder)), {"model": "m|n"}, ["Beware."])
    names = {path.name for path in out.iterdir()}
    assert names == {
        "report.md",
        "evaluation.json",
        "confusion.csv",
        "per_class.csv",
        "predictions.csv",
        "confusion.png",
        "confusion_errors.png",
        "confusion_counts.png",
        "confusion_counts_errors.png",
        "attribute_1_big_small.png",
        "mistakes.png",
    }
    report = (out / "report.md").read_text()
    assert "**Note:** Beware." in report
    assert "| model | m\\|n |" in report
    assert "* 2 of 2 `a\\|b` taken for `$b$`" in report
    assert "| p0 | 2 | 2 a\\|b | 2 $b$ |" in report
    assert all(f"]({name})" in report for name in names if name.endswith(".png"))
    assert load_confusion(out / "confusion.csv") == (("a|b", "$b$", "c"), [[0, 2, 0], [0, 1, 1], [0, 0, 4]])
    with (out / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "path": str(folder / "0.png"),
        "group": "p0",
        "label": "a|b",
        "answer": "$b$",
        "probability": "0.800000",
    }
    with (out / "per_class.csv").open() as file:
        assert [row["pictures"] for row in csv.DictReader(file)] == ["2", "2", "4"]
    numbers = json.loads((out / "evaluation.json").read_text())
    assert numbers["accuracy"]["value"] == 5 / 8
    assert numbers["attributes"]["big/small"]["f1"]["big"] == 0
    assert (numbers["metric"], numbers["score"]) == ("macro_f1", numbers["macro_f1"])
    assert [path.name for path in out.parent.iterdir()] == ["evaluation"]


@pytest.mark.slow
def test_an_earlier_evaluation_is_replaced_but_nothing_else(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    save_evaluation(out, evaluate_answers(answers(folder)), {}, [])
    save_evaluation(out, evaluate_answers(answers(folder, wrong=0)), {}, [])
    assert not (out / "mistakes.png").exists()
    assert "No picture was answered wrongly." in (out / "report.md").read_text()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"'notes.txt' is not a part of it"):
        refuse_foreign_folder(out, MARKER, WHAT)
    with pytest.raises(ValueError, match="is not an evaluation"):
        save_evaluation(folder, evaluate_answers(answers(folder)), {}, [])
    assert len(list(folder.iterdir())) == 7
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is not an evaluation"):
        refuse_foreign_folder(tmp_path / "file", MARKER, WHAT)
    (tmp_path / "empty").mkdir()
    refuse_foreign_folder(tmp_path / "empty", MARKER, WHAT)
    refuse_foreign_folder(tmp_path / "new", MARKER, WHAT)


def test_a_report_without_groups_is_over_pictures(folder: Path) -> None:
    report = render_report(evaluate_answers(answers(folder, groups=False)), {}, [], {})
    assert "bootstrap samples of the 8 pictures" in report
    assert "Groups wrong throughout" not in report


def test_one_group_alone_has_no_interval_and_its_json_is_strict(folder: Path, tmp_path: Path) -> None:
    alone = answers(folder)
    alone = Answers(alone.classes, alone.paths, alone.labels, alone.probabilities, ("p",) * 8)
    save_evaluation(tmp_path / "out", evaluate_answers(alone), {}, [])
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["macro_f1"]["low"] is None


def test_where_a_folder_cannot_be_made_or_replaced_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("results.pages.report_folder.can_write", lambda folder: folder != tmp_path)
    with pytest.raises(ValueError, match=r"cannot be written: name another folder by --out"):
        refuse_foreign_folder(tmp_path / "out", MARKER, WHAT)
    with pytest.raises(ValueError, match="is where a disk is mounted"):
        refuse_foreign_folder(Path("/proc"), MARKER, WHAT)


def test_a_link_to_a_report_stays_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "evaluation")
    for _ in range(2):
        save_evaluation(tmp_path / "out", evaluate_answers(answers(folder)), {}, [])
    assert (tmp_path / "out").is_symlink() and (tmp_path / "disk" / "evaluation" / MARKER).is_file()
    assert {path.name for path in tmp_path.iterdir() if "tmp-" in path.name} == set()
