from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from results.pages.figures import to_png
from results.pages.sheets import LINE, picture_sheet


def texts(figure: object) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_a_sheet_shows_every_kind_of_picture_with_its_caption(tmp_path: Path) -> None:
    Image.new("RGBA", (30, 40), (200, 0, 0, 90)).save(tmp_path / "a.png")
    Image.new("L", (900, 40)).save(tmp_path / "b.jpg")
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(tmp_path / "c.png")
    rows = [
        [(str(tmp_path / "a.png"), "one"), (str(tmp_path / "b.jpg"), "two\nlines")],
        [(str(tmp_path / "c.png"), "$")],
    ]
    figure = picture_sheet(rows, "a $title")
    assert texts(figure) == ["one", "two\nlines", "$"]
    assert to_png(figure).startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_read_is_a_grey_field_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("no picture")
    figure = picture_sheet([[(str(tmp_path / "words.png"), "words"), (str(tmp_path / "missing.png"), "missing")]])
    assert sum("cannot be read" in text for text in texts(figure)) == 2
    assert {"words", "missing"} <= set(texts(figure))


def test_long_captions_are_wrapped_and_long_words_shortened(tmp_path: Path) -> None:
    figure = picture_sheet([[(str(tmp_path / "x.png"), "word " * 20 + "\n" + "x" * 100)]])
    lines = texts(figure)[-1].splitlines()
    assert max(map(len, lines)) <= LINE
    assert "…" in lines[-1]


def test_a_sheet_of_nothing_is_empty() -> None:
    assert to_png(picture_sheet([], "nothing")).startswith(b"\x89PNG")
