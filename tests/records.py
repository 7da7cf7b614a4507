"""Records of a search for tests: one epoch, a run as it was started, its best trial."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from results.records.record import BestTrial, SearchRun
from trainables.config import TaskConfig, TrialConfig
from trainables.report import EpochReport


def a_report(epoch: int = 3, score: float = 0.8, **changes: Any) -> EpochReport:
    """An epoch of two classes, the best so far."""
    report = EpochReport(
        epoch=epoch,
        train_loss=0.5,
        train_macro_f1=0.6,
        val_loss=0.6,
        val_macro_f1=score,
        val_accuracy=0.9,
        class_f1=(0.7, 0.9),
        best_val_macro_f1=score,
        best_epoch=epoch,
        lr=1e-3,
        images_per_second=10.0,
        seconds=2.0,
        peak_memory_bytes=1,
    )
    return replace(report, **changes)


def a_task(**changes: Any) -> TaskConfig:
    """Two classes, with paths of one machine."""
    task = TaskConfig(cache_path="/c", split_path="/s", checkpoint_dir="/p", classes=("x", "y"))
    return replace(task, **changes)


def a_run(**changes: Any) -> SearchRun:
    """The run `a` of the space `toy`."""
    run = SearchRun(
        name="a",
        space="toy",
        started="2026-10-24T14:03:00+09:00",
        options={},
        task=a_task(),
        data={"source": "/home/me/pictures", "pictures": 840},
        split_hash="f00",
        weights={"net1": "package net1 1.0"},
        weights_note="",
        history="the starting points of the space",
        versions={},
        commit="abc",
        hardware="2 CPU cores",
        trials_asked=8,
        points=[],
    )
    return replace(run, **changes)


def a_record(score: float = 0.8, **changes: Any) -> BestTrial:
    """The best trial of that run, at its third epoch of four."""
    record = BestTrial(
        run="a",
        space="toy",
        date="2026-10-24T14:03:00+09:00",
        trial_id="00003",
        config=TrialConfig(backbone="resnet18"),
        report=a_report(score=score),
        epochs_trained=4,
        task=a_task(cache_path="", split_path="", checkpoint_dir=""),
        data={"pictures": 840},
        split_hash="f00",
        weights="random",
        weights_note="",
        history="the starting points of the space",
        trials={"asked": 8, "finished": 3, "stopped": 4, "failed": 1, "total": 8},
        wall_seconds=60.0,
        device_seconds=100.0,
        seed=0,
        versions={},
        commit=None,
        hardware="2 CPU cores",
    )
    return replace(record, **changes)
