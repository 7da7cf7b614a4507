"""Labelled pictures to score a finished model on: any of the data layouts, or one side of a run's split.

Unlike a manifest, which has to be divided into train and val, these may lack classes and groups of a class.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas

from trainables.data.corrections import apply_corrections
from trainables.data.manifest import WAY_OUT, DataConfig, DataError, picture_line
from trainables.data.raw import RawData, Row, sorted_names
from trainables.data.rows import SplitRow, read_split
from trainables.data.understood import class_lines, look_alikes, used_line
from trainables.errors import UserError

MOST_LABELS = 0.9
"""Share of pictures whose label is that of a split, for others of the same names not to be taken for its own: some may
have been corrected since."""


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures with what they show."""

    paths: tuple[str, ...]
    """Absolute paths."""
    labels: tuple[str, ...]
    groups: tuple[str, ...] | None
    """The group (person) of each picture; None where the data name none."""
    skipped: tuple[str, ...] = ()
    """What was left out because it is bad: row and reason."""
    understood: tuple[str, ...] = ()
    """How the data were read, in a few lines."""
    in_split: tuple[str, ...] = ()
    """What each is called in the split that they were chosen by; empty where they lie where that says."""

    @property
    def known_as(self) -> tuple[str, ...]:
        """The paths by which a split knows them."""
        return self.in_split or self.paths

    def only(self, wanted: Collection[str]) -> LabelledPictures:
        """Those of the pictures whose paths are wanted."""
        places = [place for place, path in enumerate(self.paths) if path in wanted]

        def chosen(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[place] for place in places)

        groups = None if self.groups is None else chosen(self.groups)
        return dataclasses.replace(
            self,
            paths=chosen(self.paths),
            labels=chosen(self.labels),
            groups=groups,
            in_split=self.in_split and chosen(self.in_split),
        )


def read_pictures(config: DataConfig, split: Path | None = None, side: str = "test") -> LabelledPictures:
    """Reads what `config.data` names, what stands on a side of a split, or what is in both.

    In both, labels and groups are those of `config.data`, so that its corrections count. Its pictures are those of the
    split, or lie in another place as they lay in that of the split.

    Raises:
        DataError: Anything is wrong with the data; lists all of it.
        UserError: The file is no split, or the side is empty.
        OSError: The split cannot be read.
    """
    if config.data is None:
        if split is None:
            raise DataError(["no pictures; name labelled ones by --data, or a run's split.csv by --split"])
        if flags := [name for name in ("attributes", "group_regex", "corrections") if getattr(config, name)]:
            raise DataError([f"--{flag.replace('_', '-')} needs --data: a split has these settled" for flag in flags])
        return _of_side(read_split(split), split, side)
    pictures = _read_data(config)
    if split is None:
        return pictures
    rows = read_split(split)
    wanted = set(_of_side(rows, split, side).paths)
    known, said = _known_by(pictures, rows)
    found = pictures.only({path for path in pictures.paths if known.get(path) in wanted})
    in_split = tuple(known[path] for path in found.paths)
    found = dataclasses.replace(found, in_split=in_split, understood=(*found.understood, *said))
    missing = sorted(wanted.difference(in_split))
    if len(missing) > len(pictures.skipped):
        raise DataError(
            [
                f"{len(missing)} pictures of the side {side} of {split} are not in {config.data}, {missing[0]} first; "
                "give the data that the split was made of, or leave out --data"
            ]
        )
    return found


def real_paths(paths: Iterable[str]) -> list[str]:
    """The same with the folders that links lead to, so that one picture has one path."""
    real = functools.cache(os.path.realpath)
    parts = (path.rpartition(os.sep) for path in paths)
    return [f"{real(folder or os.sep)}{os.sep}{name}" for folder, _, name in parts]


def _known_by(pictures: LabelledPictures, rows: Sequence[SplitRow]) -> tuple[dict[str, str], list[str]]:
    """What a split calls each picture that is in it, and what is to be said of that.

    If it knows none by its place, they may have been moved: what they are called in the folder that holds them all says
    then which is which, where nearly all have the split's label, too.
    """
    theirs, ours = real_paths(row.path for row in rows), real_paths(pictures.paths)
    said = []
    if moved := set(theirs).isdisjoint(ours):
        theirs, ours = _in_their_folder(theirs), _in_their_folder(ours)
        said = ["note: the pictures lie elsewhere than the split says, and are known by how they lie in their folder"]
    rows_by_name = dict(zip(theirs, rows, strict=True))
    named = zip(pictures.paths, ours, pictures.labels, strict=True)
    known = [(path, rows_by_name[name], label) for path, name, label in named if name in rows_by_name]
    if moved and sum(row.label == label for _, row, label in known) < MOST_LABELS * len(known):
        return {}, []
    return {path: row.path for path, row, _ in known}, said


def _in_their_folder(paths: Sequence[str]) -> list[str]:
    folder = os.path.commonpath([path.rpartition(os.sep)[0] for path in paths])
    return [path.removeprefix(folder) for path in paths]


def bad_pictures_error(bad: dict[str, str]) -> DataError:
    """The error for pictures that cannot be decoded: path to what is wrong with it."""
    return DataError([f"{path}: {reason}; {WAY_OUT}" for path, reason in bad.items()])


def _read_data(config: DataConfig) -> LabelledPictures:
    assert config.data is not None
    raw = config.read()
    if config.corrections is not None and raw.rows:
        apply_corrections(raw, config.corrections)
    bad = raw.strays + [picture_line(row.source, row.written, row.bad) for row in raw.rows if row.bad]
    problems = raw.problems + ([] if config.skip_bad else [f"{line}; {WAY_OUT}" for line in bad])
    if config.strict:
        problems += [f"--strict: {line}" for line in look_alikes((row.label for row in raw.rows), "class/classes")]
        if raw.left_out.is_missed:
            problems += [f"--strict: left out: {line}" for line in raw.left_out.lines()]
    rows = sorted((row for row in raw.rows if not row.bad), key=lambda row: row.relative)
    if not (rows or problems):
        problems = [f"{raw.root}: no good picture is left; first of the bad ones: {bad[0]}"]
    if problems:
        raise DataError(problems)
    return LabelledPictures(
        tuple(row.path for row in rows),
        tuple(row.label for row in rows),
        tuple(row.group for row in rows) if raw.has_groups else None,
        tuple(bad),
        tuple(_understood(raw, rows)),
    )


def _understood(raw: RawData, rows: list[Row]) -> list[str]:
    table = pandas.DataFrame(
        {name: [getattr(row, name) for row in rows] for name in ("label", "group", "split")}, dtype=str
    )
    labels = sorted_names(row.label for row in rows)
    lines = [used_line(raw.layout, len(rows), raw.left_out), *(f"  {line}" for line in raw.said)]
    lines += [f"  {line}" for line in class_lines(table, labels, raw.has_groups)]
    lines += [f"  left out: {line}" for line in raw.left_out.lines()]
    return [*lines, *(f"note: {line}" for line in look_alikes(labels, "class/classes"))]


def _of_side(every: Sequence[SplitRow], split: Path, side: str) -> LabelledPictures:
    rows = [row for row in every if row.split == side]
    if not rows:
        there = ", ".join(sorted({row.split for row in every})) or "no side"
        raise UserError(f"{split} has no picture on the side {side}, only on {there}; name another by --side")
    # A split of data without groups has each picture's own path there.
    grouped = len({row.group for row in every}) < len(every)
    groups = tuple(row.group for row in rows) if grouped else None
    return LabelledPictures(tuple(row.path for row in rows), tuple(row.label for row in rows), groups)
