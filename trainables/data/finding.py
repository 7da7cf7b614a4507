"""Finds the file that a row of a table means, however the path was written there."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from pathlib import PurePath

from trainables.data.endings import is_picture
from trainables.data.raw import walk
from trainables.data.side_names import side_of

_MOST_FILES = 2_000_000
"""Files below a table's folder that are looked through for paths that are not there as written."""


class Finder:
    """Looks for pictures from the folder of a table.

    What is there as written is taken. Otherwise, in this order: with slashes for backslashes; below any folder there,
    where the written parts are the last of the path; without minding Unicode's two spellings, the ending that was left
    out, capitals; and of a path of another machine the longest tail that fits one file.

    Attributes:
        ways: How many paths were found in which other way.
    """

    def __init__(self, root: str, table_stem: str) -> None:
        self.root = root
        self.ways: Counter[str] = Counter()
        self._side = side_of(table_stem)
        self._index: dict[str, list[str]] | None = None
        self._found: dict[str, tuple[list[str], str] | None] = {}

    def find(self, written: str) -> tuple[str, str]:
        """The absolute path that is meant, and what is wrong; a path that is not found stays as it is written."""
        direct = os.path.normpath(os.path.join(self.root, written))  # noqa: PTH118
        if "\0" in written:
            return direct, "the path holds a zero byte"
        if _is_file(direct):
            return direct, ""
        slashed = os.path.normpath(os.path.join(self.root, written.replace("\\", "/")))  # noqa: PTH118
        if "\\" in written and _is_file(slashed):
            self.ways["with slashes for backslashes"] += 1
            return slashed, ""
        if os.path.lexists(direct):
            return direct, ""  # a folder, or a link to nothing: the check of the files says so
        found, way = self._search(written)
        if len(found) == 1:
            self.ways[way] += 1
            return os.path.join(self.root, found[0]), ""  # noqa: PTH118
        if found:
            return direct, f"{written!r} fits {' and '.join(sorted(found)[:3])}; write the folder too"
        return direct, ""

    def exists(self, written: str) -> bool:
        """Whether there is a picture that is meant."""
        before = self.ways.copy()
        path, problem = self.find(written)
        self.ways = before
        return not problem and _is_file(path)

    def said(self) -> list[str]:
        """How paths were found that are not there as they are written."""
        return [f"{count:,} paths found {way}" for way, count in self.ways.most_common()]

    def _search(self, written: str) -> tuple[list[str], str]:
        index = self._files()
        parts = [part for part in re.split(r"[\\/]+", written) if part not in ("", ".", "..")]
        if not parts:
            return [], ""
        foreign = written.startswith(("/", "\\")) or bool(re.match(r"[A-Za-z]:", written))
        tails = range(len(parts)) if foreign else range(1)
        for start in tails:
            tail = "/".join(parts[start:])
            hits = self._found[tail] if tail in self._found else self._fitting(index, tail)
            if "/" not in tail:  # a video's frames have the names of all other videos' frames
                self._found[tail] = hits
            if hits:
                way = "by the end of the path, which was written on another machine" if foreign else hits[1]
                return hits[0], way
        return [], ""

    def _fitting(self, index: dict[str, list[str]], name: str) -> tuple[list[str], str] | None:
        """Files whose path ends like `name`, exactly if there are such, and in which way."""
        last = _last_two(_fold(name))
        for way, key in (
            ("in a folder below", lambda text: text),
            ("in another spelling of Unicode", lambda text: unicodedata.normalize("NFC", text)),
            ("with other capitals", _fold),
        ):
            wanted = key(name)
            hits = [path for path in index.get(last, ()) if _ends(key(path), wanted)]
            if hits:
                return self._preferred(hits), way
        wanted = _fold(name)
        hits = [path for path in index.get(f"{last}.", ()) if _ends(_fold(_stem(path)), wanted)]
        return (self._preferred(hits), "by adding the ending") if hits else None

    def _preferred(self, hits: list[str]) -> list[str]:
        """Of several, the ones in a folder of the table's own side: train.csv means train_images/, not test_images/."""
        if len(hits) > 1 and self._side:
            own = [path for path in hits if any(side_of(part) == self._side for part in path.split("/")[:-1])]
            return own or hits
        return hits

    def _files(self) -> dict[str, list[str]]:
        """Paths below the root by their folded name, and by the same without its ending and with a dot.

        By the name with its folder's as well, for the sake of thousands of files of one name.
        """
        if self._index is None:
            self._index = {}
            for number, path in enumerate(walk(self.root, passes_over_shut=True)):
                if number == _MOST_FILES:
                    self._index.clear()
                    break
                relative = path[len(self.root) + 1 :]
                last = _last_two(relative)
                for name in {last, last.rpartition("/")[2]}:
                    self._index.setdefault(_fold(name), []).append(relative)
                    if PurePath(name).suffix and is_picture(path):
                        self._index.setdefault(f"{_fold(_stem(name))}.", []).append(relative)
        return self._index


def _is_file(path: str) -> bool:
    try:
        return os.path.isfile(path)  # noqa: PTH113  (a third of the time of Path.is_file, for 20,000 rows)
    except ValueError:
        return False


def _stem(path: str) -> str:
    return path[: len(path) - len(PurePath(path).suffix)]


def _fold(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _last_two(path: str) -> str:
    """A path's name, with its folder's if it has one."""
    return "/".join(path.split("/")[-2:])


def _ends(path: str, tail: str) -> bool:
    return path == tail or path.endswith(f"/{tail}")
