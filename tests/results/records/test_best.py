"""Which trial of a run is the best, and how long the run took."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from results.records.best import best_trial
from results.records.record import BestTrial
from results.records.run_folder import load_run
from results.records.trials import load_trials
from tests.runs import a_line, a_run_dir, an_event, at


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


@pytest.mark.parametrize(("trials_open", "asked"), [(False, 8), (True, 2)])
def test_a_number_of_trials_that_was_asked_for_counts_though_the_time_was_used(
    trials_open: bool, asked: int, tmp_path: Path
) -> None:
    ends = [an_event(0, "finished", after=4), an_event(1, "interrupted", after=5, reason="time budget")]
    folder = a_run_dir(tmp_path, [a_line(0, 1, 0.5), a_line(1, 1, 0.4)], ends)
    replace(load_run(folder), trials_open=trials_open).save(folder / "run.json")
    best = best_trial(folder)
    assert best is not None and best.trials["asked"] == asked and best.trials["total"] == 2


def test_a_backbone_without_weights_is_said_to_start_at_random(tmp_path: Path) -> None:
    best = best_trial(a_run_dir(tmp_path, [a_line(2, 1, 0.5)]))
    assert best is not None
    assert best.weights == "random"


def test_the_first_of_equals_is_the_best(tmp_path: Path) -> None:
    lines = [a_line(1, 1, 0.5), a_line(0, 1, 0.4), a_line(0, 2, 0.5), {**a_line(0, 3, 0.5), "best_epoch": 2}]
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


def test_the_record_has_the_machine_of_its_trial_and_all_machines(tmp_path: Path) -> None:
    lines = [a_line(0, 1, 0.5), a_line(1, 1, 0.7), a_line(2, 1, 0.6)]
    places = [("w", "8 cores of X, no GPU"), ("v", "4 cores of Y, no GPU"), ("w", "8 cores of X, no GPU")]
    events = [
        an_event(number, "placed", after=1, node=node, hardware=hardware)
        for number, (node, hardware) in enumerate(places)
    ]
    best = best_trial(a_run_dir(tmp_path, lines, events))
    assert best is not None
    assert (best.trial_id, best.node, best.hardware) == ("00001", "v", "4 cores of Y, no GPU")
    assert best.nodes == {
        "v": {"hardware": "4 cores of Y, no GPU", "trials": 1},
        "w": {"hardware": "8 cores of X, no GPU", "trials": 2},
    }
    assert BestTrial.from_json(best.to_json()) == best
