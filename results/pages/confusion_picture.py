"""The confusion matrix of a trial, drawn by Pillow in some hundredths of a second: every trial of a search has one.

matplotlib, which draws the same in `results.pages.figures`, takes a second to import and another to draw.

Letters: `C` classes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COUNTS_UP_TO = 25
"""Classes with which numbers still fit into the cells of a confusion matrix."""
NAMES_UP_TO = 60
"""Classes with which their names still fit along its sides."""
HEAD = 24
"""Height of the title in pixels."""
WHITE, BLUE = np.array([247, 251, 255]), np.array([8, 48, 107])
"""The ends of matplotlib's Blues."""
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def confusion_picture(
    confusion: Sequence[Sequence[int]], classes: Sequence[str], *, title: str = "", diagonal: bool = True
) -> Image.Image:
    """The matrix of `confusion_figure` in percent, drawn in a hundredth of its time: for every trial of a search.

    Raises:
        ValueError: The matrix is not of as many classes as there are names.
    """
    num, named = len(classes), len(classes) <= NAMES_UP_TO
    shown, highest = cells(confusion, num, diagonal=diagonal, normalized=True)
    cell = 24 if num <= COUNTS_UP_TO else 10
    picture, margin, font = _frame(tuple(classes) if named else (), num * cell, cell)
    picture = picture.copy()
    colours = np.round(WHITE + (BLUE - WHITE) * np.clip(shown / highest, 0, 1)[..., None]).astype(np.uint8)
    matrix = Image.fromarray(colours.repeat(cell, axis=0).repeat(cell, axis=1))
    picture.paste(matrix, (margin, HEAD))
    draw = ImageDraw.Draw(picture)
    draw.text((6, 4), f"{title}: % of the true class (row) answered as" if title else "", "black", font)
    if num <= COUNTS_UP_TO:
        for row, column in zip(*np.nonzero(np.round(shown)), strict=True):
            place = (margin + cell * column + cell // 2, HEAD + cell * row + cell // 2)
            ink = "white" if shown[row, column] > 0.5 * highest else "black"
            draw.text(place, f"{shown[row, column]:.0f}", ink, font, anchor="mm")
    return picture


@functools.lru_cache(maxsize=4)
def _frame(names: tuple[str, ...], side: int, cell: int) -> tuple[Image.Image, int, Font]:
    """What pictures of the same classes share, names beside and under an empty matrix; its margin, and the font."""
    font = ImageFont.load_default(size=11)
    margin = 12 + max((math.ceil(font.getlength(name)) for name in names), default=0)
    picture = Image.new("RGB", (margin + side + 8, HEAD + side + margin), "white")
    beside, under = ImageDraw.Draw(picture), Image.new("RGB", (margin, side), "white")
    lying = ImageDraw.Draw(under)
    for number, name in enumerate(names):
        middle = cell * number + cell // 2
        beside.text((margin - 6, HEAD + middle), name, "black", font, anchor="rm")
        lying.text((margin - 6, middle), name, "black", font, anchor="rm")
    picture.paste(under.transpose(Image.Transpose.ROTATE_90), (margin, HEAD + side))
    return picture, margin, font


def cells(
    confusion: Sequence[Sequence[int]], num_classes: int, *, diagonal: bool, normalized: bool
) -> tuple[np.ndarray, float]:
    """What the cells of a confusion matrix show, and the value at the end of their colour scale."""
    counts = np.asarray(confusion, dtype=float)
    if counts.shape != (num_classes, num_classes):
        raise ValueError(f"a confusion matrix of shape {counts.shape} does not fit {num_classes} classes")
    shown = counts
    if normalized:
        rows = counts.sum(axis=1, keepdims=True)
        shown = 100 * np.divide(counts, rows, out=np.zeros_like(counts), where=rows > 0)
    if not diagonal:
        shown = shown.copy()
        np.fill_diagonal(shown, 0)
    return shown, 100.0 if normalized and diagonal else max(float(shown.max(initial=0)), 1.0)
