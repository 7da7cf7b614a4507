"""Policies that draw an operation for each picture: TrivialAugment and RandAugment, on batches on their device.

Letters: `B` batch, `N` pictures that one operation is drawn for, `S` side in pixels. Pictures are `float32` from 0 to 1
before and after. Operations and their largest magnitudes are torchvision's `TrivialAugmentWide` and `RandAugment`;
a strength from 0 to 1 takes the place of its 31 steps, and shifts are shares of the side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

STEPS = 30
"""Magnitude that stands for full strength (Cubuk et al. 2020)."""
RAND_OPERATIONS = 2
"""Operations in a row of RandAugment, as in its paper for ImageNet and in torchvision."""
GREY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a grey picture (ITU-R 601-2, as in Pillow and torchvision)."""


@dataclass(frozen=True)
class Ranges:
    """Magnitudes at full strength."""

    shear: float
    """Tangent."""
    shift: float
    """Share of the side."""
    turn: float
    """Degrees."""
    change: float
    """Relative change of brightness, colour, contrast and sharpness."""
    bits: float
    """Bits of each channel's 8 that posterizing takes."""


WIDE = Ranges(shear=0.99, shift=32 / 224, turn=135.0, change=0.99, bits=6)
"""Of TrivialAugment (Mueller & Hutter 2021); shifts of 32 pixels at the usual 224."""
RAND = Ranges(shear=0.3, shift=150 / 331, turn=30.0, change=0.9, bits=4)
"""Of RandAugment (Cubuk et al. 2020)."""


class Policy(nn.Module):
    """Draws operations and strengths for each picture anew; what is drawn comes from torch's global generator."""

    def __init__(self, policy: str, magnitude: float) -> None:
        """Takes trivial, one operation of any strength, or rand, two operations of this magnitude (1 to 30)."""
        super().__init__()
        self._ranges, self._rounds = (WIDE, 1) if policy == "trivial" else (RAND, RAND_OPERATIONS)
        self._strength = None if policy == "trivial" else magnitude / STEPS

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Maps `(B, 3, S, S)` to the same shape and range."""
        for _ in range(self._rounds):
            chosen = torch.randint(len(OPERATIONS), (len(pictures),))
            strength = torch.full((len(pictures),), self._strength or 0.0)
            if self._strength is None:
                strength = torch.rand(len(pictures))
            signed = strength * (torch.randint(2, (len(pictures),)) * 2 - 1)
            drawn = torch.stack((strength, signed)).to(pictures.device, non_blocking=True)
            result = pictures.clone()
            for number, operation in enumerate(OPERATIONS):
                rows = (chosen == number).nonzero().flatten()  # drawn on the CPU, so the device is not waited for
                if operation is None or len(rows) == 0:
                    continue
                rows = rows.to(pictures.device, non_blocking=True)
                changed = operation(pictures[rows], drawn[0, rows], drawn[1, rows], self._ranges)
                result[rows] = changed.clamp(0, 1)
            pictures = result
        return pictures


def _column(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1, 1)


def _blend(pictures: torch.Tensor, other: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """`other` at a change of -1, the pictures at 0, and beyond them at more (Pillow's ImageEnhance)."""
    return other + (pictures - other) * (1 + _column(change))


def grey(pictures: torch.Tensor) -> torch.Tensor:
    """Grey pictures `(N, 1, S, S)`."""
    return (pictures * pictures.new_tensor(GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _brightness(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    return _blend(x, torch.zeros_like(x), ranges.change * signed)


def _colour(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    return _blend(x, grey(x), ranges.change * signed)


def _contrast(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    return _blend(x, grey(x).mean(dim=(2, 3), keepdim=True), ranges.change * signed)


def _sharpness(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    kernel = x.new_tensor([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13  # Pillow's SMOOTH
    smooth = x.clone()  # the border stays as it is
    smooth[..., 1:-1, 1:-1] = functional.conv2d(x, kernel.expand(3, 1, 3, 3), groups=3)
    return _blend(x, smooth, ranges.change * signed)


def _posterize(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    step = 2 ** _column((strength * ranges.bits).round())
    return (x * 255).div(step, rounding_mode="floor") * step / 255


def _solarize(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    return torch.where(x >= _column(1 - strength), 1 - x, x)


def _autocontrast(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp(min=1 / 255), x)


def _equalize(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    """Pillow's: every channel's histogram of 256 bins made level."""
    bins = (x * 255).round().clamp(0, 255).long().flatten(2)
    histogram = torch.zeros(*bins.shape[:2], 256, device=x.device).scatter_add_(2, bins, torch.ones_like(x).flatten(2))
    last = histogram.gather(2, bins.amax(dim=2, keepdim=True))
    step = ((histogram.sum(dim=2, keepdim=True) - last) / 255).floor()
    below = histogram.cumsum(dim=2) - histogram
    level = ((below + (step / 2).floor()) / step.clamp(min=1)).floor().clamp(max=255) / 255
    return torch.where(step.unsqueeze(3) > 0, level.gather(2, bins).view_as(x), x)


def _warp(x: torch.Tensor, entries: dict[tuple[int, int], torch.Tensor]) -> torch.Tensor:
    """Moves pixels by the affine map that has these entries beside 1 on the diagonal; black comes in from outside."""
    matrix = torch.eye(2, 3, device=x.device).repeat(len(x), 1, 1)
    for (row, column), values in entries.items():
        matrix[:, row, column] = values
    grid = functional.affine_grid(matrix, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _rotate(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    angle = signed * math.radians(ranges.turn)
    cos, sin = angle.cos(), angle.sin()
    return _warp(x, {(0, 0): cos, (0, 1): -sin, (1, 0): sin, (1, 1): cos})


def _shear_x(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    return _warp(x, {(0, 1): signed * ranges.shear})


def _shear_y(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    return _warp(x, {(1, 0): signed * ranges.shear})


def _shift_x(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    return _warp(x, {(0, 2): signed * ranges.shift * 2})  # the grid runs from -1 to 1


def _shift_y(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    return _warp(x, {(1, 2): signed * ranges.shift * 2})


Operation = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Ranges], torch.Tensor]
"""Maps pictures `(N, 3, S, S)`, strengths `(N,)` from 0 to 1, the same with a random sign, and the ranges."""

OPERATIONS: tuple[Operation | None, ...] = (
    None,  # as it is
    _shear_x,
    _shear_y,
    _shift_x,
    _shift_y,
    _rotate,
    _brightness,
    _colour,
    _contrast,
    _sharpness,
    _posterize,
    _solarize,
    _autocontrast,
    _equalize,
)
"""All are drawn as often."""
