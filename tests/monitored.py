"""Trials as Ray Tune hands them to a callback, as far as they are looked at."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from search.callbacks.monitor import Monitor
from tests.records import a_report
from trainables.config import TrialConfig
from trainables.report import METRIC

CONFIG = TrialConfig(backbone="test_resnet")


def a_trial(trial_id: str = "00000") -> Any:
    """A trial of Ray's."""
    return SimpleNamespace(
        trial_id=f"ray-{trial_id}", config={**asdict(CONFIG), "trial_id": trial_id}, get_error=lambda: None
    )


def a_result(epoch: int, score: float, best: float | None = None, **more: Any) -> dict[str, Any]:
    """An epoch of three classes; one without a score has diverged."""
    report = a_report(
        epoch,
        score,
        val_loss=math.nan if math.isnan(score) else 1.0,
        class_f1=(0.1, 0.2, 0.3),
        best_val_macro_f1=score if best is None else best,
        diverged=math.isnan(score),
    )
    return {**asdict(report), "training_iteration": epoch, **more}


def a_failure(reason: str = "RuntimeError: no") -> dict[str, Any]:
    """What a trial reports that was ended by an exception of its own."""
    return {METRIC: math.nan, "failure": reason, "traceback": "..."}


def run(monitor: Monitor, trial: Any, *results: dict[str, Any]) -> None:
    """Tells the monitor that a trial begins and what it reports."""
    monitor.on_trial_start(0, [], trial)
    for result in results:
        monitor.on_trial_result(0, [], trial, result)


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log."""
    return [json.loads(line) for line in path.read_text().splitlines()]
