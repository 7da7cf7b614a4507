"""A run in one row: what its folder says of its state, whatever state the folder is in."""

from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from results.records.presence import STALE_SECONDS, Presence, who_is_at
from results.records.run_folder import RunFolder, load_run
from results.records.summary import RunState, RunSummary, size_on_disk, summaries, summary
from results.records.trials import BEGUN, CRASHED, CUT_SHORT, DRIVER, ENDED
from tests.runs import a_line, a_run_dir, an_event


def a_finished_run(folder: Path, trials: int = 8) -> Path:
    lines = [
        a_line(trial, epoch, 0.1 * trial + 0.01 * epoch, after=epoch) for trial in range(trials) for epoch in (1, 2)
    ]
    return a_run_dir(folder, lines, [an_event(trial, "finished", after=3) for trial in range(trials)])


def test_a_run_whose_trials_have_all_ended_is_finished(tmp_path: Path) -> None:
    row = summary(a_finished_run(tmp_path / "a"))
    assert row is not None
    assert (row.state, row.done, row.asked, row.best_trial, row.backbone) == ("finished", 8, 8, "00007", "net7")
    assert row.best == pytest.approx(0.72)
    assert row.data == "pictures"
    assert row.next_command(tmp_path).startswith("python scripts/retrain.py --run a --storage ")


def test_a_failed_trial_is_not_the_best_and_a_run_of_failures_has_failed(tmp_path: Path) -> None:
    lines = [a_line(trial, 1, 0.5) for trial in range(8)]
    row = summary(a_run_dir(tmp_path / "a", lines, [an_event(trial, "failed", after=1) for trial in range(8)]))
    assert row is not None
    assert row.state == RunState.FAILED
    assert math.isnan(row.best)


def test_a_run_with_trials_left_is_interrupted_and_says_why(tmp_path: Path) -> None:
    events = [an_event(0, "interrupted", after=2) | {"reason": "Ctrl-C"}]
    row = summary(a_run_dir(tmp_path / "a", [a_line(0, 1, 0.5)], events))
    assert row is not None
    assert (row.state, row.problem) == (RunState.INTERRUPTED, "Ctrl-C")
    assert "--resume a" in row.next_command(tmp_path)


def test_a_run_that_has_used_its_time_budget_is_no_interrupted_one(tmp_path: Path) -> None:
    begun = [an_event(trial, "started", after=trial) for trial in (0, 1)]
    ends = [an_event(0, "finished", after=4), an_event(1, "interrupted", after=5) | {"reason": "time budget"}]
    asked = a_run_dir(tmp_path / "a", [a_line(0, 1, 0.5)], [*begun, *ends])
    row = summary(asked)
    assert row is not None
    assert (row.state, row.problem) == (RunState.TIME_USED, "")
    assert row.next_command(tmp_path).startswith("python scripts/retrain.py --run a")
    assert (row.trials_in_words, row.more_time) == ("1 of 8", "15m")
    replace(load_run(asked), trials_open=True).save(asked / "run.json")
    row = summary(asked)
    assert row is not None and row.trials_in_words == "2"
    again = [*begun, *ends, an_event(1, "started", after=6)]  # gone on with, and killed
    row = summary(a_run_dir(tmp_path / "b", [a_line(0, 1, 0.5)], again))
    assert row is not None and row.state == RunState.INTERRUPTED
    row = summary(a_run_dir(tmp_path / "c", [], [*begun, *ends]))
    assert row is not None and row.state == RunState.INTERRUPTED  # without a score there is nothing to train again


def test_a_driver_that_crashed_last_is_a_failure_until_the_run_goes_on(tmp_path: Path) -> None:
    crash = an_event(0, "crashed", after=5) | {"trial_id": "driver", "reason": "OSError: disk"}
    row = summary(a_run_dir(tmp_path / "a", [a_line(0, 1, 0.5)], [crash]))
    assert row is not None
    assert (row.state, row.problem) == (RunState.FAILED, "OSError: disk")
    row = summary(a_run_dir(tmp_path / "b", [a_line(0, 1, 0.5)], [crash, an_event(0, "started", after=9)]))
    assert row is not None
    assert row.state == RunState.INTERRUPTED


def of_the_driver(event: str, *, after: float, reason: str | None = None) -> dict[str, Any]:
    return an_event(0, event, after=after) | {"trial_id": DRIVER, "reason": reason}


