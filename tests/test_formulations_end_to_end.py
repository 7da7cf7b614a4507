"""Classes made of attributes through every command: searched, trained again, scored and answered by attribute."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from results.records.retrained import load_retrained
from scripts.evaluate import main as evaluate
from scripts.predict import main as predict
from tests.conftest import run_command

ATTRIBUTES = {"round": {"circle": "yes", "square": "no", "stripes": "no"}, "drawn": {"stripes": "lines"}}
"""Value of each class; of the second, shape for those that are not named."""


@pytest.fixture
def attributed(pictures: Path, tmp_path: Path) -> Path:
    """The data set with a column for each attribute."""
    data = tmp_path / "data"
    shutil.copytree(pictures, data)
    with (data / "train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["round"] = ATTRIBUTES["round"][row["label"]]
        row["drawn"] = ATTRIBUTES["drawn"].get(row["label"], "shape")
    with (data / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return data


@pytest.mark.slow
@pytest.mark.long
def test_a_network_an_attribute_goes_all_the_way(
    attributed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--formulation", "separate", "--attributes", "round", "drawn", "--attribute-weights", "round=2")
    small = ("--trials", "1", "--epochs", "1", "--image-size", "32", "--batch-size", "16", "--name", "apart")
    said = run_command("search/run.py", "--space", "toy", *small, *asked, "--data", str(attributed), folder=tmp_path)
    assert "Largest trial: 2 x test_" in said
    run_dir = tmp_path / "runs" / "apart"
    (line,) = [json.loads(text) for text in (run_dir / "trials.jsonl").read_text().splitlines()]
    assert line["config"]["formulation"] == "separate"
    assert set(line["attribute_macro_f1"]) == set(ATTRIBUTES)

    run_command("scripts/retrain.py", "--run", "apart", "--seeds", "1", folder=tmp_path)
    model = run_dir / "retrained"
    final = load_retrained(tmp_path / "results" / "retrained" / "toy.json")
    assert final.is_default  # which is in the formulation that was asked for
    assert {name.split(".")[0] for name in load_file(model / "model.safetensors")} == set(ATTRIBUTES)

    places = ["--cache-dir", str(tmp_path / "cache"), "--device", "cpu"]
    scored = [str(model), "--split", str(run_dir / "split.csv"), "--readme", str(tmp_path / "README.md"), *places]
    assert evaluate(scored) == 0
    printed = capsys.readouterr().out
    assert f"macro-F1 {final.test['macro_f1']['value']:.3f}".replace("0.", ".") in printed.replace("0.", ".")
    report = (model / "evaluation" / "report.md").read_text()
    for place, name in enumerate(ATTRIBUTES, start=1):
        assert f"  {name}: macro-F1 " in printed
        assert f"(attribute_{place}_{name}.png)" in report
        assert (model / "evaluation" / f"attribute_{place}_{name}.png").stat().st_size > 1000

    out = tmp_path / "answers.csv"
    assert predict([str(model), "--data", str(attributed), "--out", str(out), *places]) == 0
    with out.open(newline="") as file:
        answers = list(csv.DictReader(file))
    assert len(answers) == 96
    assert {answer["answer"] for answer in answers} <= {"circle", "square", "stripes"}
    for name, values in (("round", {"yes", "no"}), ("drawn", {"shape", "lines"})):
        assert {answer[f"answer_{name}"] for answer in answers} <= values
