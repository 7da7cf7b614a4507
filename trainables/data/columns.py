"""Which column of a table holds the pictures, the labels, the groups and the sides: by name and values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trainables.data.rows import SIDES
from trainables.data.side_names import side_word
from trainables.data.tables import CsvTable

PATH_NAMES = (
    *("path", "filepath", "filepaths", "filename", "filenames", "file", "files", "imagepath", "imgpath", "imagefile"),
    *("image", "images", "img", "imagename", "imgname", "imageid", "imgid", "picture", "photo", "fname", "imageindex"),
    *("imagefilename", "imagefilepath", "relativepath", "relpath", "fullpath", "imagelocation", "pathtoimage", "id"),
    "name",
)
LABEL_NAMES = (
    *("label", "labels", "class", "classname", "classes", "category", "categories", "target", "targets", "y"),
    *("labelname", "species", "breed", "diagnosis", "dx", "categoryname", "classlabel", "tag", "classid", "labelid"),
    *("categoryid", "classidx", "classindex", "classnumber", "level", "grade", "emotion", "disease"),
)
GROUP_NAMES = (
    *("group", "groups", "groupid", "person", "personid", "patient", "patientid", "subject", "subjectid"),
    *("participant", "participantid", "individual", "individualid", "lesionid", "caseid", "animalid"),
)
SPLIT_NAMES = ("split", "side", "set", "subset", "partition", "phase", "usage", "dataset", "datasplit", "stage")
_SAMPLE = 200
MOSTLY = 0.5
"""Share of its rows in which a column says a side to be taken for the split, or a group to be taken for the groups."""


@dataclass(frozen=True)
class ColumnFlags:
    """The columns as the user names them; empty where they are to be found."""

    path: str = ""
    label: str = ""
    group: str = ""
    attributes: tuple[str, ...] = ()
    """Columns that make the label together where there is none."""


@dataclass
class Columns:
    """The columns of a table; empty for one that it does not have."""

    path: str = ""
    label: str = ""
    group: str = ""
    split: str = ""
    one_hot: tuple[str, ...] = ()
    """In place of `label`: columns of 0 and 1, one per class."""
    made_of: tuple[str, ...] = ()
    """In place of `label`: columns whose values make it together."""
    passed_over: list[str] = field(default_factory=list)
    """Why a column whose name might mean the split or the groups is not taken for it."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns that say the label; none where it cannot be told."""
        return (self.label,) if self.label else self.one_hot or self.made_of

    def label_of(self, values: Mapping[str, str]) -> str:
        """The label of a row; empty where it has none."""
        if self.one_hot:
            return next(name for name in self.one_hot if _bit(values[name]) == 1)
        kinds = [values[name] for name in self.labels]
        return "/".join(kinds) if all(kinds) else ""

    def said(self, name: str) -> list[str]:
        """A sentence on what was taken for what, unless the table has our own names."""
        parts = []
        for meaning in ("path", "label", "group", "split"):
            column = getattr(self, meaning)
            if column and column != meaning:
                parts.append(f"{column!r} as {meaning}")
        if self.one_hot:
            some = ", ".join(self.one_hot[:3]) + (", ..." if len(self.one_hot) > 3 else "")
            parts.append(f"the {len(self.one_hot)} columns {some} of 0 and 1 as label")
        if self.made_of:
            parts.append(f"{', '.join(map(repr, self.made_of))} together as label")
        taken = [f"{name}: column {', '.join(parts)}"] if parts else []
        return [*taken, *(f"{name}: {line}" for line in self.passed_over)]


def find_columns(table: CsvTable, flags: ColumnFlags, exists: Callable[[str], bool]) -> tuple[Columns, list[str]]:
    """Finds the columns of a table; what cannot be settled is a problem with the flag that settles it.

    Args:
        table: At least its header.
        flags: What the user named.
        exists: Whether there is a picture that a value of the path column means.

    Returns:
        The columns, as far as found, and the problems.
    """
    problems = []
    found = Columns()
    listed = f"(found {','.join(table.columns)!r})"
    for meaning in ("path", "label", "group"):
        if (named := getattr(flags, meaning)) and named not in table.columns:
            lower = named.lower()
            same = next((name for name in table.columns if name.lower() == lower), "")
            setattr(found, meaning, same)
            if not same:
                problems.append(f"--{meaning}-column {named}: {table.name} has no such column {listed}; correct it")
        else:
            setattr(found, meaning, named)
    if problems:
        return found, problems
    found.path = found.path or _path_column(table, exists, taken=(found.label, found.group, *flags.attributes))
    taken = {found.path, found.label, found.group, *flags.attributes} - {""}
    found.split, problem = _split_column(table, taken, found.passed_over)
    if problem:
        return found, [problem]
    taken.add(found.split)
    if not found.group:
        found.group = _group_column(table, taken, found.passed_over)
    taken.add(found.group)
    if not found.label:
        found.label, problem = _label_column(table, taken)
        if problem:
            return found, [problem]
        if not found.label and flags.attributes:
            found.made_of = flags.attributes if set(flags.attributes) <= set(table.columns) else ()
        elif not found.label:
            found.one_hot = _one_hot(table, taken)
            others = [name for name in table.columns if name and name not in taken and any(values_of(table, name))]
            if not found.one_hot and found.path and len(others) == 1 and table.rows:
                found.label = others[0]
    return found, problems


