"""Classes that are each other's mirror image, such as left and right: to mirror their pictures is to mix them up.

Their names say so, or a linear classifier of thumbnails does: it takes the mirror images of either class for the
other. That sees what stands at the same place in all pictures of a class, as signs and products do; what lies anywhere
in a photo it does not.

Letters: `N` pictures, `C` classes, `K` pixels of a thumbnail.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas

from trainables.data.cache import ImageCache
from trainables.data.thumbnails import FLATTEST, thumbnails

SIDES = (
    ("left", "right"),
    ("links", "rechts"),
    ("linke", "rechte"),
    ("linker", "rechter"),
    ("linkes", "rechtes"),
    ("gauche", "droite"),
    ("gauche", "droit"),
    ("izquierda", "derecha"),
    ("izquierdo", "derecho"),
    ("sinistra", "destra"),
    ("sinistro", "destro"),
    ("esquerda", "direita"),
    ("esquerdo", "direito"),
)
"""Words for the two sides: classes whose names differ in these alone are mirror images of each other."""
MOST_PICTURES = 5000
"""Of a side, of which each class has as many as any other, as far as there are."""
MOST_CLASSES = 500
"""With more, names alone are looked at: each would have few pictures, and the scores much memory."""
RIDGE = 0.1
MOST_NAMED = 3
"""Pairs that a message names."""
LEAST_PICTURES = 5
"""Of a class, to be asked for its mirror images."""
TOLD_APART = 0.75
"""Share of either class's pictures that must be told from the other, and of its mirror images that must be taken for
it: .80 to 1 where pictures of Fashion-MNIST's shoes were mirrored into classes of their own, at most .59 between the
classes of clothing, materials, sign digits and Fashion-MNIST as they are."""
SWAPPED = 0.3
"""The same of those taken for the other rather than for any class, in excess of the pictures as they are: .30 to .97
there, and at most .22."""


def mirror_classes(table: pandas.DataFrame, cache: ImageCache, classes: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of classes that are each other's mirror image, as far as names or thumbnails say; none for most data.

    Args:
        table: The split: `path`, `label` and `split` of each picture. Those of train are learned from, those of val are
            asked; those of test are not looked at.
        cache: Their decoded pictures.
        classes: In their order.
    """
    found = by_names(classes)
    return found if found or len(classes) > MOST_CLASSES else _by_pictures(table, cache, classes)


def pairs_in_words(pairs: Sequence[tuple[str, str]]) -> str:
    """Pairs of classes as a sentence about them begins; the first `MOST_NAMED` by name."""
    named = ", ".join(f"{one} and {other}" for one, other in pairs[:MOST_NAMED])
    rest = len(pairs) - MOST_NAMED
    more = f", and {rest} more pair{'s' * (rest > 1)}" if rest > 0 else ""
    return f"Classes that look like mirror images of each other: {named}{more}."


def by_names(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of classes whose names differ in left and right alone, in one of some languages."""
    words = {name: _words(name) for name in classes}
    found: dict[frozenset[str], tuple[str, str]] = {}
    for one, two in SIDES:
        swap = {one: two, two: one}
        for name, own in words.items():
            turned = [swap.get(word, word) for word in own]
            for other in classes if turned != own else ():
                if words[other] == turned:
                    found.setdefault(frozenset((name, other)), (name, other))
    return list(found.values())


def _words(name: str) -> list[str]:
    """A name in words and what stands between them, small: turn-left, TurnLeft and turn_left."""
    return [word.lower() for word in re.findall(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+|\d+|[\W_]+", name)]


def _by_pictures(table: pandas.DataFrame, cache: ImageCache, classes: Sequence[str]) -> list[tuple[str, str]]:
    most = max(2 * LEAST_PICTURES, MOST_PICTURES // len(classes))
    sides = {}
    for side in ("train", "val"):
        rows = table[table["split"] == side].groupby("label", sort=False).head(most)
        pictures = np.array([cache.rows[path] for path in rows["path"]], dtype=np.int64)
        labels = pandas.Categorical(rows["label"], classes).codes.astype(np.int64)
        sides[side] = _looks(cache.images, pictures), labels
    (learned, labels), (asked, truth) = sides["train"], sides["val"]
    if min(len(labels), len(truth)) < LEAST_PICTURES:
        return []
    weights = _linear_classifier(learned.reshape(len(learned), -1), labels, len(classes))
    plain, mirrored = (_scores(views.reshape(len(views), -1), weights) for views in (asked, asked[:, :, ::-1]))
    return [(classes[one], classes[other]) for one, other in swapped_pairs(plain, mirrored, truth)]


def swapped_pairs(plain: np.ndarray, mirrored: np.ndarray, truth: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of classes of which the mirror images of either are taken for the other.

    Args:
        plain: Scores `(N, C)` of pictures.
        mirrored: Those of their mirror images.
        truth: Classes `(N,)` of the pictures.
    """
    count = plain.shape[1]
    apart, over, more = np.zeros((count, count)), np.zeros((count, count)), np.zeros((count, count))
    for own in range(count):
        of_class = truth == own
        if of_class.sum() < LEAST_PICTURES:
            continue
        as_is, turned = plain[of_class], mirrored[of_class]
        apart[own] = (as_is[:, [own]] > as_is).mean(axis=0)
        over[own] = (turned[:, [own]] < turned).mean(axis=0)
        taken, before = (np.bincount(each.argmax(axis=1), minlength=count) for each in (turned, as_is))
        more[own] = (taken - before) / of_class.sum()
    surely = (np.minimum(apart, over) >= TOLD_APART) & (more >= SWAPPED)
    first, second = np.nonzero(np.triu(surely & surely.T, 1))
    return list(zip(first.tolist(), second.tolist(), strict=True))


def _looks(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Thumbnails of some rows of the cache, whatever their brightness and contrast."""
    looks = thumbnails(images, rows)
    mean, spread = looks.mean(axis=(1, 2, 3), keepdims=True), looks.std(axis=(1, 2, 3), keepdims=True)
    return np.asarray((looks - mean) / np.maximum(spread, FLATTEST))


def _linear_classifier(inputs: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Weights `(K + 1, C)` of a ridge regression on the classes, in which each class weighs the same.

    Solved here, as scikit-learn takes longer to import than all of this look.
    """
    sizes = np.bincount(labels, minlength=count)
    weights = 1 / sizes[labels]
    weights *= len(labels) / weights.sum()
    inputs = np.c_[inputs, np.ones(len(inputs))].astype(np.float64)
    products = inputs.T @ (inputs * weights[:, None])
    products[np.diag_indices_from(products)] += RIDGE * len(labels)
    return np.linalg.solve(products, inputs.T @ (np.eye(count)[labels] * weights[:, None]))


def _scores(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(np.c_[inputs, np.ones(len(inputs))] @ weights)
