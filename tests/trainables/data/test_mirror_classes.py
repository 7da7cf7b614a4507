"""Classes that are each other's mirror image are found by their names or their pictures, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image, ImageDraw

from trainables.data.cache import build_cache
from trainables.data.mirror_classes import by_names, mirror_classes, swapped_pairs

SIZE = 32


@pytest.mark.parametrize(
    ("classes", "pairs"),
    [
        (("left", "right"), [("left", "right")]),
        (("turn_left", "stop", "turn_right"), [("turn_left", "turn_right")]),
        (("TurnLeftAhead", "TurnRightAhead"), [("TurnLeftAhead", "TurnRightAhead")]),
        (("Left glove 2", "Right glove 2", "Right glove 3"), [("Left glove 2", "Right glove 2")]),
        (("linke", "links ab", "rechts ab"), [("links ab", "rechts ab")]),
        (("left eye, right ear", "right eye, left ear"), [("left eye, right ear", "right eye, left ear")]),
        (("linke Hand", "rechte Hand"), [("linke Hand", "rechte Hand")]),
        (("pied gauche", "pied droit"), [("pied gauche", "pied droit")]),
        (("leftover", "rightover", "bright", "left"), []),
        (("A", "a", "-1", "1", "C", "C++", "+", "-"), []),
        (("turn-left", "turn_right"), []),
        (("cat", "dog"), []),
    ],
)
def test_names_that_differ_in_left_and_right_alone_are_a_pair(
    classes: tuple[str, ...], pairs: list[tuple[str, str]]
) -> None:
    assert by_names(classes) == pairs


def a_table(folder: Path, classes: tuple[str, ...], count: int = 40) -> pandas.DataFrame:
    """Drawn signs: arrows to the left, to the right and up, and squares; each in other colours at another place."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count * len(classes)):
        kind = classes[number % len(classes)]
        x, y = 16 + rng.integers(-3, 4), 16 + rng.integers(-3, 4)
        side = {"1": -1, "2": 1}.get(kind, 0)
        dark, light = int(rng.integers(0, 90)), int(rng.integers(150, 255))
        picture = Image.new("RGB", (SIZE, SIZE), (light, light, light))
        draw = ImageDraw.Draw(picture)
        if side:
            draw.polygon([(x + 9 * side, y), (x, y - 7), (x, y + 7)], fill=(dark, 0, dark))
            draw.rectangle(sorted_box(x - 9 * side, y - 2, x, y + 2), fill=(dark, 0, dark))
        elif kind == "3":
            draw.polygon([(x, y - 9), (x - 7, y + 4), (x + 7, y + 4)], fill=(dark, 0, dark))
        else:
            draw.rectangle((x - 7, y - 7, x + 7, y + 7), fill=(dark, 0, dark))
        path = folder / f"{number}.png"
        picture.save(path)
        rows.append((str(path), kind, "val" if number % 4 == 3 else "train"))
    return pandas.DataFrame(rows, columns=["path", "label", "split"])


def sorted_box(x: int, y: int, other_x: int, other_y: int) -> tuple[int, int, int, int]:
    return min(x, other_x), y, max(x, other_x), other_y


@pytest.mark.parametrize(
    ("classes", "pairs"), [(("1", "2", "3"), [("1", "2")]), (("1", "3", "4"), []), (("3", "4"), [])]
)
def test_pictures_of_which_the_mirror_images_are_another_class_are_a_pair(
    classes: tuple[str, ...], pairs: list[tuple[str, str]], tmp_path: Path
) -> None:
    table = a_table(tmp_path, classes)
    cache = build_cache(list(table["path"]), SIZE, tmp_path / "cache")
    assert mirror_classes(table, cache, classes) == pairs
    test_side = table.assign(split=table["split"].replace("val", "test"))
    assert mirror_classes(test_side, cache, classes) == [], "those of test are not looked at"


def test_a_pair_takes_both_directions_and_enough_pictures() -> None:
    truth = np.repeat([0, 1, 2], 10)
    plain = np.eye(3)[truth]
    swapped = plain[:, [1, 0, 2]]
    assert swapped_pairs(plain, swapped, truth) == [(0, 1)]
    assert swapped_pairs(plain, plain, truth) == []
    one_way = np.where((truth == 0)[:, None], swapped, plain)
    assert swapped_pairs(plain, one_way, truth) == []
    few = np.r_[np.arange(4), np.arange(10, 30)]
    assert swapped_pairs(plain[few], swapped[few], truth[few]) == []
    unlearned = np.ones_like(plain)
    assert swapped_pairs(unlearned, unlearned, truth) == []
