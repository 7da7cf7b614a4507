"""Crops, flips and affine maps of pictures, on their device: a matrix a picture, one pass over the pixels.

Letters: `N` pictures, `P` side they come with and `S` side they leave with, in pixels. A map `(N, 2, 3)` leads from
where a pixel of the result is to where it comes from, both from -1 to 1 over the side (torch's `affine_grid`).
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

TRIES = 10
"""Rectangles that are drawn before one that does not fit is given up (torchvision's and timm's number)."""


def sample(pictures: torch.Tensor, maps: torch.Tensor, side: int, *, outside: str) -> torch.Tensor:
    """Pictures `(N, 3, P, P)`, of any type, as their maps move them: `(N, 3, S, S) float32`, bilinear.

    Args:
        pictures: On their device.
        maps: `(N, 2, 3) float32` on the CPU, where they were drawn.
        side: S.
        outside: What comes in from outside a picture: zeros, border or reflection.
    """
    maps = maps.to(pictures.device, non_blocking=True).transpose(1, 2)[:, :, None, None]  # (N, 3, 1, 1, 2)
    centres = (2 * torch.arange(side, device=pictures.device) + 1) / side - 1
    across, down = centres.view(1, 1, side, 1), centres.view(1, side, 1, 1)
    grid = maps[:, 0] * across + (maps[:, 1] * down + maps[:, 2])  # (N, S, S, 2) in one pass
    if outside == "border" and pictures.device.type == "mps":  # which has no such mode before torch 2.13
        grid, outside = to_border(grid, pictures.shape[3]), "zeros"
    return functional.grid_sample(pictures.float(), grid, mode="bilinear", padding_mode=outside, align_corners=False)


def to_border(grid: torch.Tensor, side: int) -> torch.Tensor:
    """Where `grid_sample` looks `(N, S, S, 2)`, what lies outside a side of so many pixels moved to its last ones."""
    return grid.clamp(1 / side - 1, 1 - 1 / side)


def identity(num: int) -> torch.Tensor:
    """Maps `(N, 2, 3)` that leave everything where it is."""
    return torch.eye(2, 3).repeat(num, 1, 1)


def rotation(degrees: torch.Tensor) -> torch.Tensor:
    """Maps `(N, 2, 3)` that turn pictures around their middle by `degrees (N,)`."""
    maps, angle = identity(len(degrees)), degrees * (math.pi / 180)
    maps[:, 0, 0] = maps[:, 1, 1] = angle.cos()
    maps[:, 1, 0] = angle.sin()
    maps[:, 0, 1] = -maps[:, 1, 0]
    return maps


def view_of(boxes: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    """Maps `(N, 2, 3)` that show a box of each picture, from right to left where it is mirrored.

    Args:
        boxes: `(N, 4)` left, top, width and height as shares of the side.
        mirrored: `(N,) bool`.
    """
    maps = torch.zeros(len(boxes), 2, 3)
    left, top, width, height = boxes.unbind(1)
    maps[:, 0, 0], maps[:, 1, 1] = torch.where(mirrored, -width, width), height
    maps[:, 0, 2], maps[:, 1, 2] = 2 * left + width - 1, 2 * top + height - 1
    return maps


def after(first: torch.Tensor, then: torch.Tensor) -> torch.Tensor:
    """The maps of doing `first` to a picture and `then` to the result."""
    linear, shift = first[:, :, :2], first[:, :, 2:]
    return torch.cat([linear @ then[:, :, :2], linear @ then[:, :, 2:] + shift], dim=2)


def draw_boxes(num: int, area: tuple[float, float], ratio: tuple[float, float]) -> torch.Tensor:
    """Rectangles within the unit square, `(N, 4)` left, top, width and height: all of it where no try fits.

    Args:
        num: N.
        area: Least and largest share of the area, drawn evenly.
        ratio: Least and largest width over height, drawn evenly on a logarithmic scale.
    """
    areas = torch.empty(num, TRIES).uniform_(*area)
    ratios = torch.empty(num, TRIES).uniform_(math.log(ratio[0]), math.log(ratio[1])).exp_()
    sizes = torch.stack([(areas * ratios).sqrt(), (areas / ratios).sqrt()], dim=2)
    fits = (sizes <= 1).all(dim=2)
    first = fits.int().argmax(dim=1)
    chosen = torch.where(fits.any(dim=1, keepdim=True), sizes[torch.arange(num), first], 1.0)
    return torch.cat([torch.rand(num, 2) * (1 - chosen), chosen], dim=1)
