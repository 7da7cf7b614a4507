"""Which trial ran when and where, as the logs tell it."""

from __future__ import annotations

from pathlib import Path

from results.pages.report_workers import Clock, spans_of, workers_figure
from results.records.run_folder import RunFolder
from results.records.trials import load_trials
from tests.runs import STARTED, a_line, a_run_dir, an_event, at


def told(folder: Path, trial: int, begin: float, end: float, pid: int = 0, node: str = "here") -> tuple[list, list]:
    """The lines and the events of a trial of one epoch."""
    events = [an_event(trial, "started", after=begin, config=a_line(trial, 1, 0.5)["config"])]
    if pid:
        events.append(an_event(trial, "placed", after=end, node=node, pid=pid))
    return [a_line(trial, 1, 0.5, after=end, status="stopped")], [*events, an_event(trial, "stopped", after=end)]


def a_folder(path: Path, *trials: tuple[list, list]) -> RunFolder:
    path.mkdir()
    events = [event for _, events in trials for event in events]
    return RunFolder(a_run_dir(path, [line for lines, _ in trials for line in lines], events))


def test_a_trial_is_in_the_lane_of_its_process_and_no_two_overlap(tmp_path: Path) -> None:
    a, b = told(tmp_path, 0, 0, 10, pid=7), told(tmp_path, 1, 1, 4, pid=8)
    c, d = told(tmp_path, 2, 12, 20, pid=8), told(tmp_path, 3, 13, 20, pid=7)
    folder = a_folder(tmp_path / "run", a, b, c, d)
    spans = spans_of(folder.epochs(), folder.events())
    assert [(span.trial_id, span.lane) for span in spans] == [("00000", 0), ("00001", 1), ("00002", 1), ("00003", 0)]


def test_logs_that_name_no_process_are_placed_where_there_is_room(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run", told(tmp_path, 0, 0, 10), told(tmp_path, 1, 1, 4), told(tmp_path, 2, 5, 9))
    assert [span.lane for span in spans_of(folder.epochs(), folder.events())] == [0, 1, 1]


def test_a_long_pause_is_left_out_of_the_axis_and_said(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run", told(tmp_path, 0, 0, 10, pid=7), told(tmp_path, 1, 7210, 7220, pid=9))
    spans = spans_of(folder.epochs(), folder.events())
    clock = Clock.over(STARTED, spans)
    assert clock.pauses == [(10.0, 7200.0)]
    assert clock.seconds(spans[1].end) == 20.0
    assert "pauses, 2:00:00 in all" in workers_figure(folder, load_trials(folder.path), at(0)).words


def test_a_trial_that_was_taken_up_again_has_two_bars(tmp_path: Path) -> None:
    lines, events = told(tmp_path, 0, 0, 10, pid=7)
    events += [an_event(0, "started", after=30), an_event(0, "stopped", after=40)]
    folder = a_folder(tmp_path / "run", (lines, events))
    assert len(spans_of(folder.epochs(), folder.events())) == 2


def test_nodes_have_lanes_of_their_own_and_names_are_no_markup(tmp_path: Path) -> None:
    evil = "<img src=x>"
    folder = a_folder(
        tmp_path / "run", told(tmp_path, 0, 0, 10, pid=7, node=evil), told(tmp_path, 1, 0, 9, pid=7, node="b")
    )
    figure = workers_figure(folder, load_trials(folder.path), at(0))
    assert [span.lane for span in spans_of(folder.epochs(), folder.events())] == [0, 0]
    assert evil not in figure.html and "b, worker 1" in figure.html


def test_a_run_without_a_trial_has_words(tmp_path: Path) -> None:
    assert workers_figure(a_folder(tmp_path / "run"), [], at(0)).words == "No trial has begun."
