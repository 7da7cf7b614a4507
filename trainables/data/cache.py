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
from filelock import FileLock
from PIL import Image

from trainables.atomic import torn_name
from trainables.data.decoding import MOST_GB, TooLargeError, decode, is_flat
from trainables.errors import UserError
from trainables.machine.cores import usable_cores
from trainables.machine.home import own_folder

FORMAT_VERSION = 2
"""Rises with every change of the pixels that a picture is decoded to."""
MARGIN = 8 / 7
"""Stored side over image size: the 224 of 256 of the usual centre crop (Krizhevsky et al. 2012, timm's .875)."""


HEADER_BYTES = 4096
"""More than numpy writes before the pixels, which are still zeros when a file is given its room."""
PICTURES_OWN_FAULT = (None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP)
"""Error numbers that speak of a picture; Pillow's own errors have none."""


class CacheError(UserError, OSError):
    """The cache cannot be built or read; the message names the folder and the way out."""


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
    flat: tuple[str, ...] = ()
    """Absolute paths of decoded pictures that are nearly one colour."""

    @classmethod
    def open(cls, path: Path) -> ImageCache:
        """Opens a finished cache.

        Raises:
            CacheError: There is none at `path`.
        """
        try:
            meta = json.loads((path / "meta.json").read_text())
            images = np.load(path / "images.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise CacheError(
                f"the picture cache {path} cannot be read ({error}). On a cluster --cache-dir must be a folder "
                "that every node sees; on one machine delete it and start again"
            ) from error
        return cls(
            path, images, {picture: row for row, picture in enumerate(meta["paths"])}, meta["bad"], tuple(meta["flat"])
        )


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
    most_gb: float = MOST_GB,
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
        most_gb: Most memory that decoding one picture may take, in GB; a larger one is bad.

    Raises:
        CacheError: The disk is too full or the folder cannot be written.
    """
    order = sorted(paths)
    path = cache_dir / _key(order, image_size, most_gb)
    if not (path / "meta.json").exists():
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                if not (path / "meta.json").exists():
                    threads = num_threads or usable_cores()
                    _decode_all(order, stored_size(image_size), path, on_progress, threads, most_gb)
        except OSError as error:
            if isinstance(error, CacheError):
                raise
            raise CacheError(
                f"cannot write the picture cache {path}: {error}. Give a folder that can be written by --cache-dir"
            ) from error
    return ImageCache.open(path)


def find_unreadable(paths: Sequence[str], most_gb: float = MOST_GB) -> dict[str, str]:
    """Decodes pictures at a small size and says which are no whole pictures, with reasons."""

    def reason(path: str) -> str | None:
        try:
            decode(path, 16, most_gb)
        except Exception as error:  # Pillow's plugins raise what they like for a broken file
            return _reason(error)
        return None

    with ThreadPoolExecutor(usable_cores()) as pool:
        return {path: found for path, found in zip(paths, pool.map(reason, paths), strict=True) if found is not None}


def _key(order: Sequence[str], image_size: int, most_gb: float) -> str:
    bound = "" if most_gb == MOST_GB else f" {most_gb}"
    digest = hashlib.sha256(f"{FORMAT_VERSION} {image_size}{bound}\n".encode())
    for picture in order:
        try:
            stat = os.stat(picture)  # noqa: PTH116 - half the time of Path.stat, for 20,000 files
            digest.update(f"{picture}\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
        except OSError:
            digest.update(f"{picture}\tmissing\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _decode_all(
    order: Sequence[str],
    side: int,
    path: Path,
    on_progress: Callable[[int, int], None] | None,
    num_threads: int,
    most_gb: float,
) -> None:
    for leftover in path.parent.glob(f"{path.name}.tmp-*"):  # of a process that was killed; we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    needed, free = len(order) * side * side * 3, shutil.disk_usage(path.parent).free
    if needed > 0.95 * free:
        raise CacheError(
            f"the picture cache needs {needed / 1e9:.2f} GB in {path.parent}, where {free / 1e9:.2f} GB are free. "
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

        def decode_row(row: int) -> str | None:
            try:
                images[row] = picture = decode(order[row], side, most_gb)
                if is_flat(picture):
                    flat.append(row)
            except Exception as error:  # Pillow's plugins raise what they like for a broken file
                if isinstance(error, MemoryError) or getattr(error, "errno", None) not in PICTURES_OWN_FAULT:
                    raise  # the machine's trouble, not the picture's: it must not be remembered as bad
                return _reason(error)
            return None

        bad: dict[str, str] = {}
        flat: list[int] = []
        with ThreadPoolExecutor(num_threads) as pool:
            for row, reason in enumerate(pool.map(decode_row, range(len(order)))):
                if reason is not None:
                    bad[order[row]] = reason
                if on_progress is not None:
                    on_progress(row + 1, len(order))
        images.flush()
        seconds = round(time.perf_counter() - started, 3)
        meta = {"paths": list(order), "bad": bad, "flat": [order[row] for row in sorted(flat)], "seconds": seconds}
        (temporary / "meta.json").write_text(json.dumps(meta))
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
    if isinstance(error, Image.UnidentifiedImageError):
        return "not a picture that Pillow can read"
    if isinstance(error, TooLargeError):
        return str(error)
    return f"broken picture: {error}"