def whose_trials_are_over(
    folder: Path, *marks: dict[str, Any], ends: Sequence[str | None] = (None, None)
) -> RunSummary:
    """The row of a run of two trials, each finished or ended for a reason, with these events of its driver."""
    begun = [of_the_driver(BEGUN, after=0), *(an_event(trial, "started", after=1) for trial in (0, 1))]
    over = [
        an_event(trial, "finished" if reason is None else "interrupted", after=4) | {"reason": reason}
        for trial, reason in enumerate(ends)
    ]
    run_dir = a_run_dir(folder, [a_line(trial, 1, 0.5, after=2) for trial in (0, 1)], [*begun, *over, *marks])
    replace(load_run(run_dir), trials_asked=2, options={"time_budget": "5m"}).save(run_dir / "run.json")
    row = summary(run_dir)
    assert row is not None
    return row


def test_a_run_that_was_killed_behind_its_trials_is_interrupted_and_a_resume_is_offered(tmp_path: Path) -> None:
    row = whose_trials_are_over(tmp_path / "a")
    assert (row.state, row.problem, row.can_resume) == (RunState.INTERRUPTED, CUT_SHORT, True)
    assert row.next_command(tmp_path) == f"python search/run.py --resume a --storage {tmp_path}"
    row = whose_trials_are_over(tmp_path / "b", of_the_driver(ENDED, after=5))
    assert (row.state, row.problem, row.can_resume) == (RunState.FINISHED, "", False)
    assert "retrain.py" in row.next_command(tmp_path)
    again = of_the_driver(BEGUN, after=9)
    row = whose_trials_are_over(tmp_path / "c", of_the_driver(ENDED, after=5), again)
    assert (row.state, row.can_resume) == (RunState.INTERRUPTED, True)
    Presence.of_this_process("searched").write(RunFolder(tmp_path / "c").presence)
    row = summary(tmp_path / "c") or row
    assert (row.state, row.can_resume, row.lacks_its_end) == (RunState.HERE, False, False)


def test_a_run_whose_last_part_was_interrupted_says_what_it_lacks(tmp_path: Path) -> None:
    lacks = of_the_driver(ENDED, after=5, reason="the model was not trained further (Ctrl-C)")
    row = whose_trials_are_over(tmp_path / "a", lacks)
    assert (row.state, row.problem) == (RunState.INTERRUPTED, "the model was not trained further (Ctrl-C)")
    assert "--resume a" in row.next_command(tmp_path) and "--add-trials" not in row.next_command(tmp_path)


@pytest.mark.parametrize(("has_ended", "state"), [(True, RunState.TIME_USED), (False, RunState.INTERRUPTED)])
def test_a_run_that_was_killed_when_its_time_was_used_goes_on_for_more(
    tmp_path: Path, has_ended: bool, state: RunState
) -> None:
    marks = [of_the_driver(ENDED, after=5)] if has_ended else []
    row = whose_trials_are_over(tmp_path / "a", *marks, ends=(None, "time budget"))
    assert (row.state, row.lacks_its_end) == (state, not has_ended)
    assert ("--resume a" in row.next_command(tmp_path)) != has_ended


def test_a_driver_that_crashed_behind_the_trials_is_a_failure_that_a_resume_mends(tmp_path: Path) -> None:
    crash = of_the_driver(CRASHED, after=5, reason="OSError: disk")
    row = whose_trials_are_over(tmp_path / "a", crash)
    assert (row.state, row.problem, row.can_resume) == (RunState.FAILED, "OSError: disk", True)
    assert "--resume a" in row.next_command(tmp_path) and "--add-trials" not in row.next_command(tmp_path)
    row = whose_trials_are_over(tmp_path / "b", crash, of_the_driver(BEGUN, after=6), of_the_driver(ENDED, after=7))
    assert row.state == RunState.FINISHED


def test_what_is_noted_of_processes_takes_no_time(tmp_path: Path) -> None:
    row = whose_trials_are_over(tmp_path / "a", of_the_driver(ENDED, after=100), of_the_driver(BEGUN, after=200))
    assert row.seconds == 4.0


def test_a_run_at_which_a_live_process_is_runs_here(tmp_path: Path) -> None:
    folder = RunFolder(a_finished_run(tmp_path / "a"))
    Presence.of_this_process("searched").write(folder.presence)
    row = summary(folder.path)
    assert row is not None
    assert (row.state, row.presence and row.presence.pid) == (RunState.HERE, os.getpid())
    assert row.next_command(tmp_path) == ""


