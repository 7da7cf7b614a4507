"""Where a user's own files go: HOME, or a private folder for temporary files where that cannot be had or written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def own_folder(wanted: Path) -> Path:
    """The folder in HOME if it is there or can be made, else one of the same name that is private to this user.

    Args:
        wanted: Relative to HOME, such as `.cache`.
    """
    home = known_home()
    if home is not None and can_write(home / wanted):
        return home / wanted
    return private_folder() / wanted


def known_home() -> Path | None:
    """HOME; None where it is not set and the user has no entry in the list of users, as in many containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def can_write(path: Path) -> bool:
    """Whether this process may write into a folder, or make it if it is not there."""
    existing = next((each for each in (path, *path.parents) if each.exists()), None)
    return existing is not None and existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def private_folder() -> Path:
    """A folder for temporary files that is this user's alone, the same at each call if nobody has taken its name."""
    folder = Path(tempfile.gettempdir()) / f"macrotune-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if folder.is_symlink() or found.st_uid != os.getuid():
            raise FileExistsError(folder)
    except OSError:  # somebody else's
        return Path(tempfile.mkdtemp(prefix="macrotune-"))
    return folder
