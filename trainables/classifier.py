"""The trainable that Ray Tune runs: restore, fit, report. With `trainables.supply.line` the only file that knows Ray.

What a trial needs is imported when it runs: the driver, which only hands this function on, does without.
"""

from __future__ import annotations

import atexit
import gc
import math
import os
import socket
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from trainables.checkpoints import PULSE
from trainables.config import TaskConfig, TrialConfig
from trainables.errors import NodeFaultError
from trainables.machine.allocator import give_back_memory, keep_freed_memory
from trainables.machine.hardware import hardware_in_words
from trainables.reason import reason_of, typed_reason
from trainables.report import METRIC
from trainables.sizes import size_in_words
from trainables.supply.files import TrialFiles
from trainables.supply.line import SupplyLine

if TYPE_CHECKING:
    import torch

MICRO_BATCHES = 4
"""Parts of a batch with which a trial that ran out of memory is tried once more; the gradients stay those of the
whole batch, and batch normalization then sees a quarter of it at a time."""
INFEASIBLE = "infeasible"
"""How the failure of a configuration begins that has no room in memory."""
LEAST_TAKEN_BYTES = 2**30
"""GPU memory that others must have taken since a trial began, for its running out to be their doing."""
WAKES_SECONDS = 0.2
"""In which a trial that waits in `tune.report` has heard that it ends."""
WRITING_SECONDS = 60.0
"""That the weights of its best epoch may take to be written, or sent to the driver. (At the end of all trials Ray ends
processes after about ten.)"""
_WRITING = threading.Lock()
"""Held while a trial of this process writes what it leaves."""


