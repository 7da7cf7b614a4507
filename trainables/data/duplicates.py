"""Which pictures are the same, or nearly the same, and which of these stand on two sides of a split.

A perceptual hash (ImageHash's `phash`, 16 x 16 bits) of the cached pictures finds the candidates, and a look at
small thumbnails confirms them. Found are copies that were encoded, scaled, brightened or trimmed by 2% anew; copies
that were mirrored, turned, made grey or trimmed by more are not.

Letters: `N` pictures, `K` candidate pairs.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas
from PIL import Image

from trainables.atomic import replacing
from trainables.csv_text import csv_text
from trainables.data.cache import ImageCache
from trainables.data.raw import relative_path
from trainables.data.thumbnails import FLATTEST, THUMBNAIL, thumbnails
from trainables.machine.cores import usable_cores

FORMAT_VERSION = 1
"""Rises with every change of what is found, so that an older file of duplicates is not taken for a new one."""
FILE_NAME = "duplicates.json"
COPIES, COPIES_COLUMNS = "copies.csv", ("first", "second", "distance", "exact", "sides", "groups", "labels")
"""The list of pairs, for people, and its columns."""
HASH_SIZE = 16
"""Side of the hash in bits. With 8, 723 pairs of the demo set lie within 8 of 64 bits; with 16, 49 within 32 of 256."""
MOST_BITS = 40
"""Of 256 that may differ. JPEG at quality 40, half the size or 15% brighter change at most 26, and 2% off each edge
28 in the median and 52 at worst; pictures of two people of the demo set differ by 42 or more, two of the clothing
set's by 54 or more."""
MOST_DIFFERENCE = 0.2
"""Mean absolute difference of thumbnails, in their standard deviations. The same copies come to .16 at most, with 2%
off each edge to .17 at the 90th percentile; the most alike of two people of the demo set to .33."""
MOST_NEIGHBOURS = 50
"""Near pictures that are kept for each, the nearest: frames of a film would be pairs without number."""
BLOCK, TILE = 128, 1024
"""Pictures that are compared at a time, and with how many: what is counted for them stays near the processor."""


@dataclass(frozen=True)
class Duplicate:
    """Two pictures that are the same or nearly so."""

    first: str
    second: str
    distance: int
    """Bits of 256 in which the perceptual hashes differ."""
    exact: bool
    """Whether the files are the same, byte for byte."""


