"""Reads folders of classes: alone, below the sides of a split, or with the sides below each class."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from trainables.data.endings import BESIDE, ENDINGS, is_picture, is_shown_picture
from trainables.data.raw import OF_SYSTEMS, RawData, Row, relative_path, sorted_names, walk
from trainables.data.rows import SIDES
from trainables.data.side_names import side_of, sides_of

_DEEPEST = 4
"""Folders that may stand around the sides of a split, such as `archive/dataset/`."""
SIDES_BELOW = "folders of classes with the sides of a split below each"
"""What such a layout is called."""
FEWEST_ALIKE = 3
"""Folders with the same folders in each from which on these may be the classes, and those the people."""
MOST_BELOW = 20
"""Of such classes."""
_WRAPPERS = ("images", "image", "imgs", "img", "pictures", "data", "jpg", "jpeg", "png", "classes")
"""Folders that may stand between a side and its classes."""


def read_folder(root: Path, has_groups: bool, way_out: str) -> RawData:
    """Reads the folder of classes at `root`.

    Args:
        root: An absolute path.
        has_groups: Whether groups will be taken from file names.
        way_out: What was looked for, for the message where nothing was found.
    """
    raw = RawData("folder of classes", root, has_groups=has_groups)
    base, sides = _find_sides(root)
    if sides:
        _read_sides(raw, base, sides)
    elif by_class := _sides_below_classes(base):
        _read_classes_with_sides(raw, base, by_class)
    else:
        _read_classes(raw, root, way_out)
    return raw


def holds_classes(root: Path) -> bool:
    """Whether at least two of the sub-folders hold pictures, and not as the flat sides of a split."""
    base, sides = _find_sides(root)
    if sides:
        return any(sub_folders(f"{base}/{name}") for name, side in sides.items() if side == "train")
    return sum(any(is_picture(path) for path in walk(f"{root}/{name}")) for name in sub_folders(str(root))) > 1


def sub_folders(path: str) -> list[str]:
    """The names of the folders in a folder, but for hidden ones and those that systems make."""
    with os.scandir(path) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and e.name not in OF_SYSTEMS and e.is_dir())


def _files(path: str) -> Iterator[str]:
    """The files right in a folder, hidden ones too."""
    with os.scandir(path) as entries:
        yield from sorted(f"{path}/{e.name}" for e in entries if not e.is_dir())


def _find_sides(root: Path) -> tuple[Path, dict[str, str]]:
    """The folder in which the sides of a split stand, and the side of each of its sub-folders that is one.

    Without a split it is the root, or a lone `train` in it.
    """
    base = root
    for _ in range(_DEEPEST):
        folders = sub_folders(str(base))
        if sides := sides_of(folders):
            return base, sides
        inside = [name for name in folders if sides_of(sub_folders(f"{base}/{name}"))]
        if len(inside) == 1 and not any(
            is_picture(path) for name in folders if name != inside[0] for path in walk(f"{base}/{name}")
        ):
            base = base / inside[0]
        elif len(folders) == 1 and (side_of(folders[0]) or len(sub_folders(f"{base}/{folders[0]}")) == 1):
            base = base / folders[0]
        else:
            break
    return (base if side_of(base.name) and base != root else root), {}


def _sides_below_classes(root: Path) -> dict[str, dict[str, str]]:
    """Class to its sub-folders that are sides, where every class has such and no other; else nothing."""
    found = {}
    for name in sub_folders(str(root)):
        inside = sub_folders(f"{root}/{name}")
        found[name] = sides_of(inside)
        if not found[name] or len(found[name]) < len(inside):
            return {}
    return found if len(found) > 1 else {}


def _take(raw: RawData, paths: Iterable[str], label: str, side: str = "") -> int:
    """Makes a row of each picture and notes the other files; returns the number of rows."""
    before, base = len(raw.rows), str(raw.root)
    for path in paths:
        if not is_shown_picture(path):
            raw.left_out.add_file(path)
            continue
        relative = relative_path(path, base)
        raw.rows.append(Row(path, relative, relative, path, label, relative, side))
    return len(raw.rows) - before


def _leave(raw: RawData, paths: Iterable[str], reason: str) -> int:
    """Notes files that are not used, pictures with the reason; returns the number of pictures."""
    count = 0
    for path in paths:
        if is_shown_picture(path):
            raw.left_out.add(path, reason)
            count += 1
        else:
            raw.left_out.add_file(path)
    return count


def _leave_around(raw: RawData, base: Path) -> None:
    """Notes the files in the folder of the classes or sides, and those above it and beside it up to the root."""
    for folder in (base, *base.parents):
        _leave(raw, _files(str(folder)), BESIDE)
        if folder == raw.root:
            return
        for name in sub_folders(str(folder.parent)):
            if name != folder.name:
                _leave(
                    raw,
                    walk(f"{folder.parent}/{name}", hidden=True, passes_over_shut=True),
                    f"in {name}/, which is no class",
                )


def _read_sides(raw: RawData, base: Path, sides: dict[str, str]) -> None:
    raw.layout, raw.has_split = "folders of classes below the sides of a split", True
    raw.said.append(
        "the folders "
        + ", ".join(f"{name}/ as {side}" for name, side in sides.items())
        + (f" in {relative_path(str(base), str(raw.root))}/" if base != raw.root else "")
    )
    for name in (name for name in sub_folders(str(base)) if name not in sides):
        count = _leave(
            raw,
            walk(f"{base}/{name}", hidden=True, passes_over_shut=True),
            f"in {name}/, which is no side of the split",
        )
        if count:
            raw.said.append(f"{name}/ is no side of the split: its {count:,} pictures are left out")
    _leave_around(raw, base)
    empty: dict[str, str] = {}
    several = {label for name in sides if len(found := sub_folders(f"{base}/{name}")) > 1 for label in found}
    for name, side in sides.items():
        folder = _class_folder(raw, f"{base}/{name}", several)
        inner = sub_folders(folder)
        for label in inner:
            if not _take(raw, walk(f"{folder}/{label}", hidden=True), label, side):
                empty.setdefault(label, f"{folder}/{label}")
        loose = _leave(raw, _files(folder), f"right in {name}/, in no class folder")
        if loose:
            raw.said.append(f"{loose:,} pictures right in {name}/ have no class folder, so no label: left out")
        if side == "train" and not any(row.split == "train" for row in raw.rows):
            raw.problems.append(
                f"{folder}: no class folders with pictures in it; make a sub-folder for each class, or write a CSV "
                "with the columns path,label"
            )
    _leave_unlabelled_sides(raw, base, sides)
    labels = {row.label for row in raw.rows}
    raw.problems += [
        f"{path}: no picture ({ENDINGS}) in this class on any side; add some or remove the folder"
        for label, path in empty.items()
        if label not in labels
    ]


def _leave_unlabelled_sides(raw: RawData, base: Path, sides: dict[str, str]) -> None:
    """Leaves out sides whose only folder is no class of train, as `test/images/`; several such are a problem."""
    known = {row.label for row in raw.rows if row.split == "train"}
    for name in (name for name, side in sides.items() if side != "train"):
        inside = f"{base}/{name}/"
        rows = [row for row in raw.rows if row.path.startswith(inside)]
        labels = list(dict.fromkeys(row.label for row in rows))
        if not (known and labels) or known & set(labels):
            continue
        if len(labels) > 1:
            raw.problems.append(
                f"{base / name}: its folders {_some(labels)} are no classes of the train side "
                f"({_some(sorted_names(known))}); rename them, or move {name}/ elsewhere"
            )
            continue
        for row in rows:
            raw.left_out.add(row.path, f"in {name}/{labels[0]}/, which is no class of the train side")
        raw.rows = [row for row in raw.rows if not row.path.startswith(inside)]
        raw.said.append(
            f"{len(rows):,} pictures in {name}/ lie in {labels[0]}/, which is no class of the train side, so they have "
            "no label: left out"
        )


def _class_folder(raw: RawData, folder: str, classes: set[str]) -> str:
    """The folder of a side in which its classes are: below its only sub-folder where that is no class.

    Args:
        raw: Notes the files that are passed by.
        folder: Of the side.
        classes: Folders that sides with more than one have; one of these is a class wherever it stands alone.
    """
    for _ in range(_DEEPEST):
        inner = sub_folders(folder)
        if len(inner) != 1 or inner[0] in classes:
            break
        below = f"{folder}/{inner[0]}"
        if not sub_folders(below):
            break
        named = inner[0].lower() in _WRAPPERS or side_of(inner[0]) or inner[0] == os.path.basename(folder)  # noqa: PTH119
        if not named and any(is_picture(path) for path in _files(below)):
            break
        if any(is_picture(path) for path in _files(folder)):
            break
        _leave(raw, _files(folder), BESIDE)
        folder = below
    return folder


def _side_or_class(base: Path, folders: Iterable[str]) -> str:
    """The problem of one `train` with folders in it beside folders of pictures: which of the two is it? Or nothing."""
    flat, nested = [], []
    for name in folders:
        path = f"{base}/{name}"
        inner = [label for label in sub_folders(path) if any(map(is_picture, walk(f"{path}/{label}")))]
        if any(map(is_picture, _files(path))):
            flat.append(name)
        elif side_of(name) and len(inner) > 1:
            nested.append((name, inner))
    if not flat or len(nested) != 1:
        return ""
    name, inner = nested[0]
    return (
        f"{base}: is {name} a side of a split, whose classes are its sub-folders {', '.join(inner[:3])}, or a class "
        f"beside {', '.join(flat[:3])}? To train on its sub-folders give --data {base / name}; if it is a class, "
        f"rename it, for example to {name}_class"
    )


def _read_classes_with_sides(raw: RawData, base: Path, by_class: dict[str, dict[str, str]]) -> None:
    raw.layout, raw.has_split = SIDES_BELOW, True
    names = sorted({(name, side) for sides in by_class.values() for name, side in sides.items()})
    raw.said.append("the folders below each class: " + ", ".join(f"{name}/ as {side}" for name, side in names))
    _leave_around(raw, base)
    for label, sides in by_class.items():
        taken = 0
        for name, side in sides.items():
            taken += _take(raw, walk(f"{base}/{label}/{name}", hidden=True), label, side)
        _leave(raw, _files(f"{base}/{label}"), BESIDE)
        if not taken:
            raw.problems.append(f"{base / label}: no picture ({ENDINGS}) in this class; add some or remove the folder")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3)


def only_differ_by_number(names: Iterable[str]) -> bool:
    """Whether names are the same but for their digits, as `images_part1` and `images_part2` are, or 1 and 2."""
    return len({re.sub(r"\d+", "", name) for name in names}) == 1


def _same_folders_below(base: Path, folders: Sequence[str]) -> list[str]:
    """The folders in which the pictures of nearly all folders lie, if these are the same few everywhere; else none."""
    if len(folders) < FEWEST_ALIKE:
        return []
    found: Counter[str] = Counter()
    for name in folders:
        if any(map(is_picture, _files(f"{base}/{name}"))):
            return []
        inner = sub_folders(f"{base}/{name}")
        found.update(label for label in inner if any(map(is_picture, walk(f"{base}/{name}/{label}"))))
    common = sorted_names(found)
    usual = all(count > len(folders) / 2 for count in found.values())
    return list(common) if usual and 1 < len(common) <= min(MOST_BELOW, len(folders)) else []


def _read_classes(raw: RawData, root: Path, way_out: str) -> None:
    base, _ = _find_sides(root)
    if base != root:
        raw.said.append(f"the folder {relative_path(str(base), str(root))}/ alone, which names no other side")
    folders = sub_folders(str(base))
    tables = sorted(path for path in _files(str(base)) if path.lower().endswith((".csv", ".tsv", ".parquet")))
    if len(folders) > 1 and {side_of(name) for name in folders} <= {*SIDES, "eval"}:
        raw.problems.append(
            f"{base}: its sub-folders {', '.join(folders)} look like the sides of a split, not like classes, and "
            f"none of them is train; {way_out}; rename one, or write a CSV with the columns path,label,split"
        )
        return
    if problem := _side_or_class(base, folders):
        raw.problems.append(problem)
        return
    if alike := _same_folders_below(base, folders):
        shown, some = ", ".join(f"{name}/" for name in alike), f"{folders[0]}, {folders[1]}, ..."
        seen = f"most of the {len(folders):,} folders ({some}) hold the same sub-folders, {shown}"
        if_people = f"If {shown} are the classes and each upper folder is a person, write a CSV with path,label,group"
        if only_differ_by_number(folders):
            raw.problems.append(
                f"{base}: {seen}. {if_people}; if the upper folders are the classes, take the pictures out of the "
                "sub-folders first"
            )
            return
        raw.said.append(f"{seen}, which are taken for parts of {len(folders):,} classes. {if_people}")
    empty = []
    for name in folders:
        if not _take(raw, walk(f"{base}/{name}", hidden=True), name):
            empty.append(f"{base / name}: no picture ({ENDINGS}) in this class; add some or remove the folder")
    _leave_around(raw, base)
    loose = sum(count for (reason, _), count in raw.left_out.counts.items() if reason == BESIDE)
    raw.problems += empty
    if not raw.rows:
        instead = "make a folder for each class, or write a CSV with the columns path,label"
        if tables:
            instead = f"give the CSV itself, {tables[0]}"
        what = f"no picture ({ENDINGS}) in any sub-folder" if folders else "no data found"
        if loose:
            what = f"{loose:,} pictures right in it, and none in a sub-folder that would be their class"
        raw.problems = [f"{root}: {what}; {way_out}; {instead}"]
