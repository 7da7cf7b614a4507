"""Search spaces: functions from an Optuna trial to a `TrialConfig`, one file a space, named like `--space`."""

from __future__ import annotations

from collections.abc import Callable

import optuna

from trainables.config import TrialConfig

SearchSpace = Callable[[optuna.Trial], TrialConfig]
