"""Pictures of results, drawn without a display.

Letters: `C` classes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from results.pages.confusion_picture import COUNTS_UP_TO, NAMES_UP_TO, cells
from trainables.atomic import write_whole


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
    shown, highest = cells(confusion, num, diagonal=diagonal, normalized=normalized)
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


def to_png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def save_png(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Writes the figure as a PNG file, whole or not at all."""
    write_whole(path, to_png(figure, dpi))
