"""Policies that draw an operation for each picture: TrivialAugment and RandAugment, on batches on their device.

Letters: `B` batch, `N` pictures that one operation is drawn for, `S` side in pixels. Pictures are `float32` from 0 to 1
before and after. Operations and their largest magnitudes are torchvision's `TrivialAugmentWide` and `RandAugment`;
a strength from 0 to 1 takes the place of its 31 steps, and shifts are shares of the side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from trainables.augmentation.geometry import identity, rotation, sample

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


class Policy:
    """Draws operations and strengths for each picture anew; what is drawn comes from torch's global generator."""

    def __init__(self, policy: str, magnitude: float) -> None:
        """Takes trivial, one operation of any strength, or rand, two operations of this magnitude (1 to 30)."""
        self._ranges, self._rounds = (WIDE, 1) if policy == "trivial" else (RAND, RAND_OPERATIONS)
        self._strength = None if policy == "trivial" else magnitude / STEPS

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Maps `(B, 3, S, S)` to the same shape and range."""
        pictures = pictures.clone(memory_format=torch.contiguous_format)
        for _ in range(self._rounds):
            chosen = torch.randint(len(OPERATIONS), (len(pictures),))
            strength = torch.full((len(pictures),), self._strength or 0.0)
            if self._strength is None:
                strength = torch.rand(len(pictures))
            signed = strength * (torch.randint(2, (len(pictures),)) * 2 - 1)
            self._apply(pictures, chosen, strength, signed)
        return pictures

    def _apply(
        self, pictures: torch.Tensor, chosen: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor
    ) -> None:
        """Applies to each picture the operation that was chosen for it; what was drawn is on the CPU."""
        drawn = torch.stack((strength, signed)).to(pictures.device, non_blocking=True)
        warped, maps = [], []
        for number, operation in enumerate(OPERATIONS):
            rows = (chosen == number).nonzero().flatten()  # on the CPU, so the device is not waited for
            if operation is None or len(rows) == 0:
                continue
            if isinstance(operation, Warp):
                warped.append(rows)
                maps.append(operation.maps(signed[rows], self._ranges))
                continue
            rows = rows.to(pictures.device, non_blocking=True)
            changed = operation(pictures[rows], drawn[0, rows], drawn[1, rows], self._ranges)
            pictures[rows] = changed.clamp_(0, 1)
        if warped:  # all in one pass
            rows = torch.cat(warped).to(pictures.device, non_blocking=True)
            pictures[rows] = sample(pictures[rows], torch.cat(maps), pictures.shape[3], outside="zeros")


def _column(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1, 1)


def _blend(pictures: torch.Tensor, other: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """`other` at a change of -1, the pictures at 0, and beyond them at more (Pillow's ImageEnhance)."""
    return other + (pictures - other) * (1 + _column(change))


def grey(pictures: torch.Tensor) -> torch.Tensor:
    """Grey pictures `(N, 1, S, S)`."""
    red, green, blue = pictures.unbind(1)
    shades = GREY[0] * red + GREY[1] * green + GREY[2] * blue  # by numbers: to copy a tensor waits for the device
    return shades.unsqueeze(1)


def mean_grey(pictures: torch.Tensor) -> torch.Tensor:
    """The mean brightness of each picture `(N, 1, 1, 1)`."""
    return grey(pictures.mean(dim=(2, 3), keepdim=True))


def sharpen(pictures: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """Moves pictures `(N, 3, S, S)` away from a smooth version of themselves by `change (N,)`; the border stays."""
    pictures = pictures.contiguous(memory_format=torch.channels_last)  # in which such convolutions are fast
    kernel = pictures.new_full((3, 3), 1 / 13)  # Pillow's SMOOTH
    kernel[1, 1] = 5 / 13
    smooth = pictures.clone()
    smooth[..., 1:-1, 1:-1] = functional.conv2d(pictures, kernel.expand(3, 1, 3, 3), groups=3)
    return _blend(pictures, smooth, change)


def _brightness(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    return _blend(x, torch.zeros_like(x), ranges.change * signed)


def _colour(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    return _blend(x, grey(x), ranges.change * signed)


def _contrast(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    return _blend(x, mean_grey(x), ranges.change * signed)


def _sharpness(x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
    return sharpen(x, ranges.change * signed)


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


@dataclass(frozen=True)
class Warp:
    """An operation that moves pixels by an affine map; black comes in from outside."""

    maps: Callable[[torch.Tensor, Ranges], torch.Tensor]
    """From strengths with a sign `(N,)` and the ranges to maps `(N, 2, 3)`, all on the CPU."""

    def __call__(self, x: torch.Tensor, strength: torch.Tensor, signed: torch.Tensor, ranges: Ranges) -> torch.Tensor:
        """Moves the pixels of `x (N, 3, S, S)`."""
        return sample(x, self.maps(signed.cpu(), ranges), x.shape[3], outside="zeros")


def _entry(row: int, column: int, values: torch.Tensor) -> torch.Tensor:
    """Maps that are the identity but for one entry."""
    maps = identity(len(values))
    maps[:, row, column] = values
    return maps


_rotate = Warp(lambda signed, ranges: rotation(signed * ranges.turn))
_shear_x = Warp(lambda signed, ranges: _entry(0, 1, signed * ranges.shear))
_shear_y = Warp(lambda signed, ranges: _entry(1, 0, signed * ranges.shear))
_shift_x = Warp(lambda signed, ranges: _entry(0, 2, signed * ranges.shift * 2))  # of a side that is 2 long
_shift_y = Warp(lambda signed, ranges: _entry(1, 2, signed * ranges.shift * 2))


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
