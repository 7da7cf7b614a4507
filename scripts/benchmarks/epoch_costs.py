"""What an epoch costs, part by part: the bare arithmetic of the network, and what the train loop adds to it.

Part of `throughput.py`, which calls it in as many processes at once as a search has trials. The parts take
turns, so that what else happens on the machine falls on all of them alike.

Letters: `B` batch, `S` image size in pixels.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import cycle, islice
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from trainables.config import TaskConfig, TrialConfig
from trainables.machine.allocator import ENVIRONMENT

if TYPE_CHECKING:
    from trainables.data.batches import Side, TaskData

RESIDENT_BATCHES = 4
"""Different batches that the floor trains on in turn."""
OFF = {"flip": 0.0, "crop": 0.0}
AUGMENTATIONS: Mapping[str, Mapping[str, Any]] = {
    "no augmentation": OFF,
    "default": {},
    "all operations": {
        "brightness": 0.3,
        "contrast": 0.2,
        "sharpness": 1.0,
        "affine": 0.5,
        "blur": 1.0,
        "noise": 0.05,
        "erasing": 0.3,
    },
}
"""Name to the knobs that differ from a configuration's defaults, a flip and a crop of up to a fifth."""
FLOOR, FLOOR_VAL, VAL = "floor: training", "floor: validation", "validation"
COPIES = "batches, crops, copies"

Costs = dict[str, list[float]]
"""Part to its seconds an epoch, one for each repeat."""


def measure_epochs(
    task: TaskConfig, backbone: str, *, processes: int, repeats: int, seconds: float
) -> tuple[Costs, int]:
    """Measures the parts of an epoch in several processes at once.

    Args:
        task: Pictures, sides, sizes, threads.
        backbone: timm name.
        processes: How many do the same side by side.
        repeats: Measurements of each part.
        seconds: Least length of a measurement; short epochs are repeated.

    Returns:
        Seconds of each part, an epoch, each repeat the mean over the processes; and pictures trained an epoch.
    """
    os.environ.update(ENVIRONMENT)
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        jobs = [pool.submit(_measure, task, backbone, repeats, seconds) for _ in range(processes)]
        found = [job.result() for job in jobs]
    costs = {
        part: [sum(values) / processes for values in zip(*(one[0][part] for one in found), strict=True)]
        for part in found[0][0]
    }
    return costs, found[0][1]


def _measure(task: TaskConfig, backbone: str, repeats: int, seconds: float) -> tuple[Costs, int]:
    import torch

    from trainables.data.batches import load_data
    from trainables.machine.allocator import keep_freed_memory
    from trainables.networks.model import choose_device
    from trainables.training.loop import steps_per_epoch

    torch.set_num_threads(task.num_threads)
    keep_freed_memory()  # as trials do, and so for the floor as well
    torch.backends.cudnn.benchmark = True
    device = choose_device(task.device)
    data = load_data(task, device)
    assert data.val is not None
    steps = steps_per_epoch(task, len(data.train))
    parts = {FLOOR: floor_training(task, backbone, steps), FLOOR_VAL: floor_validation(task, backbone, len(data.val))}
    parts[COPIES] = lambda: batches_alone(task, data.train)
    for name, knobs in AUGMENTATIONS.items():
        parts[name], parts[VAL] = loop_parts(replace(TrialConfig(backbone=backbone), **knobs), task, data)
    processor = device.type == "cpu" and task.num_threads == 1

    def measured(part: Callable[[], None], times: int) -> float:
        started = time.process_time() if processor else time.perf_counter()
        for _ in range(times):
            part()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return ((time.process_time() if processor else time.perf_counter()) - started) / times

    alone = {name: measured(part, 1) for name, part in parts.items()}  # warms up, too
    times = max(1, round(seconds / alone[FLOOR]))
    costs: Costs = {name: [] for name in parts}
    for _ in range(repeats):
        for name, part in parts.items():
            costs[name].append(measured(part, times))
    return costs, steps * min(task.batch_size, len(data.train) // 2 * 2)


def floor_training(task: TaskConfig, backbone: str, steps: int) -> Callable[[], None]:
    """Forward, backward and update on tensors that are there already; nothing else."""
    import torch
    from torch.nn import functional

    from trainables.networks.model import autocast, memory_format
    from trainables.training.state import TrainState

    state = TrainState.start(TrialConfig(backbone=backbone), task, steps)
    layout = memory_format(backbone, state.device, task.precision)
    shape = (task.batch_size, 3, task.image_size, task.image_size)
    pictures = [
        torch.rand(shape, device=state.device).contiguous(memory_format=layout) for _ in range(RESIDENT_BATCHES)
    ]
    labels = torch.randint(len(task.classes), (task.batch_size,), device=state.device)

    def epoch() -> None:
        state.model.train()
        for batch in islice(cycle(pictures), steps):
            state.optimizer.zero_grad(set_to_none=True)
            with autocast(state.device, task.precision):
                logits = state.model(batch)
            functional.cross_entropy(logits.float(), labels).backward()
            state.optimizer.step()

    return epoch


def floor_validation(task: TaskConfig, backbone: str, num_images: int) -> Callable[[], None]:
    """Forward passes over as many pictures as there are to validate on, in batches of the training's size."""
    import torch

    from trainables.networks.model import autocast, memory_format
    from trainables.training.state import TrainState

    state = TrainState.start(TrialConfig(backbone=backbone), task, 1)
    shape = (task.batch_size, 3, task.image_size, task.image_size)
    pictures = torch.rand(shape, device=state.device)
    pictures = pictures.contiguous(memory_format=memory_format(backbone, state.device, task.precision))

    @torch.inference_mode()
    def epoch() -> None:
        state.model.eval()
        for start in range(0, num_images, task.batch_size):
            with autocast(state.device, task.precision):
                state.model(pictures[: num_images - start])

    return epoch


def batches_alone(task: TaskConfig, side: Side) -> None:
    """What brings unaugmented pictures to where the network takes them, without the network."""
    from trainables.networks.model import centre_crop

    for stored, _ in side.batches(task.batch_size, shuffled=True):
        centre_crop(stored, task.image_size).float().div_(255)


def loop_parts(config: TrialConfig, task: TaskConfig, data: TaskData) -> tuple[Callable[[], None], Callable[[], None]]:
    """The train loop's own epoch of training, and of validation, as `fit` calls them."""
    from trainables.augmentation.augment import Augment
    from trainables.networks.formulation import build_criterion
    from trainables.networks.model import Normalizer
    from trainables.training.loop import evaluate, steps_per_epoch, train_epoch
    from trainables.training.state import TrainState

    state = TrainState.start(config, replace(task, epochs=100_000), steps_per_epoch(task, len(data.train)))
    augment = Augment(config, task.image_size, len(task.classes))
    normalize = Normalizer(state.model, state.device)
    criterion = build_criterion(config, task, data.train.class_counts(len(task.classes)), state.device)

    def train() -> None:
        train_epoch(state, data.train, augment, normalize, criterion)

    def validate() -> None:
        assert data.val is not None
        evaluate(state, data.val, normalize)

    return train, validate
