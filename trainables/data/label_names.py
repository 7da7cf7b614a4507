"""Names for labels that are numbers: a text file with a name in each line, JSON, or a table of id and name."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from trainables.data.tables import TABLES, read_table

USUAL = (
    *("classes.txt", "class_names.txt", "labels.txt", "label_names.txt", "names.txt", "obj.names", "categories.txt"),
    *("classes.json", "class_names.json", "labels.json", "label_map.json", "label_num_to_disease_map.json"),
    *("cat_to_name.json", "id2label.json", "classes.csv", "class_names.csv", "class_dict.csv", "label_names.csv"),
)
"""Names that such a file has when it lies beside a table or a folder of classes."""


def find_names_file(folder: Path, stem: str) -> Path | None:
    """The file beside a table that names its labels, if there is one."""
    return next((folder / name for name in (*USUAL, f"{stem}_names.txt") if (folder / name).is_file()), None)


def read_label_names(path: Path, ids: Collection[str]) -> tuple[dict[str, str], str]:
    """Label id to name, and what is wrong where that cannot be read.

    Lines without numbers are counted from 0 where there is a label 0, and from 1 where one is the number of lines. With
    neither it would be a guess: a table may lack the first class, or the last.
    """
    try:
        names = _parse(path, {_number(value) for value in ids})
    except (OSError, ValueError) as error:
        return {}, f"--label-names {path}: cannot be read ({error}); write a name in each line, or id,name"
    missing = sorted(value for value in ids if _number(value) not in names)
    if missing:
        return {}, (
            f"--label-names {path}: no name for the label {missing[0]!r} (it names {', '.join(sorted(names)[:5])}); "
            "add a line id,name"
        )
    first_with: dict[str, str] = {}
    for number in sorted({_number(value) for value in ids}):
        if (other := first_with.setdefault(names[number], number)) != number:
            return {}, (
                f"--label-names {path}: the labels {other} and {number} are both called {names[number]!r}, which would "
                "make them one class; give each a name of its own"
            )
    return {value: names[_number(value)] for value in ids}, ""


def _number(value: str) -> str:
    """An id as it is compared: 07, 7 and 7.0 are the same."""
    return str(int(float(value))) if re.fullmatch(r"\d+(\.0+)?", value) else value


def _parse(path: Path, ids: set[str]) -> dict[str, str]:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _from_json(json.loads(path.read_text(encoding="utf-8-sig")), ids)
    if suffix in TABLES:
        table = read_table(path)
        if table.problems or len(table.columns) < 2:
            raise ValueError(table.problems[0] if table.problems else "it has one column")
        return _pairs([(values[table.columns[0]], values[table.columns[1]]) for _, values in table.rows])
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    numbered = [re.fullmatch(r"(\d+)\s*[\s,;:\t]\s*(.+)", line) for line in lines]
    if lines and all(numbered):
        return _pairs([(match[1], match[2]) for match in numbered if match])
    return _counted(lines, ids)


def _counted(lines: Sequence[str], ids: Collection[str]) -> dict[str, str]:
    """Names without numbers by the numbers that they have in their order: from 0 or from 1, as the ids say."""
    whole = [int(value) for value in ids if value.isdecimal()]
    if whole and min(whole) > 0 and max(whole) < len(lines):
        raise ValueError(
            f"its {len(lines)} names fit the labels {min(whole)} to {max(whole)} counted from 0 as well as from 1"
        )
    first = 1 if whole and min(whole) > 0 and max(whole) == len(lines) else 0
    return {str(place): name for place, name in enumerate(lines, first)}


def _from_json(values: object, ids: Collection[str]) -> dict[str, str]:
    if isinstance(values, list):
        return _counted(list(map(str, values)), ids)
    if not isinstance(values, dict):
        raise ValueError("neither a list nor an object")
    pairs = [(str(key), str(value)) for key, value in values.items()]
    if all(_number(value).isdecimal() for _, value in pairs) and not all(_number(key).isdecimal() for key, _ in pairs):
        pairs = [(value, key) for key, value in pairs]
    return _pairs(pairs)


def _pairs(pairs: list[tuple[str, str]]) -> dict[str, str]:
    if pairs and not any(_number(key).isdecimal() for key, _ in pairs):
        pairs = [(value, key) for key, value in pairs] if all(_number(b).isdecimal() for _, b in pairs) else pairs
    return {_number(key): value for key, value in pairs}
