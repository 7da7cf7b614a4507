"""The one train loop of the project: `fit` yields a report an epoch, whoever asks for them.

Letters: `B` batch, `C` classes, `N` pictures of a side, `P` stored side in pixels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from trainables.augmentation.augment import Augment
from trainables.config import TaskConfig
from trainables.data.batches import Side, TaskData
from trainables.data.whole_batches import num_batches
from trainables.machine.epoch_meter import Watch
from trainables.networks.decided import set_prior
from trainables.networks.formulation import build_criterion
from trainables.networks.freezing import choose_trained
from trainables.networks.known_costs import EVALUATION_SPEED
from trainables.networks.model import Normalizer, autocast, centre_crops, memory_format
from trainables.report import EpochReport
from trainables.scores import score_confusion
from trainables.training.compiling import CompileWatch
from trainables.training.loss import Loss
from trainables.training.metrics import NOT_VALIDATED, Evaluation, macro_f1, score
from trainables.training.optim import CLIP_GRAD_NORM, peak_lr
from trainables.training.pulse import Pulse
from trainables.training.state import TrainState, seed_everything

EVAL_BATCH_FACTOR = 2
"""Evaluation needs no gradients, so twice the training batch fits in the same memory."""
LEAST_SECONDS = 1e-6
"""That an epoch takes beside compiling, which is counted apart and may have been all of one that was cut short."""
SILENT = Pulse()
"""Tells nobody."""


def endless() -> float:
    """Seconds that are left where nothing ends."""
    return math.inf


def steps_per_epoch(task: TaskConfig, num_images: int) -> int:
    """Steps in an epoch of `num_images` pictures."""
    return num_batches(num_images, task.batch_size)


def fit(
    state: TrainState, data: TaskData, pulse: Pulse = SILENT, seconds_left: Callable[[], float] = endless
) -> Iterator[EpochReport]:
    """Trains from where `state` is to the task's last epoch and yields a report after each.

    Same seed, same state, same device and threads: same numbers, wherever it was interrupted. A network whose
    loss is no longer finite has diverged; the report of that epoch has macro-F1 NaN, and training ends. Between
    two reports `state` also holds what the network answered.

    Args:
        state: Where training is.
        data: The pictures.
        pulse: Told how far an epoch is.
        seconds_left: How much time there is, whenever it is asked: an epoch is cut short when no more is left than
            what the last one took from its last batch to the next, to be scored and reported; the first one, when no
            more is left than what scoring it will take by its own pace. By default none is.
    """
    augment = Augment(state.config, state.task.image_size, len(state.task.classes))
    normalize = Normalizer(state.model, state.device)
    counts = data.train.class_counts(len(state.task.classes))
    criterion = build_criterion(state.config, state.task, counts, state.device)
    set_prior((state.model, state.scored_model), counts)
    behind = NOTHING
    if data.val is not None:  # an epoch of the classifier alone is hardly slower than to evaluate
        behind = Behind(pictures=len(data.val) / (1.0 if trains_classifier_alone(state) else EVALUATION_SPEED))
    trained: float | None = None
    while state.epoch < state.task.num_epochs:
        epoch = state.epoch + 1
        seed_everything(state.task.seed, epoch)
        with Watch(state.device) as watch, CompileWatch(on=state.task.compile) as compiling:
            started = time.perf_counter()
            if data.val is not None and trained is not None:
                behind = Behind(seconds=started - trained)
            train = train_epoch(state, data.train, augment, normalize, criterion, pulse, seconds_left, behind)
            trained = time.perf_counter()
            train_seconds = trained - started
            pulse.stage("validating")
            val = NOT_VALIDATED if data.val is None else evaluate(state, data.val, normalize)
        diverged = not math.isfinite(train.loss) or (data.val is not None and not math.isfinite(val.loss))
        state.epoch = epoch
        state.note(val, diverged=diverged)
        yield EpochReport(
            epoch=epoch,
            train_loss=train.loss,
            train_macro_f1=train.macro_f1,
            val_loss=val.loss,
            val_macro_f1=math.nan if diverged else val.macro_f1,
            val_accuracy=val.accuracy,
            class_f1=val.class_f1,
            attribute_macro_f1=val.attribute_macro_f1,
            val_score=math.nan if diverged else val.score,
            best_val_macro_f1=state.best_val_macro_f1,
            best_val_score=state.best_val_score,
            best_epoch=state.best_epoch,
            highest_epoch=state.highest_epoch,
            lr=peak_lr(state.optimizer),
            images_per_second=train.num_images / max(train_seconds - compiling.seconds, LEAST_SECONDS),
            seconds=watch.seconds,
            peak_memory_bytes=watch.peak_memory_bytes,
            diverged=diverged,
            gpu_utilization=watch.gpu_utilization,
            trained_share=train.share,
            compile_seconds=compiling.seconds,
        )
        if diverged:
            return


@dataclass(frozen=True)
class Behind:
    """What comes behind the last batch of an epoch: it is scored and reported."""

    pictures: float = 0.0
    """As long as so many are trained on. A GPU may be behind what is asked of it, so that this is too short for it."""
    seconds: float = 0.0
    """And so long, where that is known of the epoch before."""


NOTHING = Behind()


@dataclass(frozen=True)
class TrainedEpoch:
    """What one pass over the training side came to."""

    loss: float
    """Mean a picture."""
    macro_f1: float
    """Of the answers given on the way."""
    num_images: int
    share: float
    """Of the batches, which is 1 unless it ended early."""


def train_epoch(
    state: TrainState,
    side: Side,
    augment: Augment,
    normalize: Normalizer,
    criterion: Loss,
    pulse: Pulse = SILENT,
    seconds_left: Callable[[], float] = endless,
    behind: Behind = NOTHING,
) -> TrainedEpoch:
    """One pass over the training side, or less of it when no more seconds are left than what is `behind` it takes.

    The device is waited for once, at the end; in float16 also at every step of an optimizer that is not fused. There a
    step is left out where the gradient is not finite.
    """
    to_training(state)
    layout = memory_format(state.config.backbone, state.device, state.task.precision)
    model = state.trained_model
    parameters = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
    loss_sum = torch.zeros((), device=state.device)
    warm, first, trained = math.nan, 0, 0
    answers, truths = [], []
    batches = side.batches(state.task.batch_size, shuffled=True, sampling=state.config.sampling)
    num, num_classes = num_batches(len(side), state.task.batch_size), len(state.task.classes)
    for number, (stored, labels) in enumerate(batches, start=1):
        pictures, targets = augment(stored, labels)
        state.optimizer.zero_grad(set_to_none=True)
        parts = zip(pictures.chunk(state.micro_batches), targets.chunk(state.micro_batches), strict=True)
        for part, part_targets in parts:
            with autocast(state.device, state.task.precision):
                logits = model(normalize(part).contiguous(memory_format=layout))
            loss = criterion(logits.float(), part_targets)
            state.scaler.scale(loss * (len(part) / len(pictures))).backward()
            loss_sum += loss.detach() * len(part)
            answers.append(logits.detach().argmax(1))
            truths.append(part_targets if part_targets.ndim == 1 else part_targets.argmax(1))
        state.scaler.unscale_(state.optimizer)
        torch.nn.utils.clip_grad_norm_(parameters, CLIP_GRAD_NORM)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.schedule.step()
        state.update_averages()
        pulse.batch(state.epoch + 1, number, num, loss_sum, answers, truths, num_classes)
        trained += len(pictures)
        if number == 1:  # which may have been compiled, or tried kernels, and says nothing of the pace
            warm, first = time.perf_counter(), trained
        pace = (time.perf_counter() - warm) / (trained - first) if number > 1 else 0.0
        if seconds_left() < behind.seconds + behind.pictures * pace:
            break
    truth = torch.cat(truths)
    f1 = macro_f1(torch.cat(answers), truth, num_classes)
    return TrainedEpoch(loss_sum.item() / trained, f1.item(), trained, number / num)


def to_training(state: TrainState) -> None:
    """Puts the network into training mode, but for what is frozen in the epoch that comes."""
    state.model.train()
    if state.frozen_stages or state.config.frozen_share > 0:
        choose_trained(state.model, state.frozen_stages, classifier_alone=trains_classifier_alone(state))


def trains_classifier_alone(state: TrainState) -> bool:
    """Whether the epoch that comes trains nothing but the classifier."""
    return state.epoch < state.config.frozen_epochs(state.task.horizon)


@torch.inference_mode()
def evaluate(state: TrainState, side: Side, normalize: Normalizer) -> Evaluation:
    """Scores the network, or its averaged weights where they are kept, on the centre crops of a whole side."""
    model = state.scored_model.eval()
    batch_size = max(1, state.task.batch_size * EVAL_BATCH_FACTOR // state.micro_batches)
    layout = memory_format(state.config.backbone, state.device, state.task.precision)
    logits = []
    for pictures in centre_crops(side, batch_size, state.task.image_size, normalize):
        with autocast(state.device, state.task.precision):
            logits.append(model(pictures.contiguous(memory_format=layout)).float())
    every = torch.cat(logits)
    scored = replace(score(every, side.labels, state.task.attributes), logits=every)
    metric = state.task.metric
    if metric == "macro_f1" or not math.isfinite(scored.loss):
        return scored
    return replace(scored, other_score=score_confusion(metric, scored.confusion))
