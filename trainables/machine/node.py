"""What a node of a cluster says of itself before trials run on it: quick to ask, as neither torch nor timm is imported.

It runs there, where of this project only `trainables` is.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trainables.machine.hardware import hardware_in_words
from trainables.machine.memory import available_bytes

LIBRARIES = ("ray", "torch", "timm")
"""Whose versions decide whether a trial gives the same numbers on each node, beside Python's."""


def say_of_itself(marks: Mapping[str, Mapping[str, str]], sizes: Mapping[str, int], room_for: str) -> dict[str, Any]:
    """Looks around on the machine that it runs on.

    Args:
        marks: By name of a folder, the files that the driver has put there, and what it has written into them.
        sizes: Files that trials read, and their bytes on the driver's machine.
        room_for: Path of a folder, there or not, on whose disk the free room is asked for.

    Returns:
        As strict JSON values: `sees`, which of the folders are the driver's; `lacks`, the first files that are not
        there or of another size; `versions`, `hardware`, `host`, `free_memory_bytes` and `free_disk_bytes`.
    """
    return {
        "sees": {name: all(_reads(path, words) for path, words in files.items()) for name, files in marks.items()},
        "lacks": list(missing_files(sizes))[:3],
        "versions": versions(),
        "hardware": hardware_in_words(every_gpu=True),
        "host": socket.gethostname(),
        "free_memory_bytes": available_bytes(),
        "free_disk_bytes": _free_disk_bytes(Path(room_for)),
    }


def versions() -> dict[str, str]:
    """Those of Python and `LIBRARIES` on this machine; none for a library that is not there."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def missing_files(sizes: Mapping[str, int]) -> Iterable[str]:
    """Files that are not on this machine, or have other sizes than these, in bytes."""
    for path, size in sizes.items():
        try:
            if os.stat(path).st_size == size:  # noqa: PTH116 - thousands of paths as texts
                continue
        except OSError:
            pass
        yield path


def _reads(path: str, words: str) -> bool:
    with suppress(OSError):
        return Path(path).read_text() == words
    return False


def _free_disk_bytes(folder: Path) -> int:
    for path in (folder, *folder.parents):
        with suppress(OSError):
            return shutil.disk_usage(path).free
    return 0
