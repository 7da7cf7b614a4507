"""The one train loop of the project: `fit` yields a report an epoch, whoever asks for them.

Letters: `B` batch, `C` classes, `N` pictures of a side, `P` stored side in pixels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from torch.nn import functional

from trainables.augment import Augment
from trainables.config import TaskConfig
from trainables.data.batches import Side, TaskData
from trainables.hardware import Watch
from trainables.metrics import Evaluation, score
from trainables.model import Normalizer, centre_crop, memory_format
from trainables.optim import CLIP_GRAD_NORM
from trainables.report import EpochReport
from trainables.state import TrainState, seed_everything

EVAL_BATCH_FACTOR = 2
"""Evaluation needs no gradients, so twice the training batch fits in the same memory."""


def steps_per_epoch(task: TaskConfig, num_images: int) -> int:
    """Full batches in an epoch of `num_images` pictures; one where there are fewer pictures than a batch."""
    return max(1, num_images // task.batch_size)


def fit(state: TrainState, data: TaskData) -> Iterator[EpochReport]:
    """Trains from where `state` is to the task's last epoch and yields a report after each.

    Same seed, same state, same device and threads: same numbers, wherever it was interrupted. A network whose
    loss is no longer finite has diverged; the report of that epoch has macro-F1 NaN, and training ends.
    """
    augment = Augment(state.config, state.task.image_size, len(state.task.classes))
    normalize = Normalizer(state.model, state.device)
    while state.epoch < state.task.epochs:
        epoch = state.epoch + 1
        seed_everything(state.task.seed, epoch)
        with Watch(state.device) as watch:
            started = time.perf_counter()
            train_loss, num_images = train_epoch(state, data.train, augment, normalize)
            train_seconds = time.perf_counter() - started
            val = evaluate(state, data.val, normalize)
        diverged = not (math.isfinite(train_loss) and math.isfinite(val.loss))
        macro_f1 = math.nan if diverged else val.macro_f1
        state.epoch = epoch
        state.note_score(macro_f1)
        yield EpochReport(
            epoch=epoch,
            train_loss=train_loss,
            val_loss=val.loss,
            val_macro_f1=macro_f1,
            val_accuracy=val.accuracy,
            class_f1=val.class_f1,
            best_val_macro_f1=state.best_val_macro_f1,
            best_epoch=state.best_epoch,
            lr=state.optimizer.param_groups[0]["lr"],
            images_per_second=num_images / train_seconds,
            seconds=watch.seconds,
            peak_memory_bytes=watch.peak_memory_bytes,
            gpu_utilization=watch.gpu_utilization,
        )
        if diverged:
            return


def train_epoch(state: TrainState, side: Side, augment: Augment, normalize: Normalizer) -> tuple[float, int]:
    """One pass over the training side; the device is waited for once, at the end.

    Returns:
        The mean loss a picture, and the number of pictures trained on.
    """
    state.model.train()
    layout = memory_format(state.config.backbone, state.device)
    parameters = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
    loss_sum = torch.zeros((), device=state.device)
    num_images = 0
    for stored, labels in side.batches(state.task.batch_size, shuffled=True):
        pictures, targets = augment(stored, labels)
        state.optimizer.zero_grad(set_to_none=True)
        parts = zip(pictures.chunk(state.micro_batches), targets.chunk(state.micro_batches), strict=True)
        for part, part_targets in parts:
            with autocast(state):
                logits = state.model(normalize(part).contiguous(memory_format=layout))
            loss = functional.cross_entropy(logits.float(), part_targets, label_smoothing=state.config.label_smoothing)
            (loss * (len(part) / len(pictures))).backward()
            loss_sum += loss.detach() * len(part)
        torch.nn.utils.clip_grad_norm_(parameters, CLIP_GRAD_NORM)
        state.optimizer.step()
        state.schedule.step()
        num_images += len(labels)
    return loss_sum.item() / num_images, num_images


@torch.inference_mode()
def evaluate(state: TrainState, side: Side, normalize: Normalizer) -> Evaluation:
    """Scores the network on the centre crops of a whole side."""
    return score(predict_logits(state, side, normalize), side.labels)


@torch.inference_mode()
def predict_logits(state: TrainState, side: Side, normalize: Normalizer) -> torch.Tensor:
    """The network's logits `(N, C) float32` for the centre crops of a side, in its order, on the device."""
    state.model.eval()
    layout = memory_format(state.config.backbone, state.device)
    logits = []
    for stored, _ in side.batches(max(1, state.task.batch_size * EVAL_BATCH_FACTOR // state.micro_batches)):
        pictures = centre_crop(stored, state.task.image_size).float().div_(255)
        with autocast(state):
            logits.append(state.model(normalize(pictures).contiguous(memory_format=layout)).float())
    return torch.cat(logits)


def autocast(state: TrainState) -> torch.autocast:
    """bfloat16 where the task asks for it; auto means on CUDA (it is slower than float32 on most CPUs)."""
    precision = state.task.precision
    enabled = precision == "bfloat16" or (precision == "auto" and state.device.type == "cuda")
    return torch.autocast(state.device.type, dtype=torch.bfloat16, enabled=enabled)
