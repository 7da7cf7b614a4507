"""A sheet of small pictures with captions."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from trainables.data.decoding import read_upright

SIDE = 224
"""Longest side of a picture on the sheet, in pixels."""
LINE = 29
"""Characters in a line of a caption, which are as wide as a cell."""


def picture_sheet(rows: Sequence[Sequence[tuple[str, str]]], title: str = "") -> Figure:
    """Draws pictures in rows, each with its caption below; one that cannot be read is a grey field that says so.

    Args:
        rows: Path of the picture file and caption; rows may differ in length. Lines of a caption that are too
            long are wrapped.
        title: A line above all.
    """
    captions = [["\n".join(_wrapped(caption)) for _, caption in row] for row in rows]
    heights = [1.9 + 0.14 * max((text.count("\n") + 1 for text in row), default=1) for row in captions]
    columns = max(map(len, rows), default=1) or 1
    figure = Figure(figsize=(1.95 * columns, sum(heights, 0.4)), layout="constrained")
    if title:
        figure.suptitle(title, fontsize=10, parse_math=False)
    if not rows:
        return figure
    grid = figure.subplots(len(rows), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
    for cells, row, texts in zip(grid, rows, captions, strict=True):
        for axes in cells:
            axes.axis("off")
        for axes, (path, _), text in zip(cells, row, texts, strict=False):
            _show(axes, path)
            axes.text(0.5, -0.02, text, transform=axes.transAxes, ha="center", va="top", fontsize=7, parse_math=False)
    return figure


def _show(axes: Axes, path: str) -> None:
    try:
        axes.imshow(_thumbnail(path))
    except Exception as error:  # Pillow's plugins raise what they like for a broken file
        axes.imshow(np.full((SIDE, SIDE, 3), 200, dtype=np.uint8))
        words = "\n".join(textwrap.wrap(f"cannot be read: {type(error).__name__}", 24))
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=7)


def _thumbnail(path: str) -> Image.Image:
    picture = read_upright(path, SIDE)[0].copy()
    picture.thumbnail((SIDE, SIDE))
    return picture


def _wrapped(caption: str) -> list[str]:
    """The caption's lines, none longer than a cell; a single word that is gets shortened in its middle."""
    lines = []
    for line in caption.splitlines() or [""]:
        words = [word if len(word) <= LINE else f"{word[: LINE // 2]}…{word[-(LINE // 2) :]}" for word in line.split()]
        lines += textwrap.wrap(" ".join(words), LINE, break_on_hyphens=False) or [""]
    return lines
