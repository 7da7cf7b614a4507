"""Weights & Biases and MLflow, told of every epoch by Ray Tune's own callbacks.

Both libraries are extras. Keys and passwords come from the environment or from the libraries' own login; nothing here
reads, keeps or prints them. What is told are the numbers of the epochs and the configuration, no path and no picture.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

from ray.tune import Callback

from search.callbacks.tensorboard import title_of
from search.track_flags import TrackFlags
from trainables.classifier import split_params
from trainables.reason import reason_of
from trainables.report import EpochReport

WANDB_KEY = "WANDB_API_KEY"
TOLD = {field.name for field in fields(EpochReport)} | {"training_iteration"}
"""What trackers get of a result: not Ray's own notes, among which are names of machines."""


HOOKS = ("setup", *(name for name in vars(Callback) if name.startswith("on_")))
"""What Ray calls of a callback."""


def build_trackers(flags: TrackFlags, run: str, run_dir: Path, tell: Callable[[str], None]) -> list[Callback]:
    """The callbacks that were asked for; none by default.

    Args:
        flags: Project and address, which `refuse_absent_trackers` has checked.
        run: Name of the run: the group in Weights & Biases, the experiment in MLflow.
        run_dir: Its folder, which holds what Weights & Biases keeps on disk.
        tell: Warns of a tracker that is told no more.
    """
    found: list[Callback] = []
    if flags.wandb is not None:
        found.append(_wandb(flags.wandb, run, run_dir, tell))
    if flags.mlflow is not None:
        found.append(_mlflow(flags.mlflow, run, tell))
    return found


class OptionalTracker:
    """Put before a tracker's class: once something has failed in it, that is said, and it is told no more."""

    _flag = ""
    _tell: Callable[[str], None]
    _is_off = False

    def told_by(self, flag: str, tell: Callable[[str], None]) -> Self:
        """The same, which says it by its flag."""
        self._flag, self._tell = flag, tell
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray keeps callbacks with its own notes, out of which no run goes on."""
        return {}


def _guarded(name: str) -> Callable[..., Any]:
    def hook(self: Any, *args: Any, **more: Any) -> Any:
        if self._is_off:
            return None
        try:
            return getattr(super(OptionalTracker, self), name)(*args, **more)
        except Exception as error:  # of a library, a network, a server
            self._is_off = True
            self._tell(f"--{self._flag} is told no more of this search, which goes on: {reason_of(error)}")
        return None

    return hook


for _name in HOOKS:
    setattr(OptionalTracker, _name, _guarded(_name))


def shown_name(trial: Any) -> str:
    """What trackers call a trial: `00007 lite0 lr 1.7e-3`."""
    config, trial_id = split_params(trial.config)
    return f"{trial_id} {title_of(config)}"


def told(result: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of an epoch, out of what Ray hands on."""
    return {name: value for name, value in result.items() if name in TOLD}


def _wandb(project: str, run: str, run_dir: Path, tell: Callable[[str], None]) -> Callback:
    from ray.air.integrations.wandb import WandbLoggerCallback

    class Told(OptionalTracker, WandbLoggerCallback):
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
    return Told(project=project, group=run, dir=str(run_dir)).told_by("wandb", tell)


def _mlflow(address: str, run: str, tell: Callable[[str], None]) -> Callback:
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    class Told(OptionalTracker, MLflowLoggerCallback):
        """Ray's callback, given the numbers of the epochs alone."""

        def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
            super().log_trial_result(iteration, trial, told(result))

    if "://" not in address and address != "databricks":  # a folder, in which MLflow 3 keeps a database
        Path(address).mkdir(parents=True, exist_ok=True)
        address = f"sqlite:///{address}/mlflow.db"
    return Told(tracking_uri=address, experiment_name=run).told_by("mlflow", tell)
