"""Pictures decoded and resized once into one memory-mapped file that every trial on the machine shares.

Letters: `N` pictures, `P` stored side in pixels. The file holds `(N, P, P, 3) uint8` in RGB, channels last.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from PIL import UnidentifiedImageError

from trainables.atomic import torn_name
from trainables.data.decoding import NOTES, PictureTooLargeError, decode, decode_noted, memory_bound
from trainables.errors import UserError
from trainables.machine.cores import usable_cores
from trainables.machine.home import own_folder
from trainables.sizes import size_in_words

FORMAT_VERSION = 2
"""Rises where the same file gives other pixels."""
MARGIN = 8 / 7
"""Stored side over image size: the 224 of 256 of the usual centre crop (Krizhevsky et al. 2012, timm's .875)."""


HEADER_BYTES = 4096
"""More than numpy writes before the pixels, which are still zeros when a file is given its room."""
LOCK_SECONDS = 3600.0
"""How long a process waits for another that decodes the same pictures."""
PICTURES_OWN_FAULT = (
    *(None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP),
    errno.EINVAL,  # Pillow looks before the beginning of a file that is cut off
)
"""Error numbers that speak of a picture; Pillow's own errors have none."""


class CacheError(UserError, OSError):
    """The cache cannot be built or read; the message names the folder and the way out."""


@dataclass(frozen=True)
class Note:
    """Pictures of which the same is to be said."""

    count: int
    example: str
    """Absolute path of the first."""


@dataclass(frozen=True)
class ImageCache:
    """An opened cache; reading a row touches the pages of that picture and nothing else."""

    path: Path
    """The folder that holds `images.npy` and `meta.json`."""
    images: np.ndarray
    """`(N, P, P, 3) uint8`, memory-mapped and read-only."""
    rows: Mapping[str, int]
    """Absolute path of a picture to its row."""
    bad: Mapping[str, str]
    """Absolute path of a picture that could not be decoded to the reason; its row is black."""
    notes: Mapping[str, Note]
    """What decoding had to decide or found odd, by the keys of `decoding.NOTES`, as far as there is any."""

    @classmethod
    def open(cls, path: Path) -> ImageCache:
        """Opens a finished cache.

        Raises:
            CacheError: There is none at `path`.
        """
        try:
            meta = json.loads((path / "meta.json").read_text())
            notes = {kind: Note(**note) for kind, note in meta.get("notes", {}).items()}
            images = np.load(path / "images.npy", mmap_mode="r")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CacheError(
                f"the picture cache {path} cannot be read ({error}). On a cluster --cache-dir must be a folder "
                "that every node sees; on one machine delete it and start again"
            ) from error
        return cls(path, images, {picture: row for row, picture in enumerate(meta["paths"])}, meta["bad"], notes)

    @property
    def warnings(self) -> list[str]:
        """What should be looked at before anything is learnt from the pictures."""
        flat = self.notes.get("flat")
        if flat is None:
            return []
        return [
            f"{in_words('flat', flat)}: look at {'them' if flat.count > 1 else 'it'}; docs/decoding.md says how each "
            "kind of file is read"
        ]

    @property
    def remarks(self) -> list[str]:
        """What was decided in decoding, to be said."""
        return [in_words(kind, self.notes[kind]) for kind in NOTES if kind != "flat" and kind in self.notes]


def in_words(kind: str, note: Note) -> str:
    """How many pictures are of one of the kinds of `decoding.NOTES`, and which is the first."""
    example = note.example.encode(errors="backslashreplace").decode()
    return f"{note.count:,} picture{'s' * (note.count > 1)} {NOTES[kind]} ({example!r})"


def stored_size(image_size: int) -> int:
    """Side in pixels that a picture is stored with, to leave a margin around `image_size` for random crops."""
    return round(image_size * MARGIN)


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/macrotune`, by default `~/.cache/macrotune`; beside temporary files where there is no HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or own_folder(Path(".cache"))) / "macrotune"


def build_cache(
    paths: Sequence[str],
    image_size: int,
    cache_dir: Path,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    num_threads: int | None = None,
    memory_bytes: int | None = None,
) -> ImageCache:
    """Opens the cache of these pictures, decoding them first unless that was done before.

    The key covers names, sizes and times of the files, the image size and the format, so a changed picture
    makes a new cache. Building holds a lock and ends in a rename: a second process waits and then reads.

    Args:
        paths: Absolute paths without repetition.
        image_size: Side that the network will see, in pixels.
        cache_dir: Folder of all caches.
        on_progress: Called with (pictures done, pictures in all) while decoding.
        num_threads: Decoding threads; by default one a core (Pillow decodes and resizes without the GIL).
        memory_bytes: What decoding one picture may take; by default `memory_bound()`.

    Raises:
        CacheError: The disk is too full or the folder cannot be written.
    """
    order = sorted(paths)
    bound = memory_bound() if memory_bytes is None else memory_bytes
    path = cache_dir / _key(order, image_size)
    finished = _finished(path, bound)
    if finished is None:
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
                finished = _finished(path, bound)
                if finished is None:
                    threads = num_threads or usable_cores()
                    finished = _decode_all(order, stored_size(image_size), path, on_progress, threads, bound)
        except Timeout as error:
            raise CacheError(
                f"another process has been decoding these pictures for {LOCK_SECONDS / 3600:g} h and holds "
                f"{path}.lock: end it, or give another --cache-dir"
            ) from error
        except OSError as error:
            if isinstance(error, CacheError):
                raise
            raise CacheError(
                f"cannot write the picture cache {path}: {error}. Give a folder that can be written by --cache-dir"
            ) from error
    return ImageCache.open(finished)


def find_unreadable(paths: Sequence[str], memory_bytes: int | None = None) -> dict[str, str]:
    """Decodes pictures at a small size and says which are no whole pictures, with reasons.

    Args:
        paths: Of the files.
        memory_bytes: What decoding one may take; by default `memory_bound()`.
    """

    def reason(path: str) -> str | None:
        try:
            decode(path, 16, memory_bytes)
        except Exception as error:  # Pillow's plugins raise what they like for a broken file
            return _reason(error)
        return None

    with ThreadPoolExecutor(usable_cores()) as pool:
        return {path: found for path, found in zip(paths, pool.map(reason, paths), strict=True) if found is not None}


def _finished(path: Path, bound: int) -> Path | None:
    """The finished cache at `path`, or beside it the one in which pictures were refused for this bound."""
    return next((at for at in (path, _with_refusals(path, bound)) if (at / "meta.json").exists()), None)


def _with_refusals(path: Path, bound: int) -> Path:
    """Where a cache lies in which a picture was refused: with more memory it would be another."""
    return path.with_name(f"{path.name}-{bound}")


def _key(order: Sequence[str], image_size: int) -> str:
    digest = hashlib.sha256(f"{FORMAT_VERSION} {image_size}\n".encode())
    for picture in order:
        try:
            stat = os.stat(picture)  # noqa: PTH116 - half the time of Path.stat, for 20,000 files
            shut = "" if os.access(picture, os.R_OK) else "\tshut"  # which changes no time that is looked at here
            digest.update(f"{picture}\t{stat.st_size}\t{stat.st_mtime_ns}{shut}\n".encode(errors="surrogateescape"))
        except OSError:
            digest.update(f"{picture}\tmissing\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class _Decoded:
    """What came of one picture, apart from its pixels."""

    bad: str | None = None
    refused: bool = False
    notes: frozenset[str] = frozenset()


def _decode_all(
    order: Sequence[str],
    side: int,
    path: Path,
    on_progress: Callable[[int, int], None] | None,
    num_threads: int,
    bound: int,
) -> Path:
    """Writes a cache. Returns its folder: `path`, or another where pictures were refused."""
    for leftover in path.parent.glob(f"{path.name}.tmp-*"):  # of a process that was killed; we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    needed, free = len(order) * side * side * 3, shutil.disk_usage(path.parent).free
    if needed > 0.95 * free:
        raise CacheError(
            f"the picture cache needs {size_in_words(needed)} in {path.parent}, where {size_in_words(free)} are free. "
            "Give another folder with --cache-dir, a smaller --image-size, or delete old caches there"
        )
    temporary = torn_name(path)
    temporary.mkdir()
    started = time.perf_counter()
    try:
        images = np.lib.format.open_memmap(
            temporary / "images.npy", mode="w+", dtype=np.uint8, shape=(len(order), side, side, 3)
        )
        _take_room(temporary / "images.npy")
        found: list[_Decoded] = []
        with ThreadPoolExecutor(num_threads) as pool:
            for row in pool.map(lambda row: _decode_row(order[row], side, bound, images[row]), range(len(order))):
                found.append(row)
                if on_progress is not None:
                    on_progress(len(found), len(order))
        images.flush()
        meta = {
            "paths": list(order),
            "bad": {picture: row.bad for picture, row in zip(order, found, strict=True) if row.bad is not None},
            "notes": _notes(order, found),
            "seconds": round(time.perf_counter() - started, 3),
        }
        (temporary / "meta.json").write_text(json.dumps(meta))
        finished = _with_refusals(path, bound) if any(row.refused for row in found) else path
        temporary.rename(finished)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return finished


def _decode_row(picture: str, side: int, bound: int, row: np.ndarray) -> _Decoded:
    """Decodes one picture into its row, which stays black where that fails."""
    try:
        row[:], notes = decode_noted(picture, side, bound)
    except Exception as error:  # Pillow's plugins raise what they like for a broken file
        if isinstance(error, MemoryError) or getattr(error, "errno", None) not in PICTURES_OWN_FAULT:
            raise  # the machine's trouble, not the picture's: it must not be remembered as bad
        return _Decoded(_reason(error), isinstance(error, PictureTooLargeError))
    return _Decoded(notes=notes)


def _notes(order: Sequence[str], found: Sequence[_Decoded]) -> dict[str, dict[str, object]]:
    """How many pictures have each note, and the first of them."""
    notes = {}
    for kind in NOTES:
        pictures = [picture for picture, row in zip(order, found, strict=True) if kind in row.notes]
        if pictures:
            notes[kind] = {"count": len(pictures), "example": pictures[0]}
    return notes


def _take_room(path: Path) -> None:
    """Has the disk give a new file all of its room: one that fills up later would be a bus error.

    Raises:
        OSError: There is not so much.
    """
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except AttributeError:  # not Linux
            pass
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):  # a file system that cannot
                raise
        start = len(file.read(HEADER_BYTES))
        file.seek(start)
        zeros = bytes(2**20)
        for written in range(start, size, len(zeros)):
            file.write(zeros[: size - written])


def _reason(error: Exception) -> str:
    """A decoding failure in the user's words."""
    if isinstance(error, FileNotFoundError):
        return "missing"
    if isinstance(error, PermissionError):
        return "unreadable: no permission"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture that Pillow can read"
    if isinstance(error, PictureTooLargeError):
        return str(error)
    return f"broken picture: {error}"
