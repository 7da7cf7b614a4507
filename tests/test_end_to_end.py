"""Whole searches from a foreign folder: data to README, a kill and a resume, and every user's mistake."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from results.records.best import best_trial
from results.records.confusion import load_confusion
from results.records.record import load_record
from results.records.trials import load_trials
from search.run import main
from tests.conftest import CLASSES, Searched, places, run_command
from trainables.saved.model_description import read_description

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("--space", "toy", "--trials", "4", "--epochs", "3", "--image-size", "32", "--batch-size", "16")


def command(*flags: str, folder: Path) -> list[str]:
    return [sys.executable, str(ROOT / "search" / "run.py"), *flags, *places(folder)]


def mistaken(*flags: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """What a search that cannot start prints."""
    try:
        code = main(command(*flags, folder=folder)[2:])
    except SystemExit as end:  # tyro's way
        code = end.code
    assert code == 2
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    return said


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def states(run_dir: Path) -> list[TrialState]:
    storage = JournalStorage(JournalFileBackend(str(run_dir / "study.journal")))
    study = optuna.load_study(study_name=run_dir.name, storage=storage)
    return [trial.state for trial in study.trials]


@pytest.mark.slow
def test_a_search_leaves_a_row_a_record_curves_and_a_study(searched: Searched) -> None:
    folder, said = searched.folder, searched.said
    run_dir = folder / "runs" / "first"
    best = best_trial(run_dir)
    assert best is not None
    scores = [(line["val_macro_f1"], line["trial_id"], line["epoch"]) for line in lines(run_dir / "trials.jsonl")]
    assert best.report.val_macro_f1 == max(scores)[0]
    assert load_record(folder / "results" / "best" / "toy.json").config == best.config
    assert f"| {best.report.val_macro_f1:.4f}; corrected " in (folder / "README.md").read_text()
    trials = load_trials(run_dir)
    assert [trial.trial_id for trial in trials] == ["00000", "00001", "00002", "00003"]
    assert {trial.status for trial in trials} <= {"finished", "stopped"}
    assert trials[0].config.backbone == "test_efficientnet"
    expected = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED}
    assert states(run_dir) == [expected[trial.status] for trial in trials]
    boards = sorted(path.name for path in (run_dir / "tensorboard").iterdir() if path.is_dir())
    assert [board.split()[0] for board in boards] == [trial.trial_id for trial in trials]
    assert len(list((run_dir / "checkpoints").glob("*/best.pt"))) == 4  # of all four, as --keep is 5
    assert not list((run_dir / "checkpoints").glob("*/last.pt"))
    assert not (run_dir / "ray").exists()
    classes, confusion = load_confusion(run_dir / "confusion" / f"{best.trial_id}.csv")
    assert classes == best.task.classes
    num_val = best.data["sides"]["val"]["pictures"]
    assert sum(map(sum, confusion)) == num_val
    right = sum(row[place] for place, row in enumerate(confusion))
    assert right / num_val == pytest.approx(best.report.val_accuracy)
    assert "data:image/png;base64" in (run_dir / "report.html").read_text()
    with (folder / "results" / "experiments.csv").open() as file:
        experiments = list(csv.DictReader(file))
    assert [row["run"] for row in experiments] == ["first"]
    description = read_description(run_dir / "model" / "model.json")
    assert description.record["picked_by"] == "validation"
    assert f"Model: {run_dir / 'model'}" in said
    assert "tensorboard --logdir" in said
    assert "ALL TRIALS START AT RANDOM" in said


@pytest.mark.slow
def test_no_person_stands_on_two_sides(searched: Searched) -> None:
    sides = defaultdict(set)
    with (searched.folder / "runs" / "first" / "split.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            sides[row["group"]].add(row["split"])
    assert len(sides) == 24
    assert all(len(where) == 1 for where in sides.values())


@pytest.mark.slow
def test_a_killed_search_goes_on_and_ends_as_if_it_had_not_been(
    pictures: Path, searched: Searched, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path
    flags = (
        *SMALL,
        "--data",
        str(pictures),
        "--name",
        "killed",
        "--seed",
        "3",
        "--concurrency",
        "1",
        "--cpus-per-trial",
        "1",
    )
    process = subprocess.Popen(
        command(*flags, folder=folder), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log = folder / "runs" / "killed" / "trials.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and len(log.read_text().splitlines()) >= 2) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.kill()
    process.wait()
    before = log.read_text()
    with log.open("a") as file:
        file.write('{"trial_id": "0000')  # a line that the kill cut short
    said = run_command("search/run.py", "--resume", "killed", folder=folder)
    assert log.read_text().startswith(before)
    epochs = [(line["trial_id"], line["epoch"]) for line in lines(log)]
    assert len(epochs) == len(set(epochs))
    trials = load_trials(folder / "runs" / "killed")
    assert len(trials) == 4
    assert all(trial.status in ("finished", "stopped") for trial in trials)
    assert TrialState.RUNNING not in states(folder / "runs" / "killed")
    assert "Goes on after" in said
    # the first trial was cut in two and still has the numbers of the search that was not killed
    whole = load_trials(searched.folder / "runs" / "first")[0]
    assert [report.val_loss for report in trials[0].reports] == [
        report.val_loss for report in whole.reports[: len(trials[0].reports)]
    ]

    more = run_command("search/run.py", "--resume", "killed", "--add-trials", "1", folder=folder)
    assert len(load_trials(folder / "runs" / "killed")) == 5
    assert "trials are done (" not in more  # none is left
    refused = mistaken("--resume", "killed", "--epochs", "9", "--seed", "4", folder=folder, capfd=capfd)
    assert "--epochs 9, the run has 3" in refused
    assert "--seed 4, the run has 3" in refused


@pytest.mark.slow
def test_ctrl_c_ends_with_the_epoch_writes_the_table_and_says_how_to_go_on(pictures: Path, tmp_path: Path) -> None:
    flags = (*SMALL, "--data", str(pictures), "--name", "stopped", "--trials", "50", "--epochs", "30")
    process = subprocess.Popen(
        command(*flags, folder=tmp_path), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    log = tmp_path / "runs" / "stopped" / "trials.jsonl"
    deadline = time.monotonic() + 120
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "python search/run.py --resume stopped" in said
    assert (tmp_path / "README.md").exists()
    assert TrialState.RUNNING not in states(tmp_path / "runs" / "stopped")
    assert "interrupted" in {trial.status for trial in load_trials(tmp_path / "runs" / "stopped")}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("told", ["auto", "search"])
def test_where_left_and_right_are_classes_no_picture_is_mirrored_unless_it_is_told_to(
    told: str, pictures: Path, tmp_path: Path
) -> None:
    shutil.copytree(pictures, tmp_path / "data")
    table = tmp_path / "data" / "train.csv"
    text = table.read_text()
    table.write_text(text.replace(f",{CLASSES[0]},", ",turn left,").replace(f",{CLASSES[1]},", ",turn right,"))
    small = (*SMALL[:2], "--trials", "1", "--epochs", "1", *SMALL[6:], "--flip", told, "--name", "a")
    said = run_command("search/run.py", *small, "--data", str(tmp_path / "data"), folder=tmp_path)
    if told == "auto":
        run_command("search/run.py", "--resume", "a", "--add-trials", "3", folder=tmp_path)
    run = json.loads((tmp_path / "runs" / "a" / "run.json").read_text())
    flips = [trial.config.flip for trial in load_trials(tmp_path / "runs" / "a")]
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "runs" / "a" / "study.journal")))
    proposed = ["flip" in trial.params for trial in optuna.load_study(study_name="a", storage=storage).trials]
    if told == "auto":
        assert re.search(r"mirror images of each other:\s+turn left\s+and\s+turn right", said)
        assert run["options"]["flip"] == "never" and run["data"]["flips"] is False
        assert {point["flip"] for point in run["points"]} == set(flips) == {0.0}
    else:
        assert "mirror images of each other" not in said
        assert run["options"]["flip"] == "search" and "flips" not in run["data"]
        assert flips[0] == 0.5
    assert proposed == (4 * [False] if told == "auto" else [True])


@pytest.mark.slow
def test_a_resumed_run_that_is_done_trains_nothing(searched: Searched) -> None:
    folder = searched.folder
    before = (folder / "runs" / "first" / "trials.jsonl").read_text()
    run_command("search/run.py", "--resume", "first", folder=folder)
    assert (folder / "runs" / "first" / "trials.jsonl").read_text() == before


def spoil(pictures: Path, folder: Path, how: str) -> str:
    """A copy of the data with one thing wrong; returns what the message must say."""
    data = folder / "data"
    shutil.copytree(pictures, data)
    table = data / "train.csv"
    rows = table.read_text().splitlines()
    match how:
        case "missing":
            (data / "p00_0.png").unlink()
            return r"row 2.*p00_0\.png.*no such file"
        case "empty":
            (data / "p00_0.png").write_bytes(b"")
            return r"row 2.*p00_0\.png.*(zero bytes|empty)"
        case "no picture":
            (data / "p00_0.png").write_text("hello")
            return r"row 2.*p00_0\.png.*not a picture"
        case "truncated":
            (data / "p00_0.png").write_bytes((data / "p00_0.png").read_bytes()[:300])
            return r"row 2.*p00_0\.png.*broken picture"
        case "twice":
            table.write_text("\n".join([*rows, rows[1]]))
            return r"row 98.*p00_0\.png"
        case "no label":
            table.write_text("\n".join([rows[0], "p00_0.png,,p00", *rows[2:]]))
            return r"row 2.*label"
        case "one class":
            table.write_text("\n".join([rows[0], *(re.sub(",.*,", ",circle,", row) for row in rows[1:])]))
            return r"one class"
        case "lonely class":
            table.write_text("\n".join([rows[0], "p00_0.png,alone,p00", *rows[2:]]))
            return r"alone.*group"
        case "same picture on two sides":
            for person in range(24):  # in whichever groups the sides are: the same picture everywhere
                shutil.copyfile(data / "p00_0.png", data / f"p{person:02}_copy.png")
            table.write_text(
                "\n".join([*rows, *(f"p{person:02}_copy.png,circle,p{person:02}" for person in range(24))])
            )
            return r"(?s)byte for byte.*--allow-leak"
    raise AssertionError(how)


@pytest.mark.parametrize(
    "how",
    [
        "missing",
        "empty",
        "no picture",
        "truncated",
        "twice",
        "no label",
        "one class",
        "lonely class",
        "same picture on two sides",
    ],
)
def test_bad_data_is_named_before_any_trial(
    how: str, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = spoil(pictures, tmp_path, how)
    said = mistaken(*SMALL, "--data", str(tmp_path / "data"), folder=tmp_path, capfd=capfd)
    assert re.search(expected, said), said
    assert not (tmp_path / "runs").exists()


def test_everything_wrong_is_listed_at_once(pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spoil(pictures, tmp_path, "no label")
    (tmp_path / "data" / "p01_0.png").unlink()
    (tmp_path / "data" / "p02_0.png").write_text("hello")
    said = mistaken(*SMALL, "--data", str(tmp_path / "data"), folder=tmp_path, capfd=capfd)
    assert "3 problems" in said
    assert re.search(r"row 2:.*label", said)
    assert re.search(r"row 6:.*p01_0\.png: no such file", said)
    assert re.search(r"row 10:.*p02_0\.png: not a picture", said)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--space", "toi"), "did you mean 'toy'"),
        (("--space", "toy", "--backbones", "test_resnett"), "did you mean 'test_resnet'"),
        (("--space", "toy", "--epochs", "0"), "--epochs is 0"),
        (("--space", "toy", "--weights", "nowhere"), "no such folder"),
        (("--space", "toy", "--data", "nowhere"), "nowhere"),
        (("--space", "toy", "--resume", "nowhere"), "nowhere"),
        (("--space", "toy", "--gpus-per-trial", "1", "--concurrency", "64"), " GPUs"),
        (("--space", "toy", "--epochs", "many"), "--epochs"),
        (("--space", "toy", "--timezone", "Europe/Pariss"), "Europe/Paris"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_on_the_command_line_is_one_message(
    flags: tuple[str, ...], expected: str, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = () if "--data" in flags else ("--data", str(pictures))
    assert expected in mistaken(*flags, *data, folder=tmp_path, capfd=capfd)


def test_a_name_that_is_taken_says_the_way_out(
    pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    said = mistaken(*SMALL, "--data", str(pictures), "--name", "mine", folder=tmp_path, capfd=capfd)
    assert "--resume mine" in said


def test_broken_markers_in_the_readme_are_found_before_the_first_trial(
    pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("<!-- macrotune:results:end -->\n")
    said = mistaken(*SMALL, "--data", str(pictures), folder=tmp_path, capfd=capfd)
    assert "README.md" in said
    assert (tmp_path / "README.md").read_text() == "<!-- macrotune:results:end -->\n"
    assert not (tmp_path / "runs").exists()
