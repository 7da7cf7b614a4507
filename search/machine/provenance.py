"""With what a result was made: versions, commit, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from search.flags import ROOT
from trainables.machine.hardware import hardware_in_words

LIBRARIES = ("torch", "torchvision", "timm", "ray", "optuna", "torchmetrics")
"""Whose versions a record keeps."""
COMMIT = "MACROTUNE_COMMIT"
"""Environment variable by which an image says it, which has no repository."""
GIT_SECONDS = 30
"""How long git may take; a checkout on a network's disk that does not answer is a commit that is not known."""


def provenance() -> dict[str, Any]:
    """`versions`, `commit` and `hardware`, as the records have them."""
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "commit": _commit(),
        "hardware": hardware_in_words(),
    }


def _commit() -> str | None:
    """The commit of the code, with +dirty where tracked files differ from it; None outside a repository."""
    if told := os.environ.get(COMMIT):
        return told

    def git(*words: str) -> Any:
        said = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=GIT_SECONDS
        )
        return said.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != ROOT:
            return None  # installed into somebody else's repository
        commit = git("rev-parse", "--short=10", "HEAD")
        return commit + ("+dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
