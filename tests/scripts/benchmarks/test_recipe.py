"""The benchmark of the recipe pairs trainings by search and seed, keeps what it has trained, and refuses typos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from results.records.run_folder import load_run
from scripts.benchmarks.recipe import DEFAULT, Training, changed, main, render
from tests.conftest import Searched
from trainables.config import TrialConfig
from trainables.errors import UserError


def a_training(change: str, seed: int, f1: tuple[float, ...], **more: Any) -> Training:
    values = {"accuracy": f1, "val": f1, "seconds": tuple(float(epoch) for epoch in range(1, len(f1) + 1))}
    return Training(run="birds", change=change, seed=seed, f1=f1, **{**values, **more})


def test_a_change_is_compared_with_the_default_of_its_search_and_seed() -> None:
    default = [a_training(DEFAULT, 1, (0.5, 0.6)), a_training(DEFAULT, 2, (0.4, 0.7))]
    change = [a_training("ema=0.0", 1, (0.6, 0.6), seconds=(2.0, 4.0)), a_training("ema=0.0", 2, (0.6, 0.8))]
    head, _, f1, accuracy = render([*default, *change, a_training("ema=0.0", 3, (0.9, 0.9))]).splitlines()
    assert head == "| change, epochs | 1 | 2 | chosen by validation | seconds |"
    both = "+0.150 ± 0.050 (2) | +0.050 ± 0.050 (2)"
    assert f1 == f"| ema=0.0, macro-F1 | {both} | +0.050 ± 0.050 (2) | x 1.50 |"
    assert accuracy == f"| ema=0.0, accuracy | {both} |  |  |"


def test_a_column_counts_the_trainings_that_have_all_of_its_epochs() -> None:
    trainings = [a_training(change, 1, (f1,) * 6) for change, f1 in ((DEFAULT, 0.5), ("ema=0.0", 0.6))]
    trainings += [a_training(change, 2, (f1,) * 5) for change, f1 in ((DEFAULT, 0.5), ("ema=0.0", 0.7))]
    head, _, f1, _ = render([*trainings, a_training(DEFAULT, 1, (0.1,) * 5)]).splitlines()
    assert "| 4 | 5 to 6 |" in head
    assert "| +0.150 ± 0.050 (2) | +0.100 (1) | +0.150" in f1, "of one length is a pair"


def test_changes_come_in_the_order_in_which_they_were_asked_for() -> None:
    trainings = [a_training(change, 1, (0.5,)) for change in ("lr=0.1", DEFAULT, "ema=0.0", "crop=0.0")]
    rows = render(trainings, ["crop=0.0", "lr=0.1"]).splitlines()[2::2]
    assert [row.split(",")[0] for row in rows] == ["| crop=0.0", "| lr=0.1", "| ema=0.0"]


def test_one_that_diverged_counts_as_nothing_and_its_epochs_as_long_as_they_were() -> None:
    lost = a_training("lr=0.1", 1, (0.4, 0.0, 0.0, 0.0), seconds=(1.0,))
    f1 = render([lost, a_training(DEFAULT, 1, (0.5,) * 4)]).splitlines()[2]
    assert "| -0.100 (1) | -0.500 (1) |" in f1 and "| x 1.00 |" in f1


def test_several_settings_are_one_change_and_words_stay_words() -> None:
    config = changed(TrialConfig(backbone="resnet18"), "lr=2e-3,sampling=sqrt")
    assert (config.lr, config.sampling, config.backbone) == (2e-3, "sqrt", "resnet18")
    assert changed(config, DEFAULT) == config


@pytest.mark.parametrize("change", ["speed=2", "lr", "lr=", "lr=5", "sampling=often", "dropout=much"])
def test_what_is_no_setting_is_refused_before_anything_is_trained(change: str) -> None:
    with pytest.raises(UserError, match="--changes " + change.split("=", maxsplit=1)[0]):
        changed(TrialConfig(backbone="resnet18"), change)


def test_no_epochs_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), "--epochs", "0", "--out", str(tmp_path / "recipe")])
    assert "--epochs is 0: it must be at least 1" in "".join(capfd.readouterr())


@pytest.mark.slow
def test_what_was_trained_is_kept(searched: Searched, tmp_path: Path) -> None:
    run = searched.folder / "runs" / "first"
    words = [str(run), "--seeds", "5", "--epochs", "2", "--out", str(tmp_path / "new" / "recipe"), "--changes"]
    assert main([*words, "label_smoothing=0.1"]) == 0
    file = tmp_path / "new" / "recipe.json"
    first = json.loads(file.read_text())
    assert [one["change"] for one in first].count(DEFAULT) == 1
    assert {len(one[name]) for one in first for name in ("f1", "accuracy", "val", "seconds")} == {2}
    assert load_run(run).points[0]["label_smoothing"] != 0.1, "else nothing is compared"
    assert main([*words, "label_smoothing=0.1", "lr=0.01"]) == 0
    kept = json.loads(file.read_text())
    assert kept[:2] == first and len(kept) == 3
    assert (tmp_path / "new" / "recipe.md").read_text().count("\n") == 6
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_a_training_that_fails_says_which_and_loses_no_other(
    searched: Searched, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    text = (searched.folder / "runs" / "first" / "run.json").read_text()
    (broken / "run.json").write_text(text.replace("split.csv", "gone.csv"))
    out = tmp_path / "recipe-0.5"
    runs = [str(searched.folder / "runs" / "first"), str(broken)]
    assert main([*runs, "--seeds", "5", "6", "7", "--epochs", "1", "--beside", "1", "--out", str(out)]) == 2
    assert "broken, default, seed 5: the training failed" in " ".join(capfd.readouterr().err.split())
    kept = [one["run"] for one in json.loads((tmp_path / "recipe-0.5.json").read_text())]
    assert set(kept) == {"first"} and len(kept) <= 2, "after the failure no third begins"
