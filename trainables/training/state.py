"""Everything a trial is between two epochs, and how it gets to disk and back."""

from __future__ import annotations

import errno
import math
import random
import shutil
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from trainables.atomic import TORN, replacing
from trainables.checkpoints import BEST, LAST, START
from trainables.config import TaskConfig, TrialConfig
from trainables.errors import UserError
from trainables.machine.hardware import precision_on
from trainables.networks.formulation import build_network
from trainables.networks.freezing import choose_trained
from trainables.networks.model import choose_device
from trainables.networks.small_maps import suit_small_maps
from trainables.report import as_good
from trainables.supply.files import Told, nobody
from trainables.training.compiling import compiled
from trainables.training.metrics import NOT_VALIDATED, Evaluation
from trainables.training.optim import build_optimizer, build_schedule

AVERAGED_SHARE = 1 / 3
"""Of the steps so far: over about the latest third of them the averaged weights are taken, or over the steps that the
configuration says if these are fewer. A decay that grows so is Shamir & Zhang's of 2013 (docs/recipe.md)."""
ANEW_OVER = 150
"""Steps over which they are taken at first where a training goes on with other pictures, which soon count for most."""
FIRST_SCALE = 1024.0
"""Of the loss in float16. torch's own of 65,536 overflows at first, and these steps are lost: of a trial there may be
few hundred."""
CHECKPOINT_SHARE = 0.02
"""Largest share of a trial's time that checkpoints may cost."""


def seed_everything(seed: int, epoch: int) -> None:
    """Seeds every generator an epoch draws from.

    Each epoch starts from (seed, epoch), so a trial gives the same numbers wherever it was interrupted and
    whatever ran before it in its process: seed and epoch in the checkpoint are the state of all generators.
    """
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)


