"""The flags that say where else to tell of each epoch."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from search.flags import help_default
from trainables.errors import UserError

WANDB_PROJECT = re.compile(r"[A-Za-z0-9_.-]{1,128}")
"""What Weights & Biases takes as the name of a project."""

SERVER = re.compile(r"[\w.-]+:\d+(/.*)?")
"""An address without http:// before it."""


@dataclass(frozen=True, kw_only=True)
class TrackFlags:
    """Where else to tell of each epoch. Keys and passwords are taken from the environment and kept nowhere."""

    wandb: Annotated[str | None, help_default("nowhere")] = None
    """Project of Weights & Biases that gets every epoch of every trial; needs the extra wandb and a login
    (wandb login, or WANDB_API_KEY). With WANDB_MODE=offline it all stays in the run's folder."""
    mlflow: Annotated[str | None, help_default("nowhere")] = None
    """Address of an MLflow server, a sqlite:/// database or a folder that gets every epoch of every trial; needs the
    extra mlflow."""

    def __post_init__(self) -> None:
        if self.wandb is not None and not WANDB_PROJECT.fullmatch(self.wandb):
            raise UserError(f"--wandb {self.wandb!r}: give the name of a project: letters, digits, '.', '_' and '-'")
        if self.mlflow is not None:
            self._check_mlflow(self.mlflow)

    def absolute(self) -> TrackFlags:
        """The same settings wherever they are read: a folder as an absolute one."""
        if self.mlflow is None or "://" in self.mlflow or self.mlflow == "databricks":
            return self
        return replace(self, mlflow=str(Path(self.mlflow.removeprefix("file:")).expanduser().resolve()))

    @staticmethod
    def _check_mlflow(address: str) -> None:
        if not address.strip():
            raise UserError("--mlflow is empty: give the address of a server, or a folder")
        if SERVER.fullmatch(address) and not Path(address).exists():
            raise UserError(f"--mlflow {address} is no folder: for a server, give http://{address}")
        if "@" in address.partition("://")[2].partition("/")[0]:
            raise UserError(
                "--mlflow holds a name or a password, which would stand in the run's files: leave it out of the "
                "address, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
