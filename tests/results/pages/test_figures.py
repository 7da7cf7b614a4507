"""What pictures show."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PIL import Image

from results.pages.confusion_picture import confusion_picture
from results.pages.figures import confusion_figure

CONFUSION = [[3, 1], [0, 0]]


def test_the_quick_picture_of_a_confusion_shows_the_cells_of_the_figure() -> None:
    picture = confusion_picture(CONFUSION, ["a", "b"], title="t")
    errors = confusion_picture(CONFUSION, ["a", "b"], diagonal=False)
    figure = confusion_figure(CONFUSION, ["a", "b"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["75", "25"]

    def blues(shown: Image.Image) -> list[list[int]]:
        left, top, cell = shown.width - 8 - 2 * 24, 24, 24
        return [[255 - shown.getpixel((left + cell * c + 2, top + cell * r + 2))[0] for c in (0, 1)] for r in (0, 1)]

    (right, wrong), unseen = blues(picture)
    assert right > wrong > 8
    assert unseen == [8, 8]
    assert blues(errors)[0][0] == 8
    assert blues(errors)[0][1] > wrong  # the errors fill the scale


@pytest.mark.parametrize("draw", [confusion_figure, confusion_picture])
def test_a_confusion_of_other_classes_is_an_error(draw: Callable) -> None:
    with pytest.raises(ValueError, match="does not fit 3 classes"):
        draw(CONFUSION, ["a", "b", "c"])
