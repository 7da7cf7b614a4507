"""With what a result was made: versions, commit, machine."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from typing import Any

from search.flags import ROOT
from trainables.machine.hardware import hardware_in_words

LIBRARIES = ("torch", "torchvision", "timm", "ray", "optuna", "torchmetrics")
"""Whose versions a record keeps."""
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

    def git(*words: str) -> Any:
        said = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=GIT_SECONDS
        )
        return said.stdout.strip()

    try:
        commit = git("rev-parse", "--short=10", "HEAD")
        return commit + ("+dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
