"""From a path to a checked table of pictures, whatever the layout; everything wrong is listed at once."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas

from trainables.data.columns import ColumnFlags
from trainables.data.corrections import apply_corrections
from trainables.data.endings import LeftOut
from trainables.data.folders import SIDES_BELOW
from trainables.data.raw import RawData, Row, relative_path, sorted_names
from trainables.data.readers import read_layout
from trainables.data.understood import class_lines, look_alikes, used_line
from trainables.errors import UserError

MAX_LINES = 50
"""Problems that a `DataError` writes out before it only counts them."""

LOOK_AT = 500
"""Pictures that are looked at in one go where something else is wrong."""
LOOK_SECONDS = 15.0
"""How long they are: what else is wrong shall be said soon."""

FOLDERS_BELOW = 3
"""Folders below a class from which on these may be people or films, for whom a group is asked."""

WAY_OUT = "replace it, or go on without it: --skip-bad"
"""What a user can do about a bad picture."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which pictures a study is about, and what is corrected in them."""

    data: Path | None = None
    """Competition folder, CSV or parquet file with pictures and labels, or folder of classes, below train, val and test
    or not; left out: the demo set."""
    attributes: tuple[str, ...] = ()
    """Columns of the CSV whose values together tell the classes apart, such as: mask gender age. Where it has no column
    of labels, they make the class."""
    group_regex: str | None = None
    """Searched in file names: its first capture group, or the match, is the group (person) of a picture. One that fits
    none of them is searched in the paths below the data folder."""
    corrections: Path | None = None
    """CSV with the columns key,column,value that corrects labels, groups, sides or attributes."""
    skip_bad: bool = False
    """Go on without pictures that are missing, empty or unreadable; their names are recorded."""
    path_column: str = ""
    """Column of the CSV that names the pictures; empty: found by its name and its values."""
    label_column: str = ""
    """Column of the CSV with the labels; empty: found by its name."""
    group_column: str = ""
    """Column of the CSV with the groups (people); empty: found by its name."""
    label_names: Path | None = None
    """File with the names of labels that are numbers: lines, JSON, or a CSV of id and name; by default one of the
    usual names beside the CSV."""
    strict: bool = False
    """Refuse what is otherwise only warned of: classes or groups that look alike, files that are left out though they
    show something."""
    max_picture_gb: float | None = None
    """Memory that decoding one picture may take, in GB; one that takes more counts as unreadable. Left out: a quarter
    of the machine's."""

    def __post_init__(self) -> None:
        picture_bytes(self.max_picture_gb)

    def absolute(self) -> DataConfig:
        """The same settings wherever they are read: every path absolute."""
        data, corrections, names = (
            None if path is None else path.expanduser().absolute()
            for path in (self.data, self.corrections, self.label_names)
        )
        return dataclasses.replace(self, data=data, corrections=corrections, label_names=names)

    @property
    def columns(self) -> ColumnFlags:
        """The columns that are named."""
        return ColumnFlags(self.path_column, self.label_column, self.group_column, self.attributes)

    def read(self) -> RawData:
        """What is at `data`, which must be given; corrections come later."""
        assert self.data is not None
        return read_layout(
            self.data,
            group_regex=self.group_regex,
            columns=self.columns,
            label_names=self.label_names,
        )

    @property
    def picture_bytes(self) -> int | None:
        """`max_picture_gb` in bytes."""
        return picture_bytes(self.max_picture_gb)


def picture_bytes(max_picture_gb: float | None) -> int | None:
    """The flag --max-picture-gb in bytes.

    Raises:
        UserError: It is no size.
    """
    if max_picture_gb is None:
        return None
    if not 0 < max_picture_gb < math.inf:
        raise UserError(f"--max-picture-gb is {max_picture_gb}: it must be more than 0")
    return int(max_picture_gb * 1e9)


