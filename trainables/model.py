"""The network of a trial: a timm backbone with a classifier of its own, on its device.

Letters: `B` batch, `S` image size in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import timm
import torch
from torch import nn

from trainables.config import TaskConfig, TrialConfig
from trainables.data.batches import Side

SLOWER_CHANNELS_LAST_ON_CPU = ("resnet",)
"""Families measured slower with channels last on a CPU (resnet18: 59 -> 48 images/s on one thread at 64 px);
efficientnet, mobilenet and densenet gain 1.6 to 1.8 times, and every family gains on a GPU in bfloat16."""


def choose_device(name: str) -> torch.device:
    """The torch device for `TaskConfig.device`; auto takes CUDA where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def memory_format(backbone: str, device: torch.device) -> torch.memory_format:
    """The memory format in which this family is fastest on this device."""
    slower = device.type == "cpu" and backbone.startswith(SLOWER_CHANNELS_LAST_ON_CPU)
    return torch.contiguous_format if slower else torch.channels_last


def build_model(config: TrialConfig, task: TaskConfig, device: torch.device) -> nn.Module:
    """Builds the network with pretrained weights from `task.weights`, or at random where it names no file.

    The caller seeds torch's generators: they draw the new classifier, and all of it without weights.

    Raises:
        RuntimeError: timm does not know the backbone, or the weights do not fit it.
    """
    file = task.weights.get(config.backbone)
    model = timm.create_model(
        config.backbone,
        pretrained=file is not None,
        pretrained_cfg_overlay={"file": file} if file is not None else None,
        num_classes=len(task.classes),
        drop_rate=config.dropout,
    )
    return model.to(device).to(memory_format=memory_format(config.backbone, device))


def num_parameters(backbone: str) -> int:
    """Parameters of a backbone with a classifier of two classes; nothing is allocated for it."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in timm.create_model(backbone, num_classes=2).parameters())


class Normalizer:
    """Turns stored pictures into what the network was pretrained on."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        """Takes mean and standard deviation from timm's configuration of the model."""
        settings = getattr(model, "pretrained_cfg", None) or {}
        mean = torch.tensor(settings.get("mean", (0.5, 0.5, 0.5)), device=device).view(1, 3, 1, 1)
        std = torch.tensor(settings.get("std", (0.5, 0.5, 0.5)), device=device).view(1, 3, 1, 1)
        self._scale, self._shift = 1 / std, -mean / std

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Maps `(B, 3, H, W) float32` from 0 to 1 onto the network's scale."""
        return torch.addcmul(self._shift, pictures, self._scale)


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """bfloat16 where the task asks for it; auto means on CUDA (it is slower than float32 on most CPUs)."""
    enabled = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def centre_crops(side: Side, batch_size: int, image_size: int, normalize: Normalizer) -> Iterator[torch.Tensor]:
    """What a network sees of a side when it is not trained: `(B, 3, S, S) float32` batches, in the side's order."""
    for stored, _ in side.batches(batch_size):
        yield normalize(centre_crop(stored, image_size).float().div_(255))


def centre_crop(pictures: torch.Tensor, image_size: int) -> torch.Tensor:
    """The middle `(B, 3, image_size, image_size)` of stored pictures, a view."""
    top = (pictures.shape[-2] - image_size) // 2
    left = (pictures.shape[-1] - image_size) // 2
    return pictures[..., top : top + image_size, left : left + image_size]
