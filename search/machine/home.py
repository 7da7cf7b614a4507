"""A command's HOME where the user has none that can be written: Ray and other libraries do not begin without one."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from trainables.machine.home import can_write, known_home, private_folder

CACHES = {"HF_HOME": ".cache/huggingface", "TORCH_HOME": ".cache/torch"}
"""Caches in a HOME that can be read though not written, by the variable that says where they are."""


def ensure_home() -> str:
    """Gives this process, and those it starts, a HOME and a user's name if they have none; again does nothing.

    Returns:
        What the user should know; empty if everything was there.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):  # no entry in the list of users
        os.environ["USER"] = f"uid{os.getuid()}"
    home = known_home()
    if home is not None and (can_write(home / ".ray") or (home / ".ray" / "auth_token").exists()):
        return ""
    os.environ["HOME"] = str(private_folder())
    if home is None:
        return f"HOME is not set: what belongs there goes to {os.environ['HOME']}. Set HOME to keep it elsewhere"
    for name, cache in CACHES.items():
        if (home / cache).is_dir():
            os.environ.setdefault(name, str(home / cache))
    return (
        f"HOME, {home}, cannot be written: what belongs there goes to {os.environ['HOME']}. Set HOME to keep it "
        "elsewhere"
    )


def socket_folder(longest: int) -> Path | None:
    """A folder for sockets whose paths are at most so long; None where that for temporary files will do.

    Raises:
        FileNotFoundError: No folder can be written whose name is short enough.
    """
    import tempfile

    asked = os.environ.get("RAY_TMPDIR")
    if len(os.fsencode(asked or tempfile.gettempdir())) <= longest:
        return None
    for folder in map(Path, ("/tmp", "/var/tmp", "/dev/shm")):
        if asked is None and folder.is_dir() and can_write(folder):
            return folder
    raise FileNotFoundError(asked or tempfile.gettempdir())
