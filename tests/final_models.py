"""A record of a re-training for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from results.records.retrained import RetrainedModel
from trainables.config import TaskConfig, TrialConfig


def a_final(**changes: Any) -> RetrainedModel:
    """Of the run `a` of the space `toy`, whose trial 00003 was picked."""
    final = RetrainedModel(
        run="a",
        space="toy",
        date="2026-10-24T16:03:00+09:00",
        trial_id="00003",
        config=TrialConfig(backbone="resnet18"),
        is_default=False,
        epochs=3,
        task=TaskConfig(
            cache_path="",
            split_path="",
            checkpoint_dir="",
            classes=("x", "y"),
            train_on=("train", "val"),
            validate_on=(),
            epochs=4,
            last_epoch=3,
        ),
        seeds=[1, 2, 3],
        folds=None,
        ranking=[{"trial_id": "00003", "backbone": "resnet18", "search": 0.8, "mean": 0.7, "std": 0.1, "epoch": 3}],
        val_macro_f1=0.7,
        out_of_fold=None,
        test={
            "macro_f1": {"value": 0.65, "low": 0.55, "high": 0.75},
            "accuracy": {"value": 0.8, "low": 0.7, "high": 0.9},
            "loss": {"value": 0.6, "low": 0.5, "high": 0.7},
            "pictures": 70,
            "groups": 10,
            "missing": [],
        },
        gap=0.05,
        default_test={"value": 0.6, "low": 0.5, "high": 0.7},
        difference={"value": 0.05, "low": 0.01, "high": 0.1},
        verdict="better than the default by .050 [.010, .100]",
        test_side="abc",
        times_scored=1,
        data={"pictures": 840},
        split_hash="f00",
        weights="random",
        weights_sha256="0" * 64,
        wall_seconds=60.0,
        device_seconds=100.0,
        versions={},
        commit=None,
        hardware="2 CPU cores",
    )
    return replace(final, **changes)
