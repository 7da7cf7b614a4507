"""From a final training's checkpoint to a model on disk and its answers to a side of the split.

Letters: `N` pictures, `C` classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from trainables.checkpoints import BEST
from trainables.config import TaskConfig, TrialConfig
from trainables.data.batches import load_side
from trainables.networks.formulation import build_network
from trainables.networks.model import size_options
from trainables.saved.model_description import Member, ModelDescription, Rule
from trainables.saved.predict import side_probabilities
from trainables.saved.save_found import FoundMember
from trainables.saved.saved_model import colours, load_model, save_model, save_together
from trainables.second_view import NONE


def save_trained(
    checkpoint: Path,
    config: TrialConfig,
    task: TaskConfig,
    folder: Path,
    record: Mapping[str, Any],
    *,
    second_view: str = NONE,
) -> ModelDescription:
    """Writes the weights of a training's `best.pt` as a saved model.

    Args:
        checkpoint: The training's folder.
        config: What it trained.
        task: Its task.
        folder: Where the model goes.
        record: What its description says of how it was made.
        second_view: What it answers to beside the middle of a picture.
    """
    return save_model(
        folder,
        _network(checkpoint, config, task),
        backbone=config.backbone,
        classes=task.classes,
        attributes=task.attributes,
        image_size=task.image_size,
        formulation=config.formulation,
        record=record,
        second_view=second_view,
        metric=task.metric,
        precision=task.precision,
    )


def save_trained_together(
    members: Sequence[FoundMember],
    rule: Mapping[str, Any] | None,
    task: TaskConfig,
    folder: Path,
    record: Mapping[str, Any],
    *,
    second_view: str = NONE,
) -> ModelDescription:
    """Writes the weights of several trainings' `best.pt` as one saved model.

    Args:
        members: The trainings.
        rule: Fields of the decision rule; None for none.
        task: Their task.
        folder: Where the model goes.
        record: What its description says of how it was made.
        second_view: What they answer to beside the middle of a picture.
    """
    networks = [_network(member.checkpoint, member.config, task) for member in members]
    described = []
    for member, network in zip(members, networks, strict=True):
        mean, std = colours(network)
        described.append(
            Member(
                backbone=member.config.backbone,
                formulation=member.config.formulation,
                options=size_options(member.config.backbone, task.image_size),
                mean=mean,
                std=std,
                share=member.share,
                trial_id=member.trial_id,
            )
        )
    return save_together(
        folder,
        networks,
        described,
        None if rule is None else Rule(tau=rule["tau"], prior=tuple(rule["prior"])),
        classes=task.classes,
        attributes=task.attributes,
        image_size=task.image_size,
        record=record,
        metric=task.metric,
        precision=task.precision,
        second_view=second_view,
    )


def _network(checkpoint: Path, config: TrialConfig, task: TaskConfig) -> nn.Module:
    """With the weights of a training's best epoch, on the CPU."""
    network = build_network(config, replace(task, weights={}), torch.device("cpu"))
    network.load_state_dict(torch.load(checkpoint / BEST, map_location="cpu", weights_only=True))
    return network


def answer_side(folder: Path, task: TaskConfig, name: str) -> np.ndarray:
    """Probabilities `(N, C) float32` that a saved model gives the pictures of a side, in the order of the split.

    What it took of a GPU is given back: trainings may follow.
    """
    try:
        return _answer_side(folder, task, name)
    finally:
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _answer_side(folder: Path, task: TaskConfig, name: str) -> np.ndarray:
    model = load_model(folder, task.device)
    return side_probabilities(model, load_side(task, (name,), model.device), task.batch_size)
