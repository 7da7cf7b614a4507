"""Tests of what is read from a run folder."""

import json
import math
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from results.records.run_folder import RunError, best_trial, load_run, load_trials
from tests.records import a_report, a_run, a_task
from trainables.config import TrialConfig
from trainables.strict_json import RecordError

STARTED = datetime.fromisoformat("2026-10-24T14:03:00+09:00")


def at(seconds: float) -> str:
    return (STARTED + timedelta(seconds=seconds)).isoformat()


def a_line(trial: int, epoch: int, score: float, *, after: float = 0, status: str = "running") -> dict[str, Any]:
    report = a_report(epoch, score, class_f1=(score, score))
    config = {"config": asdict(TrialConfig(backbone=f"net{trial}"))} if epoch == 1 else {}
    return {"trial_id": f"{trial:05}", "time": at(after), "status": status, **report.to_json(), **config}


def an_event(trial: int, event: str, *, after: float = 0, **more: Any) -> dict[str, Any]:
    return {"trial_id": f"{trial:05}", "time": at(after), "event": event, "reason": None, **more}


def a_run_dir(
    folder: Path, lines: Iterable[dict[str, Any]] = (), events: Iterable[dict[str, Any]] | None = None
) -> Path:
    run = a_run(started=at(0), task=a_task(seed=7))
    run.save(folder / "run.json")
    (folder / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if events is not None:
        (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def test_the_best_epoch_counts_and_not_the_last(tmp_path: Path) -> None:
    scores = {0: [0.2, 0.5, 0.4], 1: [0.3, 0.9, 0.1, 0.6], 2: [0.8, 0.85]}
    lines = [a_line(trial, epoch, f1) for trial in scores for epoch, f1 in enumerate(scores[trial], start=1)]
    best = best_trial(a_run_dir(tmp_path, lines))
    assert best is not None
    assert (best.trial_id, best.report.epoch, best.report.val_macro_f1) == ("00001", 2, 0.9)
    assert best.epochs_trained == 4
    assert best.config.backbone == "net1"
    assert best.weights == "package net1 1.0"
    assert (best.run, best.space, best.seed, best.date) == ("a", "toy", 7, at(0))
    assert best.device_seconds == 2.0 * 9


def test_a_backbone_without_weights_is_said_to_start_at_random(tmp_path: Path) -> None:
    best = best_trial(a_run_dir(tmp_path, [a_line(2, 1, 0.5)]))
    assert best is not None
    assert best.weights == "random"


def test_the_first_of_equals_is_the_best(tmp_path: Path) -> None:
    lines = [a_line(1, 1, 0.5), a_line(0, 1, 0.4), a_line(0, 2, 0.5), a_line(0, 3, 0.5)]
    run_dir = a_run_dir(tmp_path, lines)
    best = best_trial(run_dir)
    assert best is not None
    assert (best.trial_id, best.report.epoch) == ("00000", 2)


def test_a_diverged_epoch_is_never_the_best(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path, [a_line(0, 1, 0.1), a_line(0, 2, math.nan), a_line(1, 1, math.nan)])
    best = best_trial(run_dir)
    assert best is not None
    assert best.report.val_macro_f1 == 0.1
    assert load_trials(run_dir)[1].best is None


@pytest.mark.parametrize("lines", [[], [a_line(0, 1, math.nan)]])
def test_a_run_without_a_finite_score_has_no_best_trial(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    assert best_trial(a_run_dir(tmp_path, lines)) is None


def test_a_run_without_trials_yet_has_none(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path)
    (run_dir / "trials.jsonl").unlink()
    assert load_trials(run_dir) == []
    assert best_trial(run_dir) is None


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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"val_macro_f1": "high"}, "line 2: val_macro_f1 is 'high'"),
        ({"epoch": None}, "line 2: epoch is None"),
        ({"time": "yesterday"}, "line 2: time is 'yesterday'"),
        ({"time": "2026-10-24T14:03:00"}, "line 2: time is"),
        ({"trial_id": 3}, "line 2: trial_id is 3"),
        ({"status": "resting"}, "line 2: status is 'resting'"),
        ({"trial_id": "00009"}, "line 2: no line gives the config of trial '00009'"),
        ({"trial_id": "00009", "config": {}}, "line 2: config: missing key 'backbone'"),
    ],
)
def test_a_line_with_a_wrong_value_is_an_error_with_its_number(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    run_dir = a_run_dir(tmp_path, [a_line(0, 1, 0.1), {**a_line(0, 2, 0.2), **changes}])
    with pytest.raises(RunError) as caught:
        best_trial(run_dir)
    assert f"{run_dir / 'trials.jsonl'}, {words}" in str(caught.value)
    assert "delete" in str(caught.value)


def test_after_a_resume_the_last_line_of_an_epoch_wins(tmp_path: Path) -> None:
    lines = [a_line(0, 1, 0.1), a_line(0, 2, 0.9), a_line(0, 2, 0.3), a_line(0, 3, 0.2)]
    trial = load_trials(a_run_dir(tmp_path, lines))[0]
    assert [report.val_macro_f1 for report in trial.reports] == [0.1, 0.3, 0.2]


def test_the_status_is_that_of_the_later_of_line_and_event(tmp_path: Path) -> None:
    lines = [
        a_line(0, 1, 0.1, after=10, status="finished"),
        a_line(1, 1, 0.1, after=10, status="stopped"),
        a_line(2, 1, 0.1, after=10),
        a_line(3, 1, 0.1, after=10),
        a_line(4, 1, 0.1, after=10),
        a_line(5, 1, 0.1, after=30),
    ]
    events = [
        an_event(3, "started", after=1),
        an_event(3, "failed", after=12, reason="out of memory"),
        an_event(4, "interrupted", after=12),
        an_event(5, "interrupted", after=12),
        an_event(6, "started", after=12),
        an_event(6, "failed", after=13, reason="no such backbone"),
        an_event(7, "failed", after=13, reason="again", config=asdict(TrialConfig(backbone="net7"))),
    ]
    run_dir = a_run_dir(tmp_path, lines, events)
    trials = load_trials(run_dir)
    assert [(trial.trial_id[-1], trial.status, trial.reason) for trial in trials] == [
        ("0", "finished", None),
        ("1", "stopped", None),
        ("2", "running", None),
        ("3", "failed", "out of memory"),
        ("4", "interrupted", None),
        ("5", "running", None),
        ("7", "failed", "again"),
    ]
    best = best_trial(run_dir)
    assert best is not None
    assert best.trials == {"asked": 8, "finished": 1, "stopped": 1, "failed": 3, "total": 8}


def test_an_old_run_without_events_can_be_read(tmp_path: Path) -> None:
    best = best_trial(a_run_dir(tmp_path, [a_line(0, 1, 0.1, status="finished")]))
    assert best is not None
    assert best.trials["finished"] == best.trials["total"] == 1


def test_wall_time_ends_at_the_last_report_and_leaves_out_the_night_before_a_resume(tmp_path: Path) -> None:
    night = 8 * 3600
    lines = [a_line(0, 1, 0.1, after=100), a_line(1, 1, 0.1, after=102), a_line(0, 2, 0.1, after=night)]
    best = best_trial(a_run_dir(tmp_path, lines))
    assert best is not None
    assert best.wall_seconds == 102 + 2  # the epoch after the night took 2 seconds
    assert best.device_seconds == 6


def test_an_epoch_of_hours_is_no_pause(tmp_path: Path) -> None:
    line = {**a_line(0, 1, 0.1, after=7300), "seconds": 7200.0}
    best = best_trial(a_run_dir(tmp_path, [line]))
    assert best is not None
    assert best.wall_seconds == 7300


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


def test_a_thousand_trials_are_read_in_seconds(tmp_path: Path) -> None:
    parts = {epoch: json.dumps(a_line(0, epoch, epoch / 100)) for epoch in range(1, 28)}
    lines = (parts[epoch].replace('"00000"', f'"{trial:05}"') for trial in range(1000) for epoch in parts)
    run_dir = a_run_dir(tmp_path)
    (run_dir / "trials.jsonl").write_text("\n".join(lines) + "\n")
    began = time.process_time()
    best = best_trial(run_dir)
    assert time.process_time() - began < 10  # about 1.5 s on one core of a laptop
    assert best is not None
    assert best.trials["total"] == 1000
    assert best.report.epoch == 27
