"""What people call the sides of a split: `Training`, `test_set`, `seg_train`, `Valid`, `holdout`."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORDS = {
    "train": ("train", "training", "trn", "learn", "learning"),
    "val": ("val", "valid", "validation", "validate", "validating", "dev", "development"),
    "test": ("test", "testing", "tests", "tst", "holdout", "heldout", "unseen"),
    "eval": ("eval", "evaluation", "evaluate"),
}
_SIDES = {word: side for side, words in _WORDS.items() for word in words}
_FILLERS = (
    "set",
    "data",
    "dataset",
    "images",
    "image",
    "imgs",
    "img",
    "pictures",
    "photos",
    "split",
    "folder",
    "files",
)
_GLUED = re.compile(rf"({'|'.join(sorted(_SIDES, key=len, reverse=True))})(?:{'|'.join(_FILLERS)})s?")


def side_of(name: str) -> str | None:
    """The side that a name means (train, val, test, or eval, which may be either of the last two); None for another.

    Words around it that say nothing are left aside (`train_set`, `TestImages`, `train2017`), any other is not: a class
    may be called `bullet train`.
    """
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]+", name)]
    if "".join(words) in ("holdout", "heldout"):
        return "test"
    words = [glued[1] if (glued := _GLUED.fullmatch(word)) else word for word in words]
    left = [word for word in words if word not in _FILLERS]
    return _SIDES.get(left[0]) if len(left) == 1 else None


def sides_of(names: Iterable[str]) -> dict[str, str]:
    """Name to side, of those names that together make a split: train, and val or test beside it; else nothing.

    A word that all names share is left aside (`seg_train` beside `seg_test`). An eval side is val where there is no
    other, else test.
    """
    names = list(names)
    found = _settled({name: side for name in names if (side := side_of(name))})
    if found:
        return found
    # What is left of a name without its last or its first word has to be the same for all of them.
    for shape in (r"(?P<same>.+)[\s_.-]+(?P<side>[^\s_.-]+)", r"(?P<side>[^\s_.-]+)[\s_.-]+(?P<same>.+)"):
        alike: dict[str, dict[str, str]] = {}
        for name in names:
            match = re.fullmatch(shape, name)
            if match and (side := side_of(match["side"])):
                alike.setdefault(match["same"].lower(), {})[name] = side
        for sides in alike.values():
            if found := _settled(sides):
                return found
    return {}


def _settled(sides: dict[str, str]) -> dict[str, str]:
    present = set(sides.values())
    if "train" not in present or len(present) < 2:
        return {}
    instead = "test" if "val" in present else "val"
    return {name: instead if side == "eval" else side for name, side in sides.items()}


def side_word(value: str) -> str | None:
    """The side that a value of a column means; an eval side there is val."""
    side = side_of(value)
    return "val" if side == "eval" else side
