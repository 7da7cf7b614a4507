"""Notes what trials took of the machine, beside the other facts in the cache: the next search is sized by it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune import Callback

from trainables.classifier import split_params
from trainables.config import TaskConfig, TrialConfig
from trainables.networks.known_costs import TrialFacts, TrialSetting, remember_trial
from trainables.report import Epoch, outcome_of


class Remember(Callback):
    """Ray Tune's callback that keeps speed and peak memory by backbone, image size, batch, precision and compiling."""

    def __init__(self, task: TaskConfig, cache_dir: Path, *, one_machine: bool = True, sharers: int = 1) -> None:
        """Writes into the facts of this cache folder.

        Args:
            task: What the trials share.
            cache_dir: Folder of the cache.
            one_machine: Whether trials are on this machine; else each is remembered by the kind of its node.
            sharers: Trials at a time on one GPU.
        """
        self._sharers = sharers
        self._one_machine = one_machine
        self._task = task
        self._cache_dir = cache_dir
        self._took: dict[str, TrialFacts] = {}
        self._hardware: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles callbacks for a restore of its own, and a run is resumed from its logs."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Mapping[str, Any], **info: Any
    ) -> None:
        """Takes in an epoch of a trial that trains whole batches through one network."""
        config, trial_id = split_params(trial.config)
        epoch = outcome_of(result)
        if isinstance(epoch, Epoch) and epoch.hardware and not self._one_machine:
            self._hardware[trial_id] = epoch.hardware
        if (
            not isinstance(epoch, Epoch)
            or epoch.report.trained_share < 1  # a few batches, maybe the first
            or epoch.micro_batches > 1
            or config.get("formulation") == "separate"
            or epoch.report.epoch <= TrialConfig(**config).frozen_epochs(self._task.horizon)  # the classifier alone
        ):
            return
        report, resident = epoch.report, epoch.resident_bytes
        memory = None if resident is None else max(0, report.peak_memory_bytes - resident)
        before = self._took.get(trial_id)
        if memory is not None and before is not None:
            memory = max(memory, before.memory_bytes or 0)
        self._took[trial_id] = TrialFacts(report.images_per_second, memory)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Writes it down when the trial has ended."""
        config, trial_id = split_params(trial.config)
        took = self._took.pop(trial_id, None)
        if took is not None and took.images_per_second > 0:
            task = replace(self._task, **trial.config.get("task", {}))
            with suppress(OSError):  # what is not remembered is estimated
                hardware = self._hardware.pop(trial_id, "")
                setting = TrialSetting.of(config["backbone"], task, hardware, self._sharers)
                remember_trial(setting, self._cache_dir, took)