class DataError(UserError):
    """Everything that is wrong with the data, one line a problem: file and row, value, way out.

    Attributes:
        problems: The lines, all of them.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        # A file name that is not UTF-8 could not be printed.
        self.problems = tuple(problem.encode(errors="backslashreplace").decode() for problem in problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        lines = [f"{count} problem{'s' * (count != 1)} with the data:", *self.problems[:MAX_LINES]]
        if count > MAX_LINES:
            lines.append(f"... and {count - MAX_LINES} more")
        return "\n  ".join(lines)


@dataclass(frozen=True)
class Manifest:
    """The pictures of a data set, checked."""

    table: pandas.DataFrame
    """One row a picture, sorted by path below the root. All columns are text: `path` (absolute), `label`,
    `group`, `split` (train, val, test, or empty where the data do not say), `source` (file and row, for
    messages), and one for each attribute."""
    classes: tuple[str, ...]
    """Names of the classes; the position is the class index."""
    attributes: dict[str, tuple[str, ...]]
    """Attribute to its value for each class, in class order; empty if the classes are no products."""
    root: Path
    """The folder that relative paths start from."""
    layout: str
    """What was recognized, in words such as "competition folder", "CSV" or "folder of classes"."""
    has_groups: bool
    """Whether the data say which pictures belong together; otherwise each is a group of its own."""
    corrected_rows: int = 0
    """Rows that the corrections file changed."""
    skipped: tuple[str, ...] = ()
    """What was left out because it is bad: row, path and reason."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """Files that are not used."""
    said: tuple[str, ...] = ()
    """How the layout was read, where that takes words."""
    look_alikes: tuple[str, ...] = ()
    """Names of classes or groups that people would hold to be one."""

    @property
    def understood(self) -> list[str]:
        """What was understood, in a few lines: the layout and how it was read, classes, files that are left out."""
        lines = [used_line(self.layout, len(self.table), self.left_out)]
        lines += [f"  {line}" for line in self.said]
        lines += [f"  {line}" for line in class_lines(self.table, self.classes, self.has_groups)]
        return [*lines, *(f"  left out: {line}" for line in self.left_out.lines())]

    @property
    def units(self) -> str:
        """What a split by group deals out, in words: people, or pictures where the data do not tell who is in them."""
        return "people" if self.has_groups else "pictures"

    @property
    def group_warning(self) -> str | None:
        """What it costs that the data name no groups; None if they do."""
        if self.has_groups:
            return None
        said = (
            "No groups: every picture is its own group, so pictures of one person can stand on both sides of "
            "the split, and the score flatters the model (by .15 macro-F1 on a set of clothing pictures). "
            "Name groups in a column group of the CSV, or by --group-regex."
        )
        if (below := self._below_its_class()) is None:
            return said
        return (
            f"{said} Most pictures lie in folders below their class, such as {below}: if each of these is a person, "
            "a film or the like, --group-regex '([^/]+)/[^/]+$' takes it for the group."
        )

    def _below_its_class(self) -> str | None:
        """The first picture in a folder below that of its class, where most are in such, several a class; else None."""
        if not self.layout.startswith("folder") or self.layout == SIDES_BELOW:
            return None
        found, folders = [], set()
        for path, label in zip(self.table["path"], self.table["label"], strict=True):
            folder = path.rpartition("/")[0]
            if not folder.endswith(f"/{label}"):
                found.append(path)
                folders.add(folder)
        are_many = FOLDERS_BELOW * len(self.classes) <= len(folders) < len(found)
        return relative_path(found[0], str(self.root)) if are_many and len(found) > len(self.table) / 2 else None


def load_manifest(
    config: DataConfig, find_unreadable: Callable[[Sequence[str]], Mapping[str, str]] | None = None
) -> Manifest:
    """Reads and checks the pictures that `config` names; recognizes the layout by what is there.

    * A competition folder: `train/train.csv` (id,gender,race,age,path) and `train/images`; the path may also
      be `train` or `images` itself. 18 classes with the attributes mask, gender and age; a group is a
      person's id.
    * A CSV, or a folder with `train.csv`: path,label and optionally group, split and attribute columns; paths
      are relative to the CSV.
    * Otherwise a folder with one sub-folder per class; sub-folders below a class are walked. With train beside val or
      test, in whatever spelling, above or below the classes, that split is used.

    Args:
        config: What to read.
        find_unreadable: Tells which files are no whole pictures, with reasons.
            Asked only when something else is wrong, so that all of it is listed at once; otherwise the picture cache
            finds them.

    Raises:
        DataError: Anything is wrong; lists all of it. With `skip_bad`, bad pictures are left out instead.
    """
    if config.data is None:
        raise DataError(["no data; give a folder or a CSV by --data"])
    raw = config.read()
    corrected_rows = 0
    if config.corrections is not None and raw.rows:
        corrected_rows = apply_corrections(raw, config.corrections)
    raw.rows.sort(key=lambda row: row.relative)
    bad = raw.strays + [picture_line(row.source, row.written, row.bad) for row in raw.rows if row.bad]
    present = sorted_names(row.label for row in raw.rows if row.label)
    classes = present if raw.classes is None else tuple(raw.classes)
    table = _table(raw, config.skip_bad)

    problems = list(raw.problems)
    attributes: dict[str, tuple[str, ...]] = {}
    if raw.classes is not None:
        attributes = {name: tuple(kinds[name] for kinds in raw.classes.values()) for name in raw.attributes}
    elif raw.attributes:
        attributes, unfit = _attributes_by_class(table, classes, raw.attributes)
        problems += unfit
    if raw.rows:
        problems += _class_problems(table, present, raw.has_groups)
        problems += groups_on_two_sides(table)
    elif bad and config.skip_bad:
        problems.append(f"{raw.root}: no good picture is left; first of the bad ones: {bad[0]}")
    alike = [*look_alikes(present, "class/classes")]
    if raw.has_groups:
        alike += look_alikes((row.group for row in raw.rows), "group/groups")
    if config.strict:
        problems += [f"--strict: {line}" for line in alike]
        if raw.left_out.is_missed:
            problems += [f"--strict: left out: {line}" for line in raw.left_out.lines()]
    if raw.layout == "folder of classes" and len(present) == 1:
        below = raw.root / present[0]
        problems.append(f"{raw.root}: if the classes are the folders inside {present[0]!r}, give {below}")
    if not config.skip_bad:
        problems += [f"{line}; {WAY_OUT}" for line in bad]
    if problems:
        if find_unreadable is not None and not config.skip_bad:
            problems += _unreadable([row for row in raw.rows if not row.bad], find_unreadable)
        raise DataError(problems)
    return Manifest(
        table=table,
        classes=classes,
        attributes=attributes,
        root=raw.root,
        layout=raw.layout,
        has_groups=raw.has_groups,
        corrected_rows=corrected_rows,
        skipped=tuple(bad),
        left_out=raw.left_out,
        said=tuple(raw.said),
        look_alikes=tuple(alike),
    )


def drop_pictures(manifest: Manifest, bad: Mapping[str, str]) -> Manifest:
    """The manifest without the pictures that turned out to be bad.

    Args:
        manifest: The pictures.
        bad: Absolute path, as in the table, to what is wrong with it.

    Raises:
        DataError: A class has not enough pictures left.
    """
    lines = _bad_lines(manifest, bad)
    table = manifest.table[~manifest.table["path"].isin(list(bad))].reset_index(drop=True)
    if problems := _class_problems(table, sorted_names(manifest.table["label"]), manifest.has_groups):
        raise DataError([*problems, *lines])
    return dataclasses.replace(manifest, table=table, skipped=(*manifest.skipped, *lines))


def bad_picture_error(manifest: Manifest, bad: Mapping[str, str]) -> DataError:
    """The error for pictures that cannot be decoded: absolute path to what is wrong with it."""
    return DataError([f"{line}; {WAY_OUT}" for line in _bad_lines(manifest, bad)])


def _unreadable(rows: Sequence[Row], find_unreadable: Callable[[Sequence[str]], Mapping[str, str]]) -> list[str]:
    """Problems: files that are no whole pictures, as far as a look of some seconds tells."""
    ends, problems = time.monotonic() + LOOK_SECONDS, list[str]()
    for start in range(0, len(rows), LOOK_AT):
        if start and time.monotonic() > ends:
            return [
                *problems,
                f"{start:,} of {len(rows):,} pictures were looked at; the others are once this is fixed",
            ]
        some = rows[start : start + LOOK_AT]
        found = find_unreadable([row.path for row in some])
        lines = [picture_line(row.source, row.written, found[row.path]) for row in some if row.path in found]
        problems += [f"{line}; {WAY_OUT}" for line in lines]
    return problems


def groups_on_two_sides(table: pandas.DataFrame) -> list[str]:
    """Problems: groups that the data's own column `split` puts on more than one side."""
    fixed = table[(table["split"] != "") & (table["group"] != "")].drop_duplicates(["group", "split"])
    problems = []
    for group, rows in fixed[fixed.duplicated("group", keep=False)].groupby("group"):
        sides = [f"{side} ({source})" for side, source in zip(rows["split"], rows["source"], strict=True)]
        problems.append(
            f"the group {group!r} stands on two sides, {' and '.join(sides)}; put all of it on one, or drop "
            "the column group or the column split"
        )
    return problems


