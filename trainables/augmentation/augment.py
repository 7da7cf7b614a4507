"""Augmentation of a batch on its device; CutMix and MixUp are timm's.

Letters: `B` batch, `N` pictures that an operation is due to, `P` stored side and `S` image size in pixels, `C` classes.
Each operation is drawn anew for each picture and, where that saves time, computed only for those that it is due to.
What is drawn for a picture is drawn on the CPU, so a GPU is not waited for.

The order: geometry (crop, flip and affine, in one pass over the pixels), light (brightness, contrast and sharpness, or
a policy in their place), the camera (blur, noise), what stands in front (erasing), the user's own, and mixing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import torch
from timm.data.mixup import Mixup

from trainables.augmentation.geometry import after, draw_boxes, identity, rotation, sample, view_of
from trainables.augmentation.policy import Policy, mean_grey, sharpen
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.networks.model import centre_crop
from trainables.parts.registry import is_own, knobs_for, part, told_apart, where

DUE = 0.5
"""Share of pictures that blur, noise, sharpness, contrast, brightness and affine are applied to: the usual even
chance, as in SimCLR's blur (Chen et al. 2020), so that the network also sees pictures as they are in validation."""
CROP_RATIO = (3 / 4, 4 / 3)
"""Width over height of a crop (Szegedy et al. 2015, torchvision's RandomResizedCrop)."""
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

Operation = Callable[[torch.Tensor], torch.Tensor]
"""Maps `(B, 3, S, S) float32` to the same, and may do so in place."""


class Augment:
    """The augmentation that a configuration asks for; with all knobs at 0 it is the evaluation's centre crop."""

    def __init__(self, config: TrialConfig, image_size: int, num_classes: int) -> None:
        """Takes only the operations that are on."""
        self._image_size = image_size
        self._flip, self._crop, self._affine = config.flip, config.crop, config.affine
        self._operations = _operations(config, image_size)
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
        augmented = self._shown(pictures).div_(255)
        for operation in self._operations:
            augmented = operation(augmented)
        if self._mix is not None:
            return self._mix(augmented, labels)
        return augmented, labels

    def _shown(self, stored: torch.Tensor) -> torch.Tensor:
        """What the network is shown of stored pictures, `(B, 3, S, S) float32` from 0 to 255: a new tensor."""
        num = len(stored)
        mirrored, moved = _draw(num, self._flip), _draw(num, DUE if self._affine > 0 else 0.0)
        if self._crop > 0:
            maps = after(view_of(draw_boxes(num, (1 - self._crop, 1.0), CROP_RATIO), mirrored), self._moves(moved))
            return sample(stored, maps, self._image_size, outside="reflection" if self._affine > 0 else "border")
        shown = centre_crop(stored, self._image_size).float()
        if len(rows := _rows(mirrored & ~moved, stored.device)):
            shown[rows] = shown[rows].flip(3)
        if len(rows := _rows(moved, stored.device)):
            left, side = (stored.shape[3] - self._image_size) // 2 / stored.shape[3], self._image_size / stored.shape[3]
            centre = torch.tensor([left, left, side, side]).repeat(len(rows), 1)
            maps = after(view_of(centre, mirrored[moved]), self._moves(moved[moved]))
            shown[rows] = sample(stored[rows], maps, self._image_size, outside="reflection")  # no black corners
        return shown

    def _moves(self, moved: torch.Tensor) -> torch.Tensor:
        """Maps `(N, 2, 3)` of the affine knob for pictures that are moved, `(N,) bool`, and identity for others."""
        num, strength = len(moved), self._affine
        turns, zooms, across, down = 2 * torch.rand(4, num) - 1
        maps = rotation(TURN_DEGREES * strength * turns)
        maps[:, :, :2] /= (1 + ZOOM * strength * zooms).view(-1, 1, 1)
        shifts = 2 * SHIFT * strength * torch.stack([across, down], dim=1)  # of a side that is 2 long
        maps[:, :, 2] = -(maps[:, :, :2] @ shifts[:, :, None]).squeeze(2)  # last, so that the middle goes just so far
        return torch.where(moved.view(-1, 1, 1), maps, identity(num))


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


def _operations(config: TrialConfig, image_size: int) -> list[Operation]:
    operations: list[Operation] = []
    if config.policy != "none":
        operations.append(Policy(config.policy, config.policy_magnitude))
    else:
        if config.brightness > 0:
            operations.append(partial(_change_brightness, most=config.brightness))
        if config.contrast > 0:
            operations.append(partial(_change_contrast, most=config.contrast))
        if config.sharpness > 0:
            operations.append(partial(_sharpen, most=config.sharpness))
    if config.blur > 0:
        operations.append(partial(_blur, most=config.blur * image_size / 224))
    if config.noise > 0:
        operations.append(partial(_add_noise, std=config.noise))
    if config.erasing > 0:
        operations.append(partial(_erase, share=config.erasing))
    if is_own(config.augmentation):
        operations.append(OwnAugmentation(config))
    return operations


