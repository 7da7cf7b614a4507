"""Pictures decoded and resized once into one memory-mapped file that every trial on the machine shares.

Letters: `N` pictures, `P` stored side in pixels. The file holds `(N, P, P, 3) uint8` in RGB, channels last.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from PIL import UnidentifiedImageError

from trainables.atomic import torn_name, write_whole
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
WAIT_SECONDS = 1.0
"""How often a process looks whether another has decoded the same pictures."""
AT_ONCE = 4096
"""Pictures that are given to the threads at a time, each of which takes memory until its turn has come."""
PICTURES_OWN_FAULT = (
    *(None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP),
    errno.EINVAL,  # Pillow looks before the beginning of a file that is cut off
)
"""Error numbers that speak of a picture; Pillow's own errors have none."""
MACHINES_FAULT = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Error numbers that speak of this machine. All others are the fault of the disk or share that a picture lies on."""
FAILED = "failed.json"
"""Beside the decoded pictures: paths of those that their disk could not read."""
MOST_FAILED = 100
"""Pictures that the disk or share may fail to read before it is given up."""


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
    on_wait: Callable[[], None] | None = None,
    num_threads: int | None = None,
    memory_bytes: int | None = None,
) -> ImageCache:
    """Opens the cache of these pictures, decoding them first unless that was done before.

    The key covers names, sizes and times of the files, the image size and the format, so a changed picture
    makes a new cache. Building holds a lock and ends in a rename: a second process waits and then reads. Pictures
    that could not be read from their disk are tried again each time.

    Args:
        paths: Absolute paths without repetition.
        image_size: Side that the network will see, in pixels.
        cache_dir: Folder of all caches.
        on_progress: Called with (pictures done, pictures in all) while decoding.
        on_wait: Called every second while another process decodes the same pictures; it may raise.
        num_threads: Decoding threads; by default one a core (Pillow decodes and resizes without the GIL).
        memory_bytes: What decoding one picture may take; by default `memory_bound()`.

    Raises:
        CacheError: The disk is too full, the folder cannot be written, or the pictures' disk fails.
    """
    order = sorted(paths)
    bound = memory_bound() if memory_bytes is None else memory_bytes
    path = cache_dir / _key(order, image_size)
    finished = _finished(path, bound)
    if finished is None:
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            with _held(path, on_wait):
                finished = _finished(path, bound)
                if finished is None:
                    threads = num_threads or usable_cores()
                    finished = _decode_all(order, stored_size(image_size), path, on_progress, threads, bound)
        except OSError as error:
            if isinstance(error, CacheError):
                raise
            raise CacheError(
                f"cannot write the picture cache {path}: {error}. Give a folder that can be written by --cache-dir"
            ) from error
    else:
        with contextlib.suppress(OSError):  # a shared cache that is read-only
            _try_again(finished, path, bound, on_wait)
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


@contextmanager
def _held(path: Path, on_wait: Callable[[], None] | None) -> Iterator[None]:
    """Holds the lock of a cache, for which is waited as long as another process has it."""
    lock = FileLock(f"{path}.lock")
    while not lock.is_locked:
        try:
            lock.acquire(timeout=WAIT_SECONDS)
        except Timeout:
            if on_wait is not None:
                on_wait()
    try:
        yield
    finally:
        lock.release()


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
    failed: bool = False
    """Whether its disk could not read it, which may come right."""
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
        failed: list[str] = []
        with ThreadPoolExecutor(num_threads) as pool:
            for start in range(0, len(order), AT_ONCE):
                rows = range(start, min(start + AT_ONCE, len(order)))
                for row in pool.map(lambda row: _decode_row(order[row], side, bound, images[row]), rows):
                    if row.failed:
                        failed.append(order[len(found)])
                        _refuse_failing_disk(failed, row.bad)
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
        if failed:
            (temporary / FAILED).write_text(json.dumps(failed))
        finished = _with_refusals(path, bound) if any(row.refused for row in found) else path
        temporary.rename(finished)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return finished


def _decode_row(picture: str, side: int, bound: int, row: np.ndarray) -> _Decoded:
    """Decodes one picture into its row, which stays black where that fails."""
    try:
        row[:], notes = decode_noted(picture, side, bound)
    except MemoryError:
        raise  # the machine's trouble, not the picture's: it must not be remembered as bad
    except Exception as error:  # Pillow's plugins raise what they like for a broken file
        number = getattr(error, "errno", None)
        if number in MACHINES_FAULT:
            raise CacheError(
                f"{picture} cannot be read ({os.strerror(number)}): end other programs on this machine, and start again"
            ) from error
        return _Decoded(_reason(error), isinstance(error, PictureTooLargeError), number not in PICTURES_OWN_FAULT)
    return _Decoded(notes=notes)


def _refuse_failing_disk(failed: Sequence[str], reason: str | None) -> None:
    """Raises a `CacheError` where so many pictures cannot be read that it is not about them."""
    if len(failed) >= MOST_FAILED:
        raise CacheError(
            f"{failed[0]} and {len(failed) - 1} other pictures: {reason}. Make it readable again, or copy the pictures "
            "to another"
        )


def _try_again(finished: Path, path: Path, bound: int, on_wait: Callable[[], None] | None) -> None:
    """Decodes the pictures of a finished cache that their disk could not read before, as far as it now can."""
    meta_json, failed_json = finished / "meta.json", finished / FAILED
    if not failed_json.exists() or json.loads(failed_json.read_text()) == []:
        return
    with _held(path, on_wait):
        meta, failed = json.loads(meta_json.read_text()), json.loads(failed_json.read_text())
        row_of = {picture: row for row, picture in enumerate(meta["paths"])}
        images = np.load(finished / "images.npy", mmap_mode="r+")
        for picture in failed:
            decoded = _decode_row(picture, images.shape[1], bound, images[row_of[picture]])
            if decoded.bad is None:
                meta["bad"].pop(picture, None)
            else:
                meta["bad"][picture] = decoded.bad
        images.flush()
        write_whole(meta_json, json.dumps(meta).encode())
        write_whole(failed_json, json.dumps([picture for picture in failed if picture in meta["bad"]]).encode())


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
    if isinstance(error, OSError) and error.errno not in PICTURES_OWN_FAULT:
        return f"cannot be read ({os.strerror(error.errno)}): the disk or share that it lies on fails"
    return f"broken picture: {error}"
