"""Small saved models that the tests share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch

from trainables.saved.saved_model import save_model

CLASSES = ("circle", "square", "stripes")


def save_network(
    folder: Path,
    *,
    backbone: str = "test_efficientnet",
    classes: Sequence[str] = CLASSES,
    attributes: Mapping[str, Sequence[str]] | None = None,
    image_size: int = 32,
    seed: int = 0,
    record: Mapping[str, Any] | None = None,
) -> Path:
    """Saves an untrained network whose answers differ from picture to picture; returns the folder."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = timm.create_model(backbone, num_classes=len(classes))
        for parameter in network.get_classifier().parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    save_model(
        folder,
        network,
        backbone=backbone,
        classes=classes,
        attributes=attributes or {},
        image_size=image_size,
        record=record or {},
    )
    return folder
