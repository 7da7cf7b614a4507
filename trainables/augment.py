"""Augmentation of a batch on its device: kornia for the pictures, timm's Mixup for CutMix and MixUp.

Letters: `B` batch, `P` stored side and `S` image size in pixels, `C` classes. Each kornia operation is drawn
anew for each picture and computed for those pictures only that it is due to.

The order: geometry (crop, flip, affine), light (brightness, contrast and sharpness, or a policy in their place), the
camera (blur, noise), what stands in front (erasing), and mixing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import kornia.augmentation as kornia
import torch
from timm.data.mixup import Mixup
from torch import nn

from trainables.config import TrialConfig
from trainables.model import centre_crop
from trainables.policy import Policy, grey

DUE = 0.5
"""Share of pictures that blur, noise, sharpness, contrast, brightness and affine are applied to: the usual even
chance, as in SimCLR's blur (Chen et al. 2020), so that the network also sees pictures as they are in validation."""
TURN_DEGREES, SHIFT, ZOOM = 30.0, 0.2, 0.2
"""Largest rotation, shift (share of the side) and relative zoom of affine at strength 1: RandAugment's rotation
(Cubuk et al. 2020), and a shift and zoom that leave the middle of a portrait in the picture."""
ERASED_AREA, ERASED_RATIO = (0.02, 1 / 3), (0.3, 10 / 3)
"""Share of the area and ratio of the sides of an erased rectangle (Zhong et al. 2020, in timm's and torchvision's
ranges)."""
ERASED_VALUE = 0.5
"""Mid-grey, near the mean of pictures: it says nothing, as timm's default of 0 after normalization."""
CUTMIX_ALPHA, MIXUP_ALPHA = 1.0, 0.2
"""Of the Beta distribution that shares are drawn from (Yun et al. 2019; Zhang et al. 2018 for ImageNet)."""


class Augment:
    """The augmentation that a configuration asks for; with all knobs at 0 it is the evaluation's centre crop."""

    def __init__(self, config: TrialConfig, image_size: int, num_classes: int) -> None:
        """Builds only the operations that are on."""
        self._image_size = image_size
        self._crops = config.crop > 0
        self._pipeline = nn.Sequential(*_operations(config, image_size))
        self._mix = _mixing(config, num_classes)

    def __call__(self, pictures: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Augments one batch; random draws come from torch's and NumPy's global generators.

        Args:
            pictures: `(B, 3, P, P) uint8`.
            labels: `(B,) int64`.

        Returns:
            Pictures `(B, 3, S, S) float32` from 0 to 1 (noise goes beyond) and
            labels: `(B,) int64`, or `(B, C) float32` with the
            share of each class where CutMix or MixUp is on.
        """
        if not self._crops:
            pictures = centre_crop(pictures, self._image_size)
        augmented = self._pipeline(pictures.float().div_(255))
        if self._mix is not None:
            return self._mix(augmented, labels)
        return augmented, labels


def _mixing(config: TrialConfig, num_classes: int) -> Mixup | None:
    either = max(config.cutmix, config.mixup)
    if either == 0:
        return None
    return Mixup(
        mixup_alpha=MIXUP_ALPHA if config.mixup > 0 else 0,
        cutmix_alpha=CUTMIX_ALPHA if config.cutmix > 0 else 0,
        prob=either,
        switch_prob=config.cutmix / (config.cutmix + config.mixup),
        label_smoothing=0,
        num_classes=num_classes,
    )


class Blend(nn.Module):
    """Moves pictures away from another version of themselves, or towards it, by 1 - change to 1 + change.

    Away from black is brightness, away from the mean grey is contrast (Pillow's ImageEnhance). Kornia's operations of
    these names add and multiply.
    """

    def __init__(self, change: float, other: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self._change, self._other = change, other

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Maps `(B, 3, S, S) float32` from 0 to 1 to the same."""
        due = torch.rand(len(pictures)) < DUE
        factors = torch.where(due, 1 + self._change * (2 * torch.rand(len(pictures)) - 1), 1.0)
        factors = factors.to(pictures.device, non_blocking=True).view(-1, 1, 1, 1)
        other = self._other(pictures)
        return torch.where(factors == 1, pictures, (other + (pictures - other) * factors).clamp(0, 1))


def black(pictures: torch.Tensor) -> torch.Tensor:
    """What is darkest `()`."""
    return torch.zeros((), device=pictures.device)


def mean_grey(pictures: torch.Tensor) -> torch.Tensor:
    """The mean brightness of each picture `(B, 1, 1, 1)`."""
    return grey(pictures).mean(dim=(2, 3), keepdim=True)


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
    if config.affine > 0:
        operations.append(
            kornia.RandomAffine(
                degrees=TURN_DEGREES * config.affine,
                translate=(SHIFT * config.affine, SHIFT * config.affine),
                scale=(1 - ZOOM * config.affine, 1 + ZOOM * config.affine),
                padding_mode="reflection",  # validation has no black corners
                p=DUE,
            )
        )
    operations += _light(config) if config.policy == "none" else [Policy(config.policy, config.policy_magnitude)]
    if config.blur > 0:
        sigma = config.blur * image_size / 224
        kernel = 2 * max(1, math.ceil(2 * sigma)) + 1  # two standard deviations a side hold 95% of the mass
        operations.append(kornia.RandomGaussianBlur((kernel, kernel), (min(0.1, sigma / 2), sigma), p=DUE))
    if config.noise > 0:
        operations.append(kornia.RandomGaussianNoise(std=config.noise, p=DUE))
    if config.erasing > 0:
        operations.append(
            kornia.RandomErasing(scale=ERASED_AREA, ratio=ERASED_RATIO, value=ERASED_VALUE, p=config.erasing)
        )
    return operations


def _light(config: TrialConfig) -> list[nn.Module]:
    operations: list[nn.Module] = []
    if config.brightness > 0:
        operations.append(Blend(config.brightness, black))
    if config.contrast > 0:
        operations.append(Blend(config.contrast, mean_grey))
    if config.sharpness > 0:
        operations.append(kornia.RandomSharpness((1.0, 1 + config.sharpness), p=DUE))
    return operations
