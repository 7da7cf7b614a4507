"""Augmentation of a batch on its device: kornia for the pictures, timm's Mixup for CutMix.

Letters: `B` batch, `P` stored side and `S` image size in pixels, `C` classes. Each kornia operation is drawn
anew for each picture and computed for those pictures only that it is due to.
"""

from __future__ import annotations

import math

import kornia.augmentation as kornia
import torch
from timm.data.mixup import Mixup
from torch import nn

from trainables.config import TrialConfig
from trainables.model import centre_crop

DUE = 0.5
"""Share of pictures that blur, noise, sharpness and contrast are applied to: the usual even chance, as in
SimCLR's blur (Chen et al. 2020), so that the network also sees pictures as they are in validation."""


class Augment:
    """The augmentation that a configuration asks for; with all knobs at 0 it is the evaluation's centre crop."""

    def __init__(self, config: TrialConfig, image_size: int, num_classes: int) -> None:
        """Builds only the operations that are on."""
        self._image_size = image_size
        self._crops = config.crop > 0
        self._pipeline = nn.Sequential(*_operations(config, image_size))
        self._mix = (
            Mixup(mixup_alpha=0, cutmix_alpha=1, prob=config.cutmix, label_smoothing=0, num_classes=num_classes)
            if config.cutmix > 0
            else None
        )

    def __call__(self, pictures: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Augments one batch; random draws come from torch's and NumPy's global generators.

        Args:
            pictures: `(B, 3, P, P) uint8`.
            labels: `(B,) int64`.

        Returns:
            Pictures `(B, 3, S, S) float32` from 0 to 1 (noise goes beyond) and
            labels: `(B,) int64`, or `(B, C) float32` with the
            share of each class where CutMix is on.
        """
        if not self._crops:
            pictures = centre_crop(pictures, self._image_size)
        augmented = self._pipeline(pictures.float().div_(255))
        if self._mix is not None:
            return self._mix(augmented, labels)
        return augmented, labels


def _operations(config: TrialConfig, image_size: int) -> list[nn.Module]:
    operations: list[nn.Module] = []
    if config.crop > 0:
        operations.append(
            kornia.RandomResizedCrop(
                (image_size, image_size), scale=(1 - config.crop, 1.0), ratio=(3 / 4, 4 / 3), cropping_mode="resample"
            )
        )
    if config.flip > 0:
        operations.append(kornia.RandomHorizontalFlip(p=config.flip))
    if config.contrast > 0:
        operations.append(kornia.RandomContrast((1 - config.contrast, 1 + config.contrast), p=DUE))
    if config.sharpness > 0:
        operations.append(kornia.RandomSharpness((1.0, 1 + config.sharpness), p=DUE))
    if config.blur > 0:
        sigma = config.blur * image_size / 224
        kernel = 2 * max(1, math.ceil(2 * sigma)) + 1  # two standard deviations a side hold 95% of the mass
        operations.append(kornia.RandomGaussianBlur((kernel, kernel), (min(0.1, sigma / 2), sigma), p=DUE))
    if config.noise > 0:
        operations.append(kornia.RandomGaussianNoise(std=config.noise, p=DUE))
    return operations