def train_trial(
    params: Mapping[str, Any],
    task: TaskConfig,
    gpu_share: float = 1.0,
    ends_at: float = math.inf,
    line: SupplyLine | None = None,
    *,
    cuts: bool = False,
    free_before: int | None = None,
) -> None:
    """Trains one trial and reports each epoch to Ray Tune.

    A trial that was interrupted goes on from its own last checkpoint; one that was stopped leaves the weights
    of its best epoch. An exception of the trial's own is its result, not Ray's affair: the last report then
    holds `failure`, the reason, and `traceback`. What is the machine's fault is raised, so that the trial goes on
    elsewhere. Nothing stays behind for the next trial in the process.

    Args:
        params: The fields of `TrialConfig`; `trial_id`, the name of the trial in its search; and, where a
            training differs from the others in more than that, `task`, fields of the task that it has of its own.
        task: What all trials of the study share.
        gpu_share: Share of a GPU that the trial has, 0 to 1; it cannot take more of its memory than that. With 0, GPUs
            that there are stay untouched.
        ends_at: When the time budget ends, by `time.time`. A trial that is not ready to train by then reports
            `not_begun` alone: to start a worker may take longer than many an epoch.
        line: The way to the driver's disk, for a node that does not see it.
        cuts: Whether an epoch is cut short where the time budget ends in it.
        free_before: Bytes of a GPU's memory that were free when the search began, by which its backbones were chosen;
            None where that is not known, then what is free when the trial begins takes its place.

    Raises:
        NodeFaultError: Files that every trial reads are not here, the disk is lost or full, a library is missing, or
            CUDA does not start, or others have taken the GPU's memory meanwhile.
    """
    import torch

    from trainables.machine.epoch_meter import bytes_missing
    from trainables.parts.loading import use_task_parts

    task = replace(task, **params.get("task", {}))
    if time.time() >= ends_at:
        tune.report({METRIC: math.nan, "not_begun": True})
        return
    _free_memory()  # of the trial before: Ray ended its thread by SystemExit
    torch.set_num_threads(task.num_threads)
    if task.device == "cpu":
        keep_freed_memory()
    torch.backends.cudnn.benchmark = True
    missing = bytes_missing(gpu_share, free_before)
    for micro_batches in (1, min(MICRO_BATCHES, task.batch_size // 2)):
        try:
            use_task_parts(task.parts)
            _train(params, task, micro_batches, gpu_share, line, ends_at if cuts else math.inf)
            failure = None
        except torch.OutOfMemoryError as error:
            failure = f"{INFEASIBLE}: out of memory even in {micro_batches} parts a batch: {reason_of(error)}"
            trace, again = traceback.format_exc(), micro_batches == 1
        except (OSError, ImportError, NodeFaultError) as error:  # which no configuration can bring about
            node_id, name = _this_node()
            reason = error.reason if isinstance(error, NodeFaultError) else typed_reason(error)
            raise NodeFaultError(reason, node_id, name) from error
        except Exception as error:
            failure, trace, again = typed_reason(error), traceback.format_exc(), False
        # Only here, where no exception holds the frames of the failed attempt any more, is its memory free.
        try:
            _free_memory()
        except RuntimeError:  # a GPU that this process has lost, which is what the attempt failed of
            again = False
            if failure is None:
                raise
        if failure is None:
            return
        if not again:
            break
    taken = bytes_missing(gpu_share) - missing
    if failure is not None and failure.startswith(INFEASIBLE) and taken > LEAST_TAKEN_BYTES:
        raise NodeFaultError(f"others have taken {size_in_words(taken)} of the GPU's memory", *_this_node())
    tune.report({METRIC: math.nan, "failure": failure, "traceback": trace})


def _train(
    params: Mapping[str, Any],
    task: TaskConfig,
    micro_batches: int,
    gpu_share: float,
    line: SupplyLine | None,
    ends_at: float,
) -> None:
    values, trial_id = split_params(params)
    config = TrialConfig(**values)
    files = TrialFiles(task) if line is None else line.open(task, trial_id, config.backbone)
    try:
        _train_with(files, config, trial_id, micro_batches, gpu_share, ends_at)
    finally:
        files.close()


def _train_with(
    files: TrialFiles, config: TrialConfig, trial_id: str, micro_batches: int, gpu_share: float, ends_at: float
) -> None:
    from trainables.data.batches import load_data
    from trainables.machine.epoch_meter import EnergyMeter, allocated_bytes, limit_gpu_memory
    from trainables.networks.model import choose_device
    from trainables.training.answers import AnswerKeeper
    from trainables.training.loop import fit, steps_per_epoch
    from trainables.training.pulse import Pulse
    from trainables.training.state import Checkpointer, TrainState, save_predictions

    task = files.task
    pulse = Pulse(Path(task.checkpoint_dir) / trial_id / PULSE, files.glimpsed)
    pulse.stage("loading pictures, weights")
    device = choose_device(task.device)
    _start(device)
    limit_gpu_memory(gpu_share)
    data = load_data(task, device)
    resident_bytes = allocated_bytes(device)
    steps = steps_per_epoch(task, len(data.train))
    state = TrainState.start(config, task, steps, micro_batches)
    checkpointer = Checkpointer(Path(task.checkpoint_dir) / trial_id, files.changed)
    checkpointer.restore(state, steps)
    kept = Path(task.answers_dir) / f"{trial_id}.npz"
    answers = AnswerKeeper(kept, state.epoch, files.changed) if task.answers_dir else None
    meter = EnergyMeter(device, min(1.0, gpu_share))
    where: Mapping[str, str] = {"node": _this_node()[1], "hardware": hardware_in_words()}
    may_be_last = False
    try:
        for report in fit(state, data, pulse, lambda: ends_at - time.time()):
            report = replace(report, energy_joules=meter.take())
            checkpointer.note_best(state)
            if answers is not None:
                answers.note(state)
            if task.predictions_dir:
                files.changed(save_predictions(state, Path(task.predictions_dir) / trial_id))
            # What is validated on nothing is done when the time ends, and goes on from nothing.
            may_be_last = bool(task.validate_on) and (
                report.trained_share < 1 or ends_at - time.time() < report.seconds
            )
            tune.report(
                {
                    **asdict(report),
                    "training_iteration": report.epoch,
                    "micro_batches": state.micro_batches,
                    "resident_bytes": resident_bytes,
                    "confusion": state.evaluation.confusion if state.best_epoch == report.epoch else (),
                    **where,
                }
            )
            may_be_last, where = False, {}  # which is said once
            checkpointer.after_epoch(state)  # the driver has noted the epoch: a resumed trial repeats, never skips
    finally:  # Ray ends a stopped trial by SystemExit in `tune.report`
        with _WRITING:
            # A trial that the time ends goes on from its very end: an epoch cut short would have other numbers.
            checkpointer.close(state if may_be_last else None)
            pulse.close()


def wait_until_written() -> None:
    """Waits, in a process that ends, for what its trial writes at its own end, which Ray does not wait for."""
    time.sleep(WAKES_SECONDS)
    if _WRITING.acquire(timeout=WRITING_SECONDS):
        _WRITING.release()


def split_params(params: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The configuration and the trial_id in what a trial is given."""
    return {name: value for name, value in params.items() if name not in ("trial_id", "task")}, params["trial_id"]


def _start(device: torch.device) -> None:
    """Makes the first tensor there.

    Raises:
        NodeFaultError: CUDA does not start, whatever the trial.
    """
    import torch

    try:
        torch.zeros(1, device=device)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        which = f"{device} of CUDA_VISIBLE_DEVICES={seen}" if device.type == "cuda" and seen else str(device)
        raise NodeFaultError(f"{which} does not start: {typed_reason(error)}") from error


@cache
def _this_node() -> tuple[str, str]:
    """The node that this process is on: Ray's name of it, and its host name and address."""
    host = socket.gethostname()
    if not ray.is_initialized():  # a trial by itself
        return "", host
    return ray.get_runtime_context().get_node_id(), f"{host} ({ray.util.get_node_ip_address()})"


@cache
def _leave_imports_alone() -> None:
    """Keeps what the process has imported out of every later search for garbage, which takes .2 s with it."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries look for what was not collected when the process ends


def _free_memory() -> None:
    import torch

    _leave_imports_alone()
    gc.collect()
    give_back_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