def values_of(table: CsvTable, column: str) -> list[str]:
    """A column's values from top to bottom."""
    return [values[column] for _, values in table.rows]


def name_key(name: str) -> str:
    """A column's name as it is compared: small letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def label_columns(table: CsvTable) -> list[str]:
    """Columns whose names say that they hold the label, the likeliest first."""
    return _candidates(table, LABEL_NAMES, set())


def _candidates(table: CsvTable, names: Sequence[str], taken: set[str]) -> list[str]:
    """Columns by the order of the names they might have."""
    places = {name: place for place, name in enumerate(names)}
    fitting = [c for c in table.columns if c and c not in taken and name_key(c) in places]
    return sorted(fitting, key=lambda column: places[name_key(column)])


def _path_column(table: CsvTable, exists: Callable[[str], bool], taken: Sequence[str]) -> str:
    """`path` if there is one; else the likeliest name whose values are pictures, then any other such column."""
    if "path" in table.columns and "path" not in taken:
        return "path"
    named = _candidates(table, PATH_NAMES, set(taken))
    if len(named) == 1 and not table.rows:
        return named[0]
    step = max(1, len(table.rows) // _SAMPLE)
    sample = table.rows[::step]

    def share(column: str) -> float:
        return sum(bool(values[column]) and exists(values[column]) for _, values in sample) / max(len(sample), 1)

    best, most = "", 0.0
    for column in [*named, *(c for c in table.columns if c and c not in named and c not in taken)]:
        if (found := share(column)) > most:
            best, most = column, found
        if most > 0.9:
            break
    return best or (named[0] if named else "")


def _split_column(table: CsvTable, taken: set[str], passed_over: list[str]) -> tuple[str, str]:
    """The column of sides, or nothing; and a problem where a column says a side in most rows, and not in all."""
    if "split" in table.columns and "split" not in taken:
        return "split", ""
    for column in _candidates(table, SPLIT_NAMES, taken):
        odd = [(source, values[column]) for source, values in table.rows if side_word(values[column]) not in SIDES]
        if table.rows and not odd:
            return column, ""
        if len(odd) < MOSTLY * len(table.rows):
            source, value = odd[0]
            return "", (
                f"{table.name}: the column {column!r} says train, val or test in {len(table.rows) - len(odd):,} of "
                f"{len(table.rows):,} rows, and not in {len(odd):,}, first in {source}, where it says {value!r}; write "
                "a side there, or delete these rows, or rename the column if it is not the split"
            )
        if some := _some_of(values for _, values in odd):
            passed_over.append(f"column {column!r} is not taken for the split, as its values {some} name no sides")
    return "", ""


def _group_column(table: CsvTable, taken: set[str], passed_over: list[str]) -> str:
    """`group`, or a column of another common name that puts at least two pictures together and is mostly filled in."""
    if "group" in table.columns and "group" not in taken:
        return "group"
    for column in _candidates(table, GROUP_NAMES, taken):
        values = [value for value in values_of(table, column) if value]
        if not 1 < len(set(values)) < len(values):
            continue
        if len(values) >= MOSTLY * len(table.rows):
            return column
        passed_over.append(
            f"column {column!r} is not taken for the groups, as it is empty in {len(table.rows) - len(values):,} of "
            f"{len(table.rows):,} rows; --group-column {column} takes it all the same"
        )
    return ""


def _some_of(values: Iterable[str]) -> str:
    """The first few different ones; empty where all are."""
    different = [repr(value) for value in dict.fromkeys(values) if value]
    return ", ".join(different[:3]) + (", ..." if len(different) > 3 else "")


def _label_column(table: CsvTable, taken: set[str]) -> tuple[str, str]:
    """The column of labels, or nothing; and a problem where two columns would divide the pictures in two ways."""
    if "label" in table.columns and "label" not in taken:
        return "label", ""
    named = [c for c in _candidates(table, LABEL_NAMES, taken) if c not in _one_hot(table, taken)]
    if not named:
        return "", ""
    first = named[0]
    for other in named[1:]:
        if _one_to_one(values_of(table, first), values_of(table, other)):
            continue
        return "", (
            f"{table.name}: the columns {first!r} and {other!r} may both be the labels, and do not say the same; name "
            "one by --label-column"
        )
    for other in named[1:]:  # of a number and a name for the same, people want to read the name
        if all(value.isdecimal() for value in values_of(table, first)):
            return other, ""
    return first, ""


def _one_to_one(first: Sequence[str], second: Sequence[str]) -> bool:
    pairs = set(zip(first, second, strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _one_hot(table: CsvTable, taken: set[str]) -> tuple[str, ...]:
    """Columns of 0 and 1 of which each row has exactly one 1; none if that does not come out."""
    if len(table.rows) < 2:
        return ()
    columns = [name for name in table.columns if name and name not in taken]
    columns = [name for name in columns if {_bit(values[name]) for _, values in table.rows} <= {0, 1}]
    sums = {sum(_bit(values[name]) or 0 for name in columns) for _, values in table.rows}
    return tuple(columns) if len(columns) > 1 and sums == {1} else ()


def _bit(value: str) -> int | None:
    return {"0": 0, "0.0": 0, "1": 1, "1.0": 1, "false": 0, "true": 1}.get(value.lower())


def looks_headless(table: CsvTable, root: Path) -> bool:
    """Whether the first line names a picture that is there, so that it is no header."""
    return any(name and len(name) < 250 and "\0" not in name and (root / name).is_file() for name in table.columns)
