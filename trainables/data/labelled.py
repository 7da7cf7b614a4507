"""Labelled pictures to score a finished model on: any of the data layouts, or one side of a run's split.

Unlike a manifest, which has to be divided into train and val, these may lack classes and groups of a class.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pandas

from trainables.data.corrections import apply_corrections
from trainables.data.manifest import WAY_OUT, DataConfig, DataError, picture_line
from trainables.data.raw import RawData, Row, sorted_names
from trainables.data.rows import read_split
from trainables.data.understood import class_lines, look_alikes, used_line
from trainables.errors import UserError


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

    def only(self, wanted: set[str]) -> LabelledPictures:
        """Those of the pictures whose paths are wanted."""
        places = [place for place, path in enumerate(self.paths) if path in wanted]

        def chosen(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[place] for place in places)

        groups = None if self.groups is None else chosen(self.groups)
        return dataclasses.replace(self, paths=chosen(self.paths), labels=chosen(self.labels), groups=groups)


def read_pictures(config: DataConfig, split: Path | None = None, side: str = "test") -> LabelledPictures:
    """Reads what `config.data` names, what stands on a side of a split, or what is in both.

    In both, labels and groups are those of `config.data`, so that its corrections count.

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
        return _read_side(split, side)
    pictures = _read_data(config)
    if split is None:
        return pictures
    wanted = set(_read_side(split, side).paths)
    found = pictures.only(wanted)
    missing = sorted(wanted - set(found.paths))
    if len(missing) > len(pictures.skipped):
        raise DataError(
            [
                f"{len(missing)} pictures of the side {side} of {split} are not in {config.data}, {missing[0]} first; "
                "give the data that the split was made of, or leave out --data"
            ]
        )
    return found


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


def _read_side(split: Path, side: str) -> LabelledPictures:
    every = read_split(split)
    rows = [row for row in every if row.split == side]
    if not rows:
        there = ", ".join(sorted({row.split for row in every})) or "no side"
        raise UserError(f"{split} has no picture on the side {side}, only on {there}; name another by --side")
    # A split of data without groups has each picture's own path there.
    grouped = len({row.group for row in every}) < len(every)
    groups = tuple(row.group for row in rows) if grouped else None
    return LabelledPictures(tuple(row.path for row in rows), tuple(row.label for row in rows), groups)
