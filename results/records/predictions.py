"""Answers to pictures as a table: a class by name, or the competition's class index.

Letters: `N` pictures that could be read, `C` classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trainables.csv_text import csv_text
from trainables.errors import UserError

ANSWER, PROBABILITY = "answer", "probability"
PREFIX = "p_"
"""Of a column with the probability of a class."""


class ColumnError(UserError):
    """A table has a column already that is to be added."""


def answer_columns(
    classes: Sequence[str],
    probabilities: np.ndarray,
    attributes: Mapping[str, Sequence[str]],
    every_class: bool = False,
) -> dict[str, list[str]]:
    """Columns to add for pictures with `probabilities (N, C)`.

    `answer`, `probability`, and for each attribute `answer_<attribute>`: its most probable value, for which the
    probabilities of all classes with the same value are added up. So it need not be that of the most probable class.
    """
    chosen = probabilities.argmax(axis=1)
    columns = {
        ANSWER: [classes[place] for place in chosen],
        PROBABILITY: _shares(probabilities.max(axis=1)),
    }
    for name, by_class in attributes.items():
        kinds, parts = marginal(probabilities, by_class)
        columns[f"{ANSWER}_{name}"] = [kinds[place] for place in parts.argmax(axis=1)]
    return columns | (probability_columns(classes, probabilities) if every_class else {})


def marginal(probabilities: np.ndarray, by_class: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The values of an attribute, in the order of the classes, and the probabilities `(N, K)` of each."""
    kinds = tuple(dict.fromkeys(by_class))
    belongs = np.array([[value == kind for kind in kinds] for value in by_class], dtype=probabilities.dtype)
    return kinds, probabilities @ belongs


def probability_columns(classes: Sequence[str], probabilities: np.ndarray) -> dict[str, list[str]]:
    """A column for each class, `p_<class>`."""
    return {f"{PREFIX}{name}": _shares(probabilities[:, place]) for place, name in enumerate(classes)}


def index_column(classes: Sequence[str], probabilities: np.ndarray, order: Sequence[str]) -> list[str]:
    """The most probable classes as their places in `order`.

    Raises:
        UserError: A class is not in `order`, so there is no index to give.
    """
    index = {name: str(place) for place, name in enumerate(order)}
    if strange := [name for name in classes if name not in index]:
        raise UserError(
            f"the model's class {strange[0]!r} is none of the competition's {len(order)}, so info.csv cannot be "
            "filled; give the folder eval/images to get answers by name"
        )
    return [index[classes[place]] for place in probabilities.argmax(axis=1)]


def add_columns(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    paths: Sequence[str],
    readable: Sequence[str],
    added: Mapping[str, Sequence[str]],
    replaced: str = "",
) -> str:
    """A table with answers as CSV, row for row; the answers to a picture that could not be read are empty.

    Args:
        columns: Names of the table's columns.
        rows: Its values.
        paths: The picture of each row.
        readable: The pictures that were answered, once for every row that names them.
        added: Column name to its value for each of `readable`.
        replaced: A column of the table whose values make way for the added ones of the same name.

    Raises:
        ColumnError: The table has a column already that is to be added.
    """
    if taken := [name for name in added if name in columns and name != replaced]:
        raise ColumnError(f"the CSV has a column {taken[0]!r} already, where the answers go; rename it")
    place_of = {path: place for place, path in enumerate(readable)}
    header = [*columns, *(name for name in added if name not in columns)]
    lines: list[Sequence[str]] = [header]
    for path, row in zip(paths, rows, strict=True):
        values = dict(zip(columns, row, strict=True))
        place = place_of.get(path)
        values |= {name: "" if place is None else column[place] for name, column in added.items()}
        lines.append([values[name] for name in header])
    return csv_text(lines)


def _shares(values: np.ndarray) -> list[str]:
    return [f"{value:.6f}" for value in values]
