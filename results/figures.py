"""Pictures of results, drawn without a display.

Letters: `C` classes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from results.atomic import write_whole

COUNTS_UP_TO = 25
"""Classes with which numbers still fit into the cells of a confusion matrix."""
NAMES_UP_TO = 60
"""Classes with which their names still fit along its sides."""
WHITE, BLUE = np.array([247, 251, 255]), np.array([8, 48, 107])
"""The ends of matplotlib's Blues."""


def confusion_figure(
    confusion: Sequence[Sequence[int]],
    classes: Sequence[str],
    *,
    title: str = "",
    diagonal: bool = True,
    normalized: bool = True,
) -> Figure:
    """A confusion matrix: true classes in rows, answers in columns.

    Args:
        confusion: `(C, C)` pictures of true class (row) answered as class (column).
        classes: Names of the classes, in order.
        title: A line above it.
        diagonal: Whether to show what was answered rightly; without it the errors fill the colour scale.
        normalized: Cells are percent of their row's pictures; otherwise they are counts. Rows without a picture
            stay empty.

    Raises:
        ValueError: The matrix is not of as many classes as there are names.
    """
    num = len(classes)
    shown, highest = _cells(confusion, num, diagonal=diagonal, normalized=normalized)
    side = min(max(4.0, 1.5 + 0.36 * num), 18.0)
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shown, cmap="Blues", vmin=0, vmax=highest, aspect="equal")
    figure.colorbar(image, ax=axes, shrink=0.7, label="% of the true class" if normalized else "pictures")
    if num <= NAMES_UP_TO:
        size = 8 if num <= COUNTS_UP_TO else 6
        axes.set_xticks(range(num), classes, rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(range(num), classes, fontsize=size, parse_math=False)
    if num <= COUNTS_UP_TO:
        for row, column in zip(*np.nonzero(np.round(shown)), strict=True):
            colour = "white" if shown[row, column] > 0.6 * highest else "black"
            axes.text(column, row, f"{shown[row, column]:.0f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_xlabel("answered")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=10, parse_math=False)
    return figure


def confusion_picture(
    confusion: Sequence[Sequence[int]], classes: Sequence[str], *, title: str = "", diagonal: bool = True
) -> Image.Image:
    """The matrix of `confusion_figure` in percent, drawn in a hundredth of its time: for every trial of a search.

    Raises:
        ValueError: The matrix is not of as many classes as there are names.
    """
    num = len(classes)
    shown, highest = _cells(confusion, num, diagonal=diagonal, normalized=True)
    named, cell = num <= NAMES_UP_TO, 24 if num <= COUNTS_UP_TO else 10
    font = ImageFont.load_default(size=11)
    margin = 12 + (max(math.ceil(font.getlength(name)) for name in classes) if named else 0)
    colours = np.round(WHITE + (BLUE - WHITE) * np.clip(shown / highest, 0, 1)[..., None]).astype(np.uint8)
    cells = Image.fromarray(colours.repeat(cell, axis=0).repeat(cell, axis=1))
    head = 24
    picture = Image.new("RGB", (margin + cells.width + 8, head + cells.height + margin), "white")
    picture.paste(cells, (margin, head))
    draw = ImageDraw.Draw(picture)
    draw.text((6, 4), f"{title}: % of the true class (row) answered as" if title else "", "black", font)
    names = Image.new("RGB", (margin, cells.width), "white")  # turned, they stand under the columns
    lying = ImageDraw.Draw(names)
    for number, name in enumerate(classes if named else ()):
        middle = cell * number + cell // 2
        draw.text((margin - 6, head + middle), name, "black", font, anchor="rm")
        lying.text((margin - 6, middle), name, "black", font, anchor="rm")
    picture.paste(names.transpose(Image.Transpose.ROTATE_90), (margin, head + cells.height))
    if num <= COUNTS_UP_TO:
        for row, column in zip(*np.nonzero(np.round(shown)), strict=True):
            place = (margin + cell * column + cell // 2, head + cell * row + cell // 2)
            ink = "white" if shown[row, column] > 0.5 * highest else "black"
            draw.text(place, f"{shown[row, column]:.0f}", ink, font, anchor="mm")
    return picture


def _cells(
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


def to_png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def save_png(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Writes the figure as a PNG file, whole or not at all."""
    write_whole(path, to_png(figure, dpi))
