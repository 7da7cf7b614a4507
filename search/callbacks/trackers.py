"""Weights & Biases and MLflow, told of every epoch by Ray Tune's own callbacks.

Both libraries are extras. Keys and passwords come from the environment or from the libraries' own login; nothing here
reads, keeps or prints them. What is told are the numbers of the epochs and the configuration, no path and no picture.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ray.tune import Callback

from search.callbacks.tensorboard import title_of
from search.track_flags import TrackFlags
from trainables.classifier import split_params
from trainables.report import EpochReport

WANDB_KEY = "WANDB_API_KEY"
TOLD = {field.name for field in fields(EpochReport)} | {"training_iteration"}
"""What trackers get of a result: not Ray's own notes, among which are names of machines."""


def build_trackers(flags: TrackFlags, run: str, run_dir: Path) -> list[Callback]:
    """The callbacks that were asked for; none by default.

    Args:
        flags: Project and address, which `refuse_absent_trackers` has checked.
        run: Name of the run: the group in Weights & Biases, the experiment in MLflow.
        run_dir: Its folder, which holds what Weights & Biases keeps on disk.
    """
    found: list[Callback] = []
    if flags.wandb is not None:
        found.append(_wandb(flags.wandb, run, run_dir))
    if flags.mlflow is not None:
        found.append(_mlflow(flags.mlflow, run))
    return found


def shown_name(trial: Any) -> str:
    """What trackers call a trial: `00007 lite0 lr 1.7e-3`."""
    config, trial_id = split_params(trial.config)
    return f"{trial_id} {title_of(config)}"


def told(result: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of an epoch, out of what Ray hands on."""
    return {name: value for name, value in result.items() if name in TOLD}


def _wandb(project: str, run: str, run_dir: Path) -> Callback:
    from ray.air.integrations.wandb import WandbLoggerCallback

    class Told(WandbLoggerCallback):
        """Ray's callback, given the numbers of the epochs alone."""

        def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
            super().log_trial_result(iteration, trial, told(result))

        def _start_logging_actor(self, *args: Any, **more: Any) -> None:
            """Lets the process that logs inherit the key: Ray writes what it is given by name into its own logs."""
            key = os.environ.pop(WANDB_KEY, None)
            try:
                super()._start_logging_actor(*args, **more)
            finally:
                if key is not None:
                    os.environ[WANDB_KEY] = key

    (run_dir / "wandb").mkdir(exist_ok=True)
    return Told(project=project, group=run, dir=str(run_dir))


def _mlflow(address: str, run: str) -> Callback:
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    class Told(MLflowLoggerCallback):
        """Ray's callback, given the numbers of the epochs alone."""

        def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
            super().log_trial_result(iteration, trial, told(result))

    if "://" not in address and address != "databricks":  # a folder, in which MLflow 3 keeps a database
        Path(address).mkdir(parents=True, exist_ok=True)
        address = f"sqlite:///{address}/mlflow.db"
    return Told(tracking_uri=address, experiment_name=run)
