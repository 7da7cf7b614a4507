"""From a final training's checkpoint to a model on disk and its answers to a side of the split.

Letters: `N` pictures, `C` classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainables.checkpoints import BEST
from trainables.config import TaskConfig, TrialConfig
from trainables.data.batches import load_side
from trainables.networks.formulation import build_network
from trainables.saved.model_description import ModelDescription
from trainables.saved.predict import side_probabilities
from trainables.saved.saved_model import load_model, save_model


def save_trained(
    checkpoint: Path, config: TrialConfig, task: TaskConfig, folder: Path, record: Mapping[str, Any]
) -> ModelDescription:
    """Writes the weights of a training's `best.pt` as a saved model.

    Args:
        checkpoint: The training's folder.
        config: What it trained.
        task: Its task.
        folder: Where the model goes.
        record: What its description says of how it was made.
    """
    network = build_network(config, replace(task, weights={}), torch.device("cpu"))
    network.load_state_dict(torch.load(checkpoint / BEST, map_location="cpu", weights_only=True))
    return save_model(
        folder,
        network,
        backbone=config.backbone,
        classes=task.classes,
        attributes=task.attributes,
        image_size=task.image_size,
        formulation=config.formulation,
        record=record,
    )


def answer_side(folder: Path, task: TaskConfig, name: str) -> np.ndarray:
    """Probabilities `(N, C) float32` that a saved model gives the pictures of a side, in the order of the split."""
    model = load_model(folder, task.device)
    return side_probabilities(model, load_side(task, (name,), model.device), task.batch_size)
