"""What the logs tell of trials."""

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from results.records.best import best_trial
from results.records.run_folder import RunError, RunFolder, load_run
from results.records.trials import BEGUN, DRIVER, ENDED, last_time_budget, load_trials
from tests.runs import a_line, a_run_dir, an_event
from trainables.config import TrialConfig


def test_a_run_without_trials_yet_has_none(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path)
    (run_dir / "trials.jsonl").unlink()
    assert load_trials(run_dir) == []
    assert best_trial(run_dir) is None


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


def test_the_epoch_whose_weights_are_kept_is_the_best_and_where_none_is_named_the_first_of_the_highest(
    tmp_path: Path,
) -> None:
    lines = [a_line(0, epoch, score) for epoch, score in enumerate((0.9, 1.0, 1.0), start=1)]
    for kept, best in ((0, 2), (1, 1), (3, 3), (4, 4), (9, 2)):
        trial = load_trials(a_run_dir(tmp_path / str(kept), [*lines, {**a_line(0, 4, 0.99), "best_epoch": kept}]))[0]
        assert trial.best is not None and trial.best.epoch == best
    diverged = {**a_line(0, 4, math.nan), "best_epoch": 4}
    trial = load_trials(a_run_dir(tmp_path / "diverged", [*lines, diverged]))[0]
    assert trial.best is not None and trial.best.epoch == 2


def test_the_time_budget_is_that_of_the_process_that_was_last_at_it(tmp_path: Path) -> None:
    folder = RunFolder(a_run_dir(tmp_path / "a", [a_line(0, 1, 0.5)], [an_event(0, "started")]))
    run = replace(load_run(folder.path), options={"time_budget": "5m"})
    assert last_time_budget(run, folder.events()) == "5m"
    folder.append_event(DRIVER, BEGUN)  # as before it was noted
    assert last_time_budget(run, folder.events()) == "5m"
    for budget in ("15m", "1h", None):
        folder.append_event(DRIVER, BEGUN, time_budget=budget)
        folder.append_event(DRIVER, ENDED)
        assert last_time_budget(run, folder.events()) == budget