def _table(raw: RawData, skip_bad: bool) -> pandas.DataFrame:
    rows = [row for row in raw.rows if not (row.bad and skip_bad)]
    names = ("path", "label", "group", "split", "source")
    columns = {name: [getattr(row, name) for row in rows] for name in names}
    columns |= {name: [row.attributes[name] for row in rows] for name in raw.attributes}
    return pandas.DataFrame(columns, dtype=str)


def _bad_lines(manifest: Manifest, bad: Mapping[str, str]) -> list[str]:
    hits = manifest.table[manifest.table["path"].isin(list(bad))]
    root = str(manifest.root)
    return [
        picture_line(source, relative_path(path, root), bad[path])
        for path, source in zip(hits["path"], hits["source"], strict=True)
    ]


def picture_line(source: str, path: str, reason: str) -> str:
    """What is wrong with a picture: where it is named, the path where that does not say it, and the reason."""
    return f"{source}: {reason}" if source.endswith(path) else f"{source}: {path}: {reason}"


def _class_problems(table: pandas.DataFrame, classes: Sequence[str], has_groups: bool) -> list[str]:
    """Problems: fewer than two classes, and classes that cannot stand on both the train and the val side."""
    if len(classes) < 2:
        only = f"one class only, {classes[0]!r}" if classes else "no class"
        return [f"the data have {only}; a classifier needs two: add pictures of another class"]
    num_groups = table[table["group"] != ""].groupby("label")["group"].nunique().to_dict()
    num_pictures = table["label"].value_counts().to_dict()
    firsts = table.drop_duplicates("label")[["label", "group", "source"]]
    first_of = {label: (group, source) for label, group, source in firsts.itertuples(index=False)}
    problems = []
    for name in classes:
        if num_groups.get(name, 0) > 1:
            continue
        if name not in first_of:
            problems.append(f"the class {name!r} has no good picture left; add some, or drop the class")
            continue
        group, source = first_of[name]
        if has_groups:
            what = f"one group, {group!r} ({num_pictures[name]} pictures, first: {source})"
            more = "pictures of other groups (people)"
        else:
            what, more = f"one picture ({source})", "pictures"
        problems.append(
            f"the class {name!r} has {what}, which train and val cannot share; add {more}, merge the class "
            "with another, or drop it"
        )
    return problems


