"""Numbers of more than 8 bits to the 256 levels of a picture: which of them is white is told by what is used."""

from __future__ import annotations

import numpy as np

BITS = (8, 10, 12, 14, 16)
"""What cameras and scanners use of 16 bits."""
LITTLE = 0.1
"""How far below black, as a share of white, sharpening and rounding may lead in a picture of floating point."""
EIGHT_BIT_LEAST = 32
"""The least highest value of a picture of floating point from 0 to 255; one with less may measure anything."""


def whole_levels(values: np.ndarray, white: int | None = None) -> np.ndarray:
    """`uint8` levels of whole numbers.

    Without negative ones, white is the largest number of as many bits as are used: 8, 10, 12, 14 or 16. Where that
    does not hold (negative ones, or more than 16 bits), the lowest number is black and the highest white.

    Args:
        values: Of any integer type and shape.
        white: What is white, if the file says so.
    """
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > 65535:
        return _stretched(values, low, high)
    white = white or white_of(high)
    table = np.minimum(np.arange(65536, dtype=np.int64) * 255 / white + 0.5, 255).astype(np.uint8)
    return table[values.astype(np.uint16, copy=False)]


def white_of(highest: int) -> int:
    """The largest number of as many bits as `highest`, up to 65535, needs."""
    return next(2**bits - 1 for bits in BITS if highest < 2**bits)


def float_levels(values: np.ndarray) -> np.ndarray:
    """`uint8` levels of floating point numbers; what is no number is black.

    White is 1 where hardly any number is larger, 255 where numbers reach up to it, and the bits used where all
    are whole; else the lowest is black and the highest white.

    Args:
        values: Of any shape; NaN and infinities may be among them.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.zeros(values.shape, np.uint8)
    low, high = float(finite.min()), float(finite.max())
    values = np.nan_to_num(values, nan=min(low, 0.0), posinf=high, neginf=low)
    if low >= -LITTLE and float(np.percentile(finite, 99)) <= 1:
        return _stretched(values, 0.0, 1.0)
    if low >= 0 and high <= 65535 and bool((finite == np.rint(finite)).all()):
        return whole_levels(values.astype(np.uint16))
    if low >= -LITTLE * 255 and EIGHT_BIT_LEAST <= high <= 255:
        return _stretched(values, 0.0, 255.0)
    return _stretched(values, low, high)


def _stretched(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Levels with straight lines from black to white; all black if these are the same."""
    share = (values.astype(np.float64) - black) / ((white - black) or 1)
    return (np.clip(share, 0, 1) * 255 + 0.5).astype(np.uint8)
