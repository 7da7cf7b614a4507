"""A run as the page shows it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from results.records.best import best_trial
from results.records.confusion import save_confusion
from results.records.run_folder import RunFolder
from search.hold import hold
from search.service.run_charts import curves_options
from search.service.run_view import CURVES_SHOWN, Watcher
from tests.runs import a_line, a_run_dir, an_event
from trainables.config import TrialConfig
from trainables.errors import UserError


def a_storage(folder: Path, trials: int = 3) -> Path:
    lines = [a_line(trial, epoch, 0.1 * (trial + epoch), after=epoch) for trial in range(trials) for epoch in (1, 2)]
    run_dir = a_run_dir(folder / "a", lines, [an_event(trial, "stopped", after=3) for trial in range(trials)])
    values = json.loads((run_dir / "run.json").read_text())
    values["points"] = [asdict(TrialConfig(backbone="net0"))]
    (run_dir / "run.json").write_text(json.dumps(values))
    return run_dir


def test_the_leaderboard_sorts_by_any_column_and_filters(tmp_path: Path) -> None:
    a_storage(tmp_path)
    view = Watcher(tmp_path).view("a")
    assert [row["trial"] for row in view.leaderboard()] == ["00002", "00001", "00000"]
    assert [row["trial"] for row in view.leaderboard("trial", descending=False)] == ["00000", "00001", "00002"]
    assert [row["trial"] for row in view.leaderboard(wanted="NET1 stopped")] == ["00001"]
    assert view.leaderboard()[0]["lr"] == TrialConfig(backbone="x").lr


def test_the_winner_stands_beside_the_default(tmp_path: Path) -> None:
    a_storage(tmp_path)
    settings = Watcher(tmp_path).view("a").settings()
    assert [row["setting"] for row in settings if row["differs"]] == ["backbone"]


def test_what_has_not_changed_is_not_read_again_and_what_has_is(tmp_path: Path) -> None:
    run_dir = a_storage(tmp_path)
    watcher = Watcher(tmp_path)
    first = watcher.view("a")
    assert watcher.view("a") is first
    with (run_dir / "trials.jsonl").open("a") as file:
        file.write(json.dumps(a_line(0, 3, 0.9, after=9)) + "\n")
    assert watcher.view("a").summary.best == 0.9
    assert watcher.view("a") is watcher.view("a")
    assert watcher.summaries()[0].best == 0.9


def test_a_run_that_is_gone_or_half_written_is_one_message(tmp_path: Path) -> None:
    run_dir = a_storage(tmp_path)
    watcher = Watcher(tmp_path)
    (run_dir / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json"):
        watcher.view("a")
    with pytest.raises(UserError, match="none"):
        watcher.view("none")


def test_a_confusion_is_read_if_it_was_kept(tmp_path: Path) -> None:
    run_dir = a_storage(tmp_path)
    view = Watcher(tmp_path).view("a")
    assert view.confusion("00000") is None
    save_confusion(RunFolder(run_dir).confusion_csv("00000"), [[3, 1], [0, 2]], ["x", "y"])
    assert view.confusion("00000") == (("x", "y"), [[3, 1], [0, 2]])


def test_a_thousand_trials_are_read_in_a_moment_and_few_curves_are_drawn(tmp_path: Path) -> None:
    a_storage(tmp_path, trials=1000)
    began = time.perf_counter()
    view = Watcher(tmp_path).view("a")
    assert time.perf_counter() - began < 2.0
    assert len(view.curves()) <= CURVES_SHOWN
    assert view.curves()[0].trial_id == view.summary.best_trial


def test_trials_that_a_kill_ended_are_interrupted_also_while_the_run_is_trained_again(tmp_path: Path) -> None:
    run_dir = a_run_dir(tmp_path / "a", [a_line(0, 1, 0.5)], [an_event(0, "started")])

    def state() -> str:
        return Watcher(tmp_path).view("a").leaderboard()[0]["state"]

    assert state() == "interrupted"
    with hold(run_dir):
        assert state() == "running"
    (run_dir / "retrained").mkdir()
    with hold(run_dir / "retrained", "trained again"):
        assert state() == "interrupted"


def test_scores_of_before_there_were_other_metrics_are_drawn(tmp_path: Path) -> None:
    lines = [a_line(0, epoch, 0.1 * epoch, after=epoch) for epoch in (1, 2)]
    for line in lines:
        del line["val_score"], line["best_val_score"]
    a_run_dir(tmp_path / "a", lines, [an_event(0, "stopped", after=3)])
    curve, stop = curves_options(Watcher(tmp_path).view("a"))["series"]
    assert curve["data"] == [[1, 0.1], [2, 0.2]] and stop["data"] == [[2, 0.2]]


def test_the_best_score_is_that_of_the_weights_that_were_kept_wherever_it_is_shown(tmp_path: Path) -> None:
    highest, kept = a_line(0, 1, 0.62), {**a_line(0, 2, 0.61), "best_epoch": 2, "highest_epoch": 1}
    run_dir = a_run_dir(tmp_path / "a", [highest, a_line(1, 1, 0.615), kept], [an_event(0, "stopped", after=3)])
    view, best = Watcher(tmp_path).view("a"), best_trial(run_dir)
    rows = {row["trial"]: (row["best"], row["epoch"]) for row in view.leaderboard()}
    assert rows == {"00000": (0.61, "2/2"), "00001": (0.615, "1/1")}
    assert (view.summary.best, view.summary.best_trial) == (0.615, "00001")
    assert best is not None and (best.trial_id, best.report.val_score) == ("00001", 0.615)
