"""Tries a user's own parts before a search, in a process of its own: `python -m trainables.parts.check < what.json`.

Each is run for one real step on two pictures, from the source alone, as a worker does it.

Letters: `B` batch, `C` classes, `S` image size in pixels.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace

import numpy as np
import torch

from trainables.augmentation.augment import Augment
from trainables.config import TaskConfig, TrialConfig
from trainables.data.cache import stored_size
from trainables.errors import UserError
from trainables.networks.decided import set_prior
from trainables.networks.formulation import build_criterion
from trainables.networks.model import Normalizer, memory_format
from trainables.parts.loading import use_task_parts
from trainables.parts.registry import decision_of, in_use, is_own, is_own_network, knobs_for, part, told_apart, where
from trainables.scores import own_score
from trainables.training.state import TrainState

STAND_IN = "test_resnet"
"""timm's small network, in the place of one that is not the user's own."""
MISTAKE = 2


def main() -> int:
    """Tries what stands on stdin; a user's mistake is one line on stderr."""
    what = json.load(sys.stdin)
    try:
        check(
            [TrialConfig(**each) for each in what["configs"]], TaskConfig.from_json({**what["task"], "batch_size": 2})
        )
    except ValueError as error:  # a `UserError`, or a network that does not suit the pictures
        print(error, file=sys.stderr)
        return MISTAKE
    return 0


def check(configs: Sequence[TrialConfig], task: TaskConfig) -> None:
    """Runs a step of each configuration, and the metric on answers of every kind.

    Raises:
        UserError: A part does not do what it is for; names file, function and way out.
    """
    use_task_parts(task.parts)
    if is_own(task.metric):
        check_metric(task.metric, len(task.classes))
    for config in configs:
        if is_own(config.augmentation):
            refuse_other_device(config, task.image_size)
        step(config if is_own_network(config.backbone) else replace(config, backbone=STAND_IN, drop_path=0.0), task)


def step(config: TrialConfig, task: TaskConfig) -> None:
    """One step of training on two pictures, and their answers after it."""
    state = TrainState.start(config, replace(task, weights={}, compile=False), steps_per_epoch=1)
    counts = [1] * len(task.classes)
    set_prior((state.model, state.scored_model), counts)
    generator = torch.Generator().manual_seed(0)
    side = stored_size(task.image_size)
    stored = torch.randint(256, (2, 3, side, side), generator=generator, dtype=torch.uint8).to(state.device)
    labels = torch.tensor([0, 1], device=state.device)
    pictures, targets = Augment(config, task.image_size, len(task.classes))(stored, labels)
    normalize = Normalizer(state.model, state.device)
    criterion = build_criterion(config, task, counts, state.device)
    # As in training: a network's `view` may not suit it.
    layout = memory_format(config.backbone, state.device, task.precision)
    shown = normalize(pictures).contiguous(memory_format=layout)
    with told_apart("network", config.backbone) if is_own_network(config.backbone) else nullcontext():
        logits = state.model(shown).float()
    loss = criterion(logits, targets)
    if is_own(config.loss):
        _refuse_loss(config.loss, loss)
    loss.backward()
    state.optimizer.step()
    with torch.inference_mode():
        scores = state.scored_model.eval()(shown).float()
    rule = decision_of(in_use())
    if rule is not None and not torch.isfinite(scores).all():
        raise UserError(
            f"{where('decision', rule)} gives scores that are no numbers: it must give each class 0 or more"
        )


def _refuse_loss(name: str, loss: torch.Tensor) -> None:
    if not torch.isfinite(loss):
        raise UserError(
            f"{where('loss', name)} gives {loss.item()} on two pictures of a network that has learnt nothing: it must "
            "be a finite number. Look for the logarithm or the root of 0, and for a division by 0"
        )
    if not loss.requires_grad:
        raise UserError(
            f"{where('loss', name)} does not depend on the logits, so nothing can be learnt by it: leave out "
            ".detach(), .item() and torch.no_grad()"
        )


def refuse_other_device(config: TrialConfig, image_size: int) -> None:
    """Looks whether an augmentation would leave a GPU, with or without one: tensors that have a device and no content.

    What cannot be run on such tensors says nothing.

    Raises:
        UserError: It would.
    """
    from torch._subclasses import FakeTensorMode

    function = part("augmentation", config.augmentation)
    knobs = knobs_for(function, 1, asdict(config), "augmentation")
    try:
        with FakeTensorMode():
            changed = function(torch.empty(2, 3, image_size, image_size, device="cuda"), **knobs)
            left = isinstance(changed, torch.Tensor) and changed.device.type != "cuda"
    except Exception:
        return
    if left:
        raise UserError(
            f"{where('augmentation', config.augmentation)} takes pictures of a GPU to the {changed.device}: it must "
            "leave them on their device"
        )


def check_metric(metric: str, num_classes: int) -> None:
    """Asks a metric for all kinds of answers: all right, all wrong, and of pictures of a single class.

    Raises:
        UserError: It fails, or is no number from 0 to 1.
    """
    right, wrong = np.eye(num_classes), np.roll(np.eye(num_classes), 1, axis=1)
    alone = np.zeros_like(right)
    alone[0, 0] = 2
    missed = np.zeros_like(right)
    missed[0, 1] = 2
    for confusion in (2 * right, 2 * wrong, right + wrong, alone, missed, alone + missed):
        own_score(metric, confusion)


if __name__ == "__main__":
    sys.exit(main())
