"""The folder of a run: what is written into it and read from it."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from results.records.best import best_trial
from results.records.run_folder import RunError, RunFolder, load_run
from results.records.trials import load_trials
from tests.records import a_report
from tests.runs import a_line, a_run_dir, an_event
from trainables.report import TrialStatus
from trainables.strict_json import RecordError


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_event("00000", "started", config={"backbone": "net0"})
    folder.append_epoch("00000", TrialStatus.STOPPED, a_report(1, math.nan), {"backbone": "net0"})
    [epoch], [event] = folder.epochs(), folder.events()
    assert (epoch.trial_id, epoch.values["status"], epoch.values["val_macro_f1"]) == ("00000", "stopped", None)
    assert (event.values["event"], event.values["reason"]) == ("started", None)
    assert event.time <= epoch.time


def test_a_line_that_cannot_be_written_leaves_the_lines_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    folder.append_event("00000", "started")
    before = folder.events_jsonl.read_bytes()

    def half_then_full(*args: Any, **kwargs: Any) -> str:
        with folder.events_jsonl.open("a") as file:
            file.write("half a li")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dumps", half_then_full)
    with pytest.raises(OSError, match=r"events\.jsonl cannot be written: .*No space left"):
        folder.append_event("00000", "finished")
    assert folder.events_jsonl.read_bytes() == before


def test_a_line_after_a_torn_one_does_not_continue_it(tmp_path: Path) -> None:
    folder = RunFolder(a_run_dir(tmp_path, [a_line(0, 1, 0.1)]))
    with folder.trials_jsonl.open("a") as file:
        file.write('{"trial_id": "000')
    folder.cut_torn_lines()
    folder.append_epoch("00000", TrialStatus.RUNNING, a_report(2, 0.2))
    assert [line.values["epoch"] for line in folder.epochs()] == [1, 2]


def test_a_forgotten_trial_leaves_nothing_and_the_others_all(tmp_path: Path) -> None:
    lines, events = [a_line(0, 1, 0.1), a_line(1, 1, 0.2)], [an_event(0, "started"), an_event(1, "started")]
    folder = RunFolder(a_run_dir(tmp_path, lines, events))
    for files in (folder.checkpoints, folder.tensorboard, folder.predictions):
        for trial_id in ("00000", "00001"):
            (files / trial_id).mkdir(parents=True)
    folder.forget_trial("00000")
    assert [trial.trial_id for trial in load_trials(tmp_path)] == ["00001"]
    assert [event.trial_id for event in folder.events()] == ["00001"]
    assert {path.name for path in folder.checkpoints.iterdir()} == {"00001"}
    assert {path.name for path in folder.tensorboard.iterdir()} == {"00001"}
    assert {path.name for path in folder.predictions.iterdir()} == {"00001"}


@pytest.mark.parametrize("keep", [1, 30, -2])
def test_a_last_line_cut_by_a_kill_is_ignored(tmp_path: Path, keep: int) -> None:
    run_dir = a_run_dir(tmp_path, [a_line(0, 1, 0.1)])
    with (run_dir / "trials.jsonl").open("a") as file:
        file.write(json.dumps(a_line(0, 2, 0.2))[:keep])
    assert [report.epoch for report in load_trials(run_dir)[0].reports] == [1]


def test_a_last_line_without_its_newline_counts(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path, [a_line(0, 1, 0.1)])
    path = run_dir / "trials.jsonl"
    path.write_text(path.read_text().rstrip("\n"))
    assert len(load_trials(run_dir)[0].reports) == 1


@pytest.mark.parametrize("name", ["trials.jsonl", "events.jsonl"])
def test_a_broken_line_before_the_last_is_an_error_with_its_number(tmp_path: Path, name: str) -> None:
    run_dir = a_run_dir(tmp_path, [a_line(0, 1, 0.1)], [an_event(0, "started")])
    path = run_dir / name
    whole = path.read_text()
    path.write_text(whole + '{"trial_id": "000\n' + whole)
    with pytest.raises(RunError, match=rf"{name}, line 2 is not valid JSON .* delete that line"):
        load_trials(run_dir)


def test_a_missing_run_is_named_with_the_runs_that_are_there(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        a_run_dir(tmp_path / name)
    with pytest.raises(RunError, match=r"third does not exist: .*\(first, second\).*search/run\.py"):
        load_run(tmp_path / "third")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=r"empty holds no run\.json"):
        best_trial(tmp_path / "empty")


def test_a_corrupt_run_is_named_by_file_and_key(tmp_path: Path) -> None:
    path = a_run_dir(tmp_path) / "run.json"
    values = json.loads(path.read_text())
    del values["split_hash"]
    path.write_text(json.dumps(values))
    with pytest.raises(RecordError, match=r"run\.json: missing key 'split_hash'"):
        load_run(tmp_path)
    path.write_text("{")
    with pytest.raises(RecordError, match=r"run\.json is not valid JSON"):
        load_run(tmp_path)