@dataclass(frozen=True)
class Leaks:
    """Pictures that a split shows to the model before it asks about them."""

    pairs: tuple[Duplicate, ...]
    """All that differ in their sides, groups or labels."""
    exact: tuple[Duplicate, ...]
    """The same file on two sides."""
    near: tuple[Duplicate, ...]
    """Nearly the same picture on two sides."""
    two_labels: tuple[Duplicate, ...]
    """The same file under two labels, on whichever sides."""
    apart: tuple[Duplicate, ...]
    """The same file in two groups, on whichever sides: another split may part them."""
    given: Mapping[str, str]
    """Path of a picture to the side that the data give it themselves; without those that they give none."""
    sides: Mapping[str, str]
    """Path of a picture to its side."""
    groups: Mapping[str, str]
    """Path of a picture to its group."""
    labels: Mapping[str, str]
    """Path of a picture to its label."""
    root: str
    """The folder that messages leave out of paths."""

    def error(self, lines: Path | None, *, by_picture: bool = False) -> str:
        """What must not be: the same file on two sides, where there is such.

        Args:
            lines: Where the lines of `same_groups` are, which are a way out; None if they could not be written.
            by_picture: Whether the split parts the pictures of a group, so that a group alone is no way out.
        """
        how = (
            "by --corrections FILE with lines such as PATH,group,NAME below key,column,value"
            if lines is None
            else f"by --corrections {lines}, which does so (add its lines to a corrections file of your own)"
        )
        first = "Leave out --split-by picture and give" if by_picture else "Give"
        return (
            f"{_count(self.exact, 'picture is', 'pictures are')} a copy, byte for byte, of one on another side of the "
            f"split: the model would be asked about what it has seen.\n{self._examples(self.exact)}\n"
            f"{first} a picture and its copy the same group, {how}, or remove the copies, or go on all the same with "
            "--allow-leak"
        )

    def same_groups(self) -> bytes:
        """A corrections file (key,column,value) that puts every picture into the group of the one it is a copy of."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("key", "column", "value"))
        for pair in self.apart:
            key = relative_path(pair.second, self.root)
            writer.writerow((key, "group", self.groups[pair.first]))
            first, second = self.given.get(pair.first), self.given.get(pair.second)
            if first and second and first != second:
                writer.writerow((key, "split", first))
        return text.getvalue().encode(errors="surrogateescape")

    def copies(self) -> bytes:
        """A CSV of all pairs, with their sides, groups and labels: one where the two agree, else both."""

        def both(of: Mapping[str, str], pair: Duplicate) -> str:
            return " | ".join(dict.fromkeys((of[pair.first], of[pair.second])))

        rows = [
            (
                *(relative_path(path, self.root) for path in (pair.first, pair.second)),
                *(pair.distance, "yes" if pair.exact else "no"),
                *(both(of, pair) for of in (self.sides, self.groups, self.labels)),
            )
            for pair in self.pairs
        ]
        return csv_text([COPIES_COLUMNS, *rows]).encode(errors="surrogateescape")

    def warnings(self, copies: Path | None = None) -> list[str]:
        """What a user should know before trusting a score.

        Args:
            copies: Where all pairs are listed, as `copies` has them; None if they are not.
        """
        found, listed = [], "" if copies is None else f" All pairs are listed in {copies}."
        if self.near:
            found.append(
                f"{_count(self.near, 'pair', 'pairs')} of nearly the same picture on two sides of the split, which "
                f"flatters the score:\n{self._examples(self.near)}\n"
                "Where the two show the same, give both one group (column group, or --corrections), or remove one."
                f"{listed}"
            )
        if self.two_labels:
            found.append(
                f"{_count(self.two_labels, 'picture is', 'pictures are')} a copy, byte for byte, of one with another "
                f"label:\n{self._examples(self.two_labels)}\nCorrect the wrong one by --corrections, or remove it."
                f"{listed}"
            )
        return found

    def _examples(self, pairs: Sequence[Duplicate], most: int = 2) -> str:
        lines = [f"  {self._facts(pair.first)} and {self._facts(pair.second)}" for pair in pairs[:most]]
        return "\n".join([*lines, *([f"  and {len(pairs) - most} more"] if len(pairs) > most else [])])

    def _facts(self, path: str) -> str:
        alone = path.endswith(self.groups[path])  # without groups, a picture's path is its group
        group = "" if alone else f", group {self.groups[path]}"
        return f"{self._name(path)} ({self.sides[path]}{group}, {self.labels[path]})"

    def _name(self, path: str) -> str:
        return path.removeprefix(f"{self.root}/").encode(errors="backslashreplace").decode()


def check_leaks(
    table: pandas.DataFrame, cache: ImageCache, root: Path | None = None, given: Mapping[str, str] | None = None
) -> Leaks:
    """Finds pictures that a split puts on two sides, or the data under two labels.

    Args:
        table: The split: `path`, `label`, `group` and `split` of each picture.
        cache: Their decoded pictures; what is found is kept beside them, so a second call costs nothing.
        root: Folder that paths in messages start from, as keys of a corrections file do; by default the deepest
            that holds all pictures.
        given: Path of a picture to the side that the data give it themselves, before another is cut out of it.
    """
    return leaks_among(find_duplicates(cache, table["path"].to_list()), table, root, given)


def leaks_among(
    duplicates: Sequence[Duplicate],
    table: pandas.DataFrame,
    root: Path | None = None,
    given: Mapping[str, str] | None = None,
) -> Leaks:
    """The same of duplicates that are known; the other arguments are those of `check_leaks`."""
    paths = table["path"].to_list()
    sides = dict(zip(paths, table["split"], strict=True))
    labels = dict(zip(paths, table["label"], strict=True))
    groups = dict(zip(paths, table["group"], strict=True))
    apart, two_labels, two_groups = (across(duplicates, by) for by in (sides, labels, groups))
    differing = {*apart, *two_labels, *two_groups}
    return Leaks(
        pairs=tuple(pair for pair in duplicates if pair in differing),
        exact=tuple(pair for pair in apart if pair.exact),
        near=tuple(pair for pair in apart if not pair.exact),
        two_labels=tuple(pair for pair in two_labels if pair.exact),
        apart=tuple(pair for pair in two_groups if pair.exact),
        given=given or {},
        sides=sides,
        groups=groups,
        labels=labels,
        root=str(root or os.path.commonpath([str(Path(path).parent) for path in paths] or ["/"])),
    )


def across(duplicates: Iterable[Duplicate], by: Mapping[str, str]) -> list[Duplicate]:
    """The pairs whose pictures differ in `by`, a side, group or label for each path."""
    return [pair for pair in duplicates if by[pair.first] != by[pair.second]]


def find_duplicates(cache: ImageCache, paths: Sequence[str]) -> list[Duplicate]:
    """Finds pictures that are the same or nearly so, the nearest first.

    Of files that are all the same, each is paired with the first of them only, and only the first with what is
    nearly the same. Pictures that could not be decoded take no part. What is found is kept in the cache's
    folder, for all of its pictures, where that can be written.

    Args:
        cache: The decoded pictures.
        paths: Which of its pictures to look at; absolute, as in the cache.
    """
    names = list(cache.rows)
    wanted = {cache.rows[path] for path in paths}
    classes, near = _load(cache) or _search_and_keep(cache)
    found = []
    stand_in = {}  # a class's first picture may not be among those asked for
    for members in classes:
        present = [row for row in members if row in wanted]
        found += [Duplicate(names[present[0]], names[row], 0, True) for row in present[1:]]
        stand_in[members[0]] = present[0] if present else members[0]
    for row, other, distance in near:
        first, second = sorted((stand_in.get(row, row), stand_in.get(other, other)))
        if first in wanted and second in wanted:
            found.append(Duplicate(names[first], names[second], distance, False))
    return sorted(found, key=lambda pair: (not pair.exact, pair.distance, pair.first, pair.second))


def _count(pairs: Sequence[Duplicate], one: str, many: str) -> str:
    return f"{len(pairs):,} {one if len(pairs) == 1 else many}"


Found = tuple[list[list[int]], list[list[int]]]
"""Rows of files that are the same, and nearly the same pictures as row, row and distance."""


def _load(cache: ImageCache) -> Found | None:
    try:
        kept = json.loads((cache.path / FILE_NAME).read_text())
        pictures = len(cache.rows) - len(cache.bad)  # more than before where a disk could read some only now
        if kept["format"] == FORMAT_VERSION and kept.get("pictures", pictures) == pictures:
            return kept["exact"], kept["near"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or not whole: it is found anew
    return None


def _search_and_keep(cache: ImageCache) -> Found:
    names = list(cache.rows)
    rows = np.array([row for path, row in cache.rows.items() if path not in cache.bad], dtype=np.int64)
    hashes = _hash_all(cache.images, rows)
    classes = _same_files([names[row] for row in rows], hashes)
    copies = {place for members in classes for place in members[1:]}
    single = np.array([place for place in range(len(rows)) if place not in copies], dtype=np.int64)
    pairs = _confirmed(cache.images, rows[single], _near_pairs(hashes[single]))
    exact = [rows[members].tolist() for members in classes]
    near = [[int(rows[single[i]]), int(rows[single[j]]), int(distance)] for i, j, distance in pairs]
    with contextlib.suppress(OSError), replacing(cache.path / FILE_NAME) as temporary:
        # Where a cache may only be read, the next start looks again.
        temporary.write_text(
            json.dumps({"format": FORMAT_VERSION, "pictures": len(rows), "exact": exact, "near": near})
        )
    return exact, near


def _hash_all(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Perceptual hashes of some rows, as `(N, 4) uint64`."""
    import imagehash  # and SciPy with it, which a search whose duplicates are known does without

    bits = np.zeros((len(rows), HASH_SIZE * HASH_SIZE // 8), dtype=np.uint8)
    for place, row in enumerate(rows):
        bits[place] = np.packbits(imagehash.phash(Image.fromarray(images[row]), hash_size=HASH_SIZE).hash)
    return bits.view(np.uint64)


def _same_files(paths: Sequence[str], hashes: np.ndarray) -> list[list[int]]:
    """Places of files with the same bytes; only those of the same size and look are read."""
    alike: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for place, (path, looks) in enumerate(zip(paths, hashes, strict=True)):
        try:
            alike[os.path.getsize(path), looks.tobytes()].append(place)  # noqa: PTH202 - half the time of Path.stat
        except OSError:
            continue  # gone since it was decoded
    same: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for (size, _), places in alike.items():
        for place in places if len(places) > 1 else ():
            try:
                with Path(paths[place]).open("rb") as file:
                    same[size, hashlib.file_digest(file, "sha256").digest()].append(place)
            except OSError:
                continue
    return sorted(places for places in same.values() if len(places) > 1)


def _near_pairs(hashes: np.ndarray) -> np.ndarray:
    """Pairs of hashes `(N, 4) uint64` within `MOST_BITS`: first, second and distance, `(K, 3) int64`."""
    words = np.ascontiguousarray(hashes.T)
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = list(pool.map(lambda start: _near_in_block(words, start), range(0, len(hashes), BLOCK)))
    return np.concatenate([np.zeros((0, 3), dtype=np.int64), *found])


def _near_in_block(words: np.ndarray, start: int) -> np.ndarray:
    """The pairs whose first hash is in the block from `start` on; of hashes `(4, N) uint64`."""
    block = words[:, start : start + BLOCK]
    differing = np.empty(block.shape[1] * TILE, dtype=np.uint64)
    counts = np.empty((2, block.shape[1] * TILE), dtype=np.uint8)
    found = np.zeros((0, 3), dtype=np.int64)
    for begin in range(start, words.shape[1], TILE):
        tile = words[:, begin : begin + TILE]
        shape = block.shape[1], tile.shape[1]
        size = shape[0] * shape[1]
        for word in range(2):  # few pairs are near by half of their bits, and only these are looked at further
            np.bitwise_xor(block[word, :, None], tile[word], out=differing[:size].reshape(shape))
            np.bitwise_count(differing[:size], out=counts[word, :size])
        np.add(counts[0, :size], counts[1, :size], out=counts[0, :size])
        first, second = np.nonzero((counts[0, :size] <= MOST_BITS).reshape(shape))
        later = first + start < second + begin
        first, second = first[later], second[later]
        bits = np.bitwise_count(block[:, first] ^ tile[:, second]).sum(axis=0, dtype=np.int64)
        pairs = np.stack([first + start, second + begin, bits], axis=1)[bits <= MOST_BITS]
        if len(pairs):
            found = _nearest(np.concatenate([found, pairs]))
    return found


def _nearest(pairs: np.ndarray) -> np.ndarray:
    """Of pairs `(K, 3)` the `MOST_NEIGHBOURS` nearest of each first picture, sorted by it, then the nearest first."""
    first, second, bits = pairs.T
    pairs = pairs[np.lexsort((second, bits, first))]
    rank = np.arange(len(pairs)) - np.searchsorted(pairs[:, 0], pairs[:, 0])  # among the neighbours of the same picture
    return pairs[rank < MOST_NEIGHBOURS]


def _confirmed(images: np.ndarray, rows: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Those of the pairs `(K, 3)` whose thumbnails look the same, whatever their brightness and contrast."""
    places = np.unique(pairs[:, :2])
    looks = thumbnails(images, rows[places]).reshape(len(places), THUMBNAIL * THUMBNAIL * 3)
    mean, spread = looks.mean(axis=1, keepdims=True), looks.std(axis=1, keepdims=True)
    # Flat pictures keep their brightness: two plain walls, one white and one grey, are not the same picture.
    looks = (looks - np.where(spread < FLATTEST, 128, mean)) / np.maximum(spread, FLATTEST)
    first, second = np.searchsorted(places, pairs[:, 0]), np.searchsorted(places, pairs[:, 1])
    kept = [np.zeros((0, 3), dtype=np.int64)]
    for start in range(0, len(pairs), 4096):
        chunk = slice(start, start + 4096)
        difference = np.abs(looks[first[chunk]] - looks[second[chunk]]).mean(axis=1)
        kept.append(pairs[chunk][difference <= MOST_DIFFERENCE])
    return np.concatenate(kept)
