"""The layout of the mask-status competition: its 18 classes, and the seven pictures of a person."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from trainables.data.endings import ENDINGS, SUFFIXES
from trainables.data.raw import RawData, Row
from trainables.data.tables import CsvTable

MASKS = ("wear", "incorrect", "none")
GENDERS = ("male", "female")
AGES = ("under30", "30-59", "60+")

CLASSES = {
    f"{mask}/{gender}/{age}": {"mask": mask, "gender": gender, "age": age}
    for mask in MASKS
    for gender in GENDERS
    for age in AGES
}
"""The classes with their attributes, in the competition's order.

The index is 6 * mask + 3 * (female) + age band, which is what its answers hold.
"""

STEMS = {**{f"mask{i}": "wear" for i in range(1, 6)}, "incorrect_mask": "incorrect", "normal": "none"}
"""The seven pictures of a person: file name without its ending, and the value of `mask`."""

COLUMNS = frozenset({"id", "gender", "age", "path"})
"""The columns of `train.csv` that are needed; `path` names the person's folder below `images`."""


def read_competition(root: Path, table: CsvTable) -> RawData:
    """Reads the people in `table`; `root` holds `images`."""
    raw = RawData("competition folder", root, problems=list(table.problems), classes=CLASSES)
    raw.attributes, raw.has_groups = ("mask", "gender", "age"), True
    images = root / "images"
    if not images.is_dir():
        raw.problems.append(f"{images}: no such folder; the pictures belong there, beside {table.name}")
        return raw
    ids: dict[str, str] = {}
    folders: dict[str, str] = {}
    for source, values in table.rows:
        person, folder = values["id"], values["path"]
        gender, band = values["gender"].lower(), age_band(values["age"])
        problems = []
        if not person:
            problems.append("the id is empty; write the person's id")
        elif (before := ids.setdefault(person, source)) is not source:
            problems.append(f"the id {person!r} stands in {before} too; give each person one row and one id")
        if not folder:
            problems.append("the path is empty; write the name of the person's folder below images")
        elif (before := folders.setdefault(folder, source)) is not source:
            problems.append(f"the path {folder!r} stands in {before} too; delete one of the two")
        if gender not in GENDERS:
            problems.append(f"the gender {values['gender']!r} is neither male nor female; correct it")
        if not band:
            problems.append(f"the age {values['age']!r} is not in whole years from 1 to 129; correct it")
        raw.problems += [f"{source}: {problem}" for problem in problems]
        if problems or not band:
            continue
        for name, mask, bad in _person_pictures(f"{images}/{folder}"):
            written = f"{folder}/{name}"
            if mask:
                kinds = {"mask": mask, "gender": gender, "age": band}
                row = Row(
                    f"{images}/{written}",
                    f"images/{written}",
                    written,
                    source,
                    "/".join(kinds.values()),
                    person,
                )
                row.attributes, row.bad = kinds, bad
                raw.rows.append(row)
            else:
                raw.strays.append(f"{source}: {written}: {bad}")
    return raw


def age_band(age: str) -> str:
    """The band of an age in whole years: under 30, 30 to 59, 60 and over; empty if it is no age."""
    if not re.fullmatch("[0-9]{1,3}", age) or not 0 < int(age) < 130:
        return ""
    return AGES[0] if int(age) < 30 else AGES[1] if int(age) < 60 else AGES[2]


def _person_pictures(folder: str) -> Iterator[tuple[str, str, str]]:
    """Yields file name, value of `mask` and what is wrong, for each picture that a person has or should have.

    Only the name without its ending tells which picture it is: endings differ from folder to folder. A
    picture that is none of the seven, and the folder itself if it cannot be read, have no value of `mask`.
    """
    found: dict[str, list[str]] = {}
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if not e.name.startswith(".") and not e.is_dir())
    except OSError as error:
        yield "", "", f"the person's folder cannot be read ({error.strerror}: {folder})"
        return
    for name in names:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122  (20,000 Path objects take a tenth of a second)
        if suffix.lower() in SUFFIXES:
            found.setdefault(stem.lower(), []).append(name)
    for stem, mask in STEMS.items():
        first, *others = found.pop(stem, [""])
        if not first:
            yield stem, mask, f"no such picture (looked for the endings {ENDINGS})"
        elif others:
            yield first, mask, f"there is {', '.join(others)} too; keep one of them"
        else:
            yield first, mask, ""
    for strays in found.values():
        for name in strays:
            yield name, "", f"none of the seven names {', '.join(STEMS)}"