def test_what_a_killed_process_left_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "presence.json"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        mine = Presence.of_this_process("searched")
        Presence(**{**vars(mine), "pid": process.pid, "process_began": mine.process_began - 60}).write(path)
        assert who_is_at(path) is None  # another process that got the number again
        process.communicate(b"\n")
    Presence(**{**vars(mine), "pid": process.pid}).write(path)
    assert who_is_at(path) is None


def test_a_process_of_another_machine_counts_while_its_file_is_fresh(tmp_path: Path) -> None:
    folder = RunFolder(a_finished_run(tmp_path / "a"))
    Presence(**{**vars(Presence.of_this_process("searched")), "host": "elsewhere"}).write(folder.presence)
    row = summary(folder.path)
    assert row is not None
    assert row.state == RunState.ELSEWHERE
    old = folder.presence.stat().st_mtime - STALE_SECONDS - 5
    os.utime(folder.presence, (old, old))
    row = summary(folder.path)
    assert row is not None
    assert row.state == RunState.FINISHED


@pytest.mark.parametrize("content", ["", "[]", '{"name": 3}', "\x00"])
def test_a_run_that_cannot_be_read_is_a_row_that_says_so(content: str, tmp_path: Path) -> None:
    run_dir = a_finished_run(tmp_path / "a")
    (run_dir / "run.json").write_text(content)
    row = summary(run_dir)
    assert row is not None
    assert row.state == RunState.UNREADABLE
    assert "run.json" in row.problem


def test_a_run_of_another_version_is_a_row_that_names_the_key(tmp_path: Path) -> None:
    run_dir = a_finished_run(tmp_path / "a")
    values = json.loads((run_dir / "run.json").read_text())
    (run_dir / "run.json").write_text(json.dumps({**values, "from_the_future": 1}))
    row = summary(run_dir)
    assert row is not None
    assert "from_the_future" in row.problem


def test_what_is_no_run_is_left_out_and_the_newest_stands_first(tmp_path: Path) -> None:
    assert summaries(tmp_path / "none") == []
    a_finished_run(tmp_path / "a")
    (tmp_path / "study").mkdir()
    (tmp_path / "history.jsonl").write_text("")
    newer = json.loads((a_finished_run(tmp_path / "b") / "run.json").read_text()) | {
        "started": "2027-01-01T00:00+00:00"
    }
    (tmp_path / "b" / "run.json").write_text(json.dumps(newer))
    assert [row.name for row in summaries(tmp_path)] == ["b", "a"]
    assert summary(tmp_path / "gone") is None


def test_links_do_not_count_twice_on_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1234")
    (tmp_path / "link").symlink_to(tmp_path)
    assert 4 <= size_on_disk(tmp_path) < 4096


def test_a_name_and_a_time_budget_are_typed_so_that_a_shell_reads_them(tmp_path: Path) -> None:
    folder = a_run_dir(tmp_path / "a (copy)", [a_line(0, 1, 0.5)], [an_event(0, "interrupted", after=2)])
    replace(load_run(folder), trials_open=True, options={"time_budget": "15 m"}).save(folder / "run.json")
    row = summary(folder)
    assert row is not None
    words = ["--resume", "a (copy)", "--storage", str(tmp_path), "--time-budget", "15m"]
    assert shlex.split(row.next_command(tmp_path)) == ["python", "search/run.py", *words]
    row = summary(a_finished_run(tmp_path / "b (copy)"))
    assert row is not None
    words = ["--run", "b (copy)", "--storage", str(tmp_path)]
    assert shlex.split(row.next_command(tmp_path)) == ["python", "scripts/retrain.py", *words]


def test_trials_are_counted_out_of_those_that_somebody_asked_for(tmp_path: Path) -> None:
    lines = [a_line(trial, 1, 0.5) for trial in range(3)]
    folder = a_run_dir(tmp_path / "a", lines, [an_event(0, "finished", after=2)])
    for trials_open, words in ((False, "1 of 8"), (True, "1")):
        replace(load_run(folder), trials_open=trials_open).save(folder / "run.json")
        row = summary(folder)
        assert row is not None and (row.state, row.trials_in_words) == (RunState.INTERRUPTED, words)
        Presence.of_this_process("searched").write(RunFolder(folder).presence)
        row = summary(folder)
        assert row is not None and (row.state, row.trials_in_words) == (RunState.HERE, words)
        RunFolder(folder).presence.unlink()
