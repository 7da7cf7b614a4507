"""A page that is served for a test, and the browser that looks at it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here, and nothing may be downloaded")


def start(storage: Path, *flags: str) -> tuple[subprocess.Popen[str], str]:
    """Serves the runs of a folder at a free port; returns the process and its address."""
    words = ["--storage", str(storage), "--readme", str(storage.parent / "README.md"), "--port", "0"]
    words += ["--cache-dir", str(storage.parent / "cache"), "--roots", str(storage.parent), *flags]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "search" / "serve.py"), *words],
        cwd=storage.parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found is not None
    return process, found[0]