def _attributes_by_class(
    table: pandas.DataFrame, classes: Sequence[str], names: tuple[str, ...]
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Each attribute's value by class, and problems: a class with two values, two classes that are alike."""
    problems: list[str] = []
    owner: dict[tuple[str, ...], str] = {}
    by_class: dict[str, tuple[str, ...]] = {}
    firsts = table[table["label"] != ""].drop_duplicates(["label", *names])
    for label, rows in firsts.groupby("label"):
        for name in names:
            different = rows.drop_duplicates(name)
            if len(different) > 1:
                places = [f"{row[name]!r} ({row['source']})" for _, row in different.iterrows()]
                problems.append(
                    f"the class {label!r} has the {name} {' and '.join(places[:3])}; an attribute has "
                    f"one value a class: correct a row, make {name} a part of the label, or "
                    "take it out of --attributes"
                )
        by_class[str(label)] = kinds = tuple(rows.iloc[0][list(names)])
        other = owner.setdefault(kinds, str(label)) if len(rows) == 1 else label
        if other != label:
            problems.append(
                f"the classes {other!r} and {label!r} have the same attributes ({', '.join(kinds)}); name "
                "one more column in --attributes that tells them apart, or leave the flag out"
            )
    # A class without a good picture is a problem of its own.
    known = [by_class.get(label, ("",) * len(names)) for label in classes]
    return {name: tuple(kinds[place] for kinds in known) for place, name in enumerate(names)}, problems