@dataclass
class TrainState:
    """A network in training. `epoch` epochs are done; the next step is the first of epoch `epoch + 1`."""

    config: TrialConfig
    task: TaskConfig
    device: torch.device
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LambdaLR
    scaler: torch.amp.GradScaler
    """Keeps gradients within what float16 can hold; does nothing in another precision."""
    micro_batches: int = 1
    """Parts in which a batch goes through the network; their gradients add up to those of the whole batch."""
    epoch: int = 0
    best_val_macro_f1: float = math.nan
    best_val_score: float = math.nan
    best_epoch: int = 0
    highest_val_score: float = math.nan
    highest_epoch: int = 0
    evaluation: Evaluation = NOT_VALIDATED
    """Of the epoch just done."""
    ema: ModelEmaV3 | None = None
    """The averaged weights, where the configuration asks for them."""
    averaged_from: int = 0
    """Step from which the averages count them: 0, or later where a training goes on with other pictures."""
    compiled: Any = None
    """The network as torch.compile has it, with the parameters of `model`, where the task asks for that."""

    @classmethod
    def start(cls, config: TrialConfig, task: TaskConfig, steps_per_epoch: int, micro_batches: int = 1) -> TrainState:
        """A fresh state on the task's device, before the first epoch."""
        device = choose_device(task.device)
        seed_everything(task.seed, 0)
        model = build_network(config, task, device)
        suit_small_maps(model)
        if frozen_stages := config.stages_frozen(task):
            choose_trained(model, frozen_stages)
        in_float16 = precision_on(device.type, task.precision) == "float16"
        optimizer = build_optimizer(config, model, in_float16=in_float16)
        schedule = build_schedule(config, task, optimizer, steps_per_epoch)
        if in_float16:  # the first step may be left out, and the schedule goes on
            warnings.filterwarnings("ignore", r"Detected call of `lr_scheduler\.step\(\)` before", UserWarning)
        scaler = torch.amp.GradScaler(device.type, init_scale=FIRST_SCALE, enabled=in_float16)
        state = cls(config, task, device, model, optimizer, schedule, scaler, micro_batches)
        if task.compile and micro_batches == 1:
            state.compiled = compiled(model, task.num_threads)
        if config.ema > 0:
            # The decay is 1 - 1 / (1 + step / 3) until that reaches config.ema: else a short training would be scored
            # by the weights it began with. Statistics of batch normalization are averaged as well: those of the last
            # weights do not fit the average (docs/recipe.md).
            state.ema = ModelEmaV3(
                model, decay=config.ema, use_warmup=True, warmup_gamma=1 / AVERAGED_SHARE, warmup_power=1.0
            )
        return state

    @property
    def frozen_stages(self) -> int:
        """First stages of the network that stay as they are."""
        return self.config.stages_frozen(self.task)

    @property
    def trained_model(self) -> Any:
        """What a training step runs: the network, or what it was compiled to."""
        return self.model if self.compiled is None else self.compiled

    @property
    def scored_model(self) -> nn.Module:
        """The network that is scored and kept: with the averaged weights, or as it is trained."""
        return self.model if self.ema is None else self.ema.module

    def note(self, evaluation: Evaluation, *, diverged: bool) -> None:
        """Takes what the epoch just done came to; the latest that is as good as the highest score is the best.

        Scores of few pictures are high by luck, while the network still learns. Where nothing is validated on, the
        length was settled before: the last epoch is then the best.
        """
        self.evaluation = evaluation
        if diverged:
            return
        if not self.task.validate_on:
            self.best_epoch = self.epoch
            return
        if not evaluation.score <= self.highest_val_score:
            self.highest_val_score, self.highest_epoch = evaluation.score, self.epoch
        if as_good(evaluation.score, self.highest_val_score, evaluation.pictures):
            self.best_val_score, self.best_val_macro_f1 = evaluation.score, evaluation.macro_f1
            self.best_epoch = self.epoch

    def save(self, path: Path) -> None:
        """Writes the state atomically."""
        save_atomically(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "scaler": self.scaler.state_dict(),
                "seed": self.task.seed,
                "micro_batches": self.micro_batches,
                "epoch": self.epoch,
                "best_val_macro_f1": self.best_val_macro_f1,
                "best_val_score": self.best_val_score,
                "best_epoch": self.best_epoch,
                "highest_val_score": self.highest_val_score,
                "highest_epoch": self.highest_epoch,
                "averaged_from": self.averaged_from,
                **({} if self.ema is None else {"ema": self.ema.module.state_dict()}),
            },
            path,
        )

    def load(self, path: Path) -> None:
        """Goes on from a saved state of the same configuration and task.

        Raises:
            UserError: The file is no checkpoint of this trial.
        """
        try:
            saved = torch.load(path, map_location=self.device, weights_only=True)
            self.model.load_state_dict(saved["model"])
            if self.ema is not None:
                self.ema.module.load_state_dict(saved["ema"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.schedule.load_state_dict(saved["schedule"])
            if saved.get("scaler"):  # empty unless that was in float16, as this may be now
                self.scaler.load_state_dict(saved["scaler"])
            self.epoch, self.best_epoch = saved["epoch"], saved["best_epoch"]
            self.averaged_from = saved.get("averaged_from", 0)
            self._average_anew()
            self.best_val_macro_f1 = saved["best_val_macro_f1"]
            self.best_val_score = saved.get("best_val_score", self.best_val_macro_f1)
            self.highest_val_score = saved.get("highest_val_score", self.best_val_score)  # in earlier versions the best
            self.highest_epoch = saved.get("highest_epoch", self.best_epoch)
            self.micro_batches = max(self.micro_batches, saved["micro_batches"])
            if self.micro_batches > 1:
                self.compiled = None
        except (OSError, torch.OutOfMemoryError):  # of the machine, not of the file
            raise
        except Exception as error:  # torch raises a dozen types for a file that is not what it should be
            raise UserError(f"{path} is no checkpoint of this trial ({error}): delete it to start again") from error

    def begin_with(self, path: Path, steps_per_epoch: int) -> None:
        """Goes on from the weights of an earlier training alone, as if its epochs lay behind it.

        The rate is that of the epoch that comes; the optimizer has no memory yet, and the averages a short one.

        Raises:
            UserError: The file holds no weights of this network.
        """
        try:
            weights = torch.load(path, map_location=self.device, weights_only=True)
            for network in (self.model, *(() if self.ema is None else (self.ema.module,))):
                network.load_state_dict(weights)
        except (OSError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # as in `load`
            raise UserError(f"{path} holds no weights of this trial's network: {error}") from error
        self.epoch = self.task.start_epoch
        self.schedule.last_epoch = steps = self.epoch * steps_per_epoch
        parts = zip(self.optimizer.param_groups, self.schedule.base_lrs, self.schedule.lr_lambdas, strict=True)
        for group, rate, factor in parts:
            group["lr"] = rate * factor(steps)
        self._average_anew()

    def update_averages(self) -> None:
        """Takes the weights after a step into the averaged ones."""
        if self.ema is not None:
            self.ema.update(self.model, step=self.schedule.last_epoch - self.averaged_from)  # which counts steps

    def _average_anew(self) -> None:
        """Shortens the averages where a training goes on with other pictures: `ANEW_OVER` says to what."""
        if self.task.start_epoch and self.epoch == self.task.start_epoch:
            self.averaged_from = max(0, self.schedule.last_epoch - round(ANEW_OVER / AVERAGED_SHARE))


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """torch.save to a temporary name in the same folder, then a rename: never half a file under `path`."""
    try:
        with replacing(path) as temporary:
            torch.save(content, temporary)
    except RuntimeError as error:  # torch's writer hides why it could not write
        if shutil.disk_usage(path.parent).free < 2**20:
            raise OSError(errno.ENOSPC, "No space left on device", str(path)) from error
        raise


def save_predictions(state: TrainState, folder: Path) -> Path:
    """Writes the probabilities of the epoch just done, `<epoch>.npy` `(N, C) float32` in the order of the side."""
    assert state.evaluation.logits is not None
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / f"{state.epoch}.npy") as temporary, temporary.open("wb") as file:
        np.save(file, state.evaluation.logits.softmax(1).cpu().numpy())
    return folder / f"{state.epoch}.npy"


class Checkpointer:
    """Keeps a trial's `last.pt` and `best.pt`, within a fiftieth of the trial's time.

    Where saving is slow against an epoch, some epochs are not saved: a trial that is killed then repeats them
    and gets the same numbers. The best weights wait in memory meanwhile and are written with the next save or
    by `close`.
    """

    def __init__(self, folder: Path, changed: Told = nobody) -> None:
        """Makes the folder.

        Args:
            folder: Of the trial.
            changed: Told of each file that was written; what that takes is part of what saving takes.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for torn in folder.glob(TORN):  # of a process that was killed while it wrote
            torn.unlink(missing_ok=True)
        self._folder = folder
        self._changed = changed
        self._best_weights: dict[str, torch.Tensor] | None = None
        self._saved_at = time.monotonic()
        self._cost_seconds = 0.0

    def restore(self, state: TrainState, steps_per_epoch: int) -> None:
        """Loads `last.pt` into a fresh state if there is one, else the weights of `start.pt`."""
        last, start = self._folder / LAST, self._folder / START
        if last.exists():
            state.load(last)
        elif start.exists():
            state.begin_with(start, steps_per_epoch)
        elif state.task.start_epoch:
            raise UserError(f"{start} is gone, the weights that this training was to go on from")

    def note_best(self, state: TrainState) -> None:
        """Writes the weights if the epoch just done is the best so far, or keeps a copy until that is due."""
        if state.best_epoch == state.epoch:
            weights = state.scored_model.state_dict()
            self._best_weights = {name: value.clone() for name, value in weights.items()}
            # What goes on from elsewhere may end at any epoch, and its last is what it is for.
            if self._is_due() or state.epoch == state.task.num_epochs or state.task.start_epoch:
                self.close()

    def after_epoch(self, state: TrainState) -> None:
        """Saves what is due; after the last epoch there is nothing to go on from."""
        if state.epoch < state.task.num_epochs and self._is_due():
            started = time.monotonic()
            self.close()
            self._save(state)
            self._saved_at = time.monotonic()
            self._cost_seconds = self._saved_at - started

    def _save(self, state: TrainState) -> None:
        state.save(self._folder / LAST)
        self._changed(self._folder / LAST)

    def _is_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self._cost_seconds / CHECKPOINT_SHARE

    def close(self, state: TrainState | None = None) -> None:
        """Writes the best weights that have not been written yet and, if a state is given, that to go on from."""
        if not self._folder.exists():  # a driver has no use for a bad trial's weights
            return
        if self._best_weights is not None:
            save_atomically(self._best_weights, self._folder / BEST)
            self._changed(self._folder / BEST)
            self._best_weights = None
        if state is not None:
            self._save(state)