class OwnAugmentation:
    """An augmentation of the user's own file; what it returns is looked at every time.

    Raises:
        UserError: It cannot be called with what there is; later, that it fails, or changes shape, type or device. Names
            file and function.
    """

    def __init__(self, config: TrialConfig) -> None:
        """Takes the function that the configuration names."""
        self._name = config.augmentation
        self._function = part("augmentation", config.augmentation)
        self._knobs = knobs_for(self._function, 1, asdict(config), "augmentation")

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Maps `(B, 3, S, S) float32` to the same."""
        with told_apart("augmentation", self._name):
            changed = self._function(pictures, **self._knobs)
        if not isinstance(changed, torch.Tensor):
            raise UserError(
                f"{where('augmentation', self._name)} returns {type(changed).__name__}: it must return the pictures"
            )
        for what, is_now, was in (
            ("shape", tuple(changed.shape), tuple(pictures.shape)),
            ("device", changed.device, pictures.device),
            ("type", changed.dtype, pictures.dtype),
        ):
            if is_now != was:
                raise UserError(
                    f"{where('augmentation', self._name)} returns pictures of the {what} {is_now}, it was given {was}: "
                    f"it must leave the {what} as it is"
                )
        return changed


def _draw(num: int, share: float) -> torch.Tensor:
    """Which pictures something is due to, `(num,) bool`; what never is draws nothing, so it changes no other draw."""
    return torch.rand(num) < share if share > 0 else torch.zeros(num, dtype=torch.bool)


def _rows(due: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Indices of the pictures that something is due to, on their device."""
    return due.nonzero().flatten().to(device, non_blocking=True)


def _draw_rows(pictures: torch.Tensor) -> torch.Tensor:
    return _rows(_draw(len(pictures), DUE), pictures.device)


def _draw_factors(pictures: torch.Tensor, most: float) -> torch.Tensor:
    """Factors `(B, 1, 1, 1)` from 1 - most to 1 + most, and 1 for pictures that are left as they are."""
    due = _draw(len(pictures), DUE)
    factors = torch.where(due, 1 + most * (2 * torch.rand(len(pictures)) - 1), 1.0)
    return factors.to(pictures.device, non_blocking=True).view(-1, 1, 1, 1)


def _change_brightness(pictures: torch.Tensor, most: float) -> torch.Tensor:
    """Moves pictures away from black or towards it (Pillow's ImageEnhance)."""
    return pictures.mul_(_draw_factors(pictures, most)).clamp_(0, 1)


def _change_contrast(pictures: torch.Tensor, most: float) -> torch.Tensor:
    """Moves pictures away from their mean grey or towards it (Pillow's ImageEnhance)."""
    factors = _draw_factors(pictures, most)
    constant = mean_grey(pictures) * (1 - factors)
    return pictures.mul_(factors).add_(constant).clamp_(0, 1)


def _sharpen(pictures: torch.Tensor, most: float) -> torch.Tensor:
    rows = _draw_rows(pictures)
    strength = (most * torch.rand(len(rows))).to(pictures.device, non_blocking=True)
    pictures[rows] = sharpen(pictures[rows], strength).clamp_(0, 1)
    return pictures


def _blur(pictures: torch.Tensor, most: float) -> torch.Tensor:
    """Gaussian blur with a sigma of up to `most` pixels, across and then down, each picture with its own kernel."""
    rows = _draw_rows(pictures)
    if len(rows) == 0:
        return pictures
    half = max(1, math.ceil(2 * most))  # two standard deviations a side hold 95% of the mass
    sigma = torch.empty(len(rows), 1).uniform_(min(0.1, most / 2), most)
    kernels = torch.softmax(-0.5 * (torch.arange(-half, half + 1) / sigma) ** 2, dim=1)
    bands = _bands(kernels, pictures.shape[3]).to(pictures.device, non_blocking=True).unsqueeze(1)
    pictures[rows] = bands @ pictures[rows] @ bands.mT
    return pictures


def _bands(kernels: torch.Tensor, side: int) -> torch.Tensor:
    """Matrices `(N, side, side)` that slide kernels `(N, 2 * half + 1)` over a line that is mirrored at its ends."""
    half = kernels.shape[1] // 2
    places = torch.arange(side).view(-1, 1) + torch.arange(-half, half + 1)
    places = (side - 1) - ((side - 1) - places.abs()).abs()  # mirrored around the first and the last pixel
    shape = (len(kernels), *places.shape)
    return torch.zeros(len(kernels), side, side).scatter_add_(
        2, places.expand(shape), kernels.unsqueeze(1).expand(shape)
    )


def _add_noise(pictures: torch.Tensor, std: float) -> torch.Tensor:
    rows = _draw_rows(pictures)
    noise = torch.randn(len(rows), *pictures.shape[2:], 3, device=pictures.device)
    pictures[rows] = pictures[rows].add_(noise.permute(0, 3, 1, 2), alpha=std)
    return pictures


def _erase(pictures: torch.Tensor, share: float) -> torch.Tensor:
    """Fills a rectangle of as large a share of the pictures with grey."""
    num, side = len(pictures), pictures.shape[3]
    boxes = (draw_boxes(num, ERASED_AREA, ERASED_RATIO) * side).round().int().tolist()
    for row in _draw(num, share).nonzero().flatten().tolist():
        left, top, width, height = boxes[row]
        pictures[row, :, top : top + height, left : left + width] = ERASED_VALUE
    return pictures
