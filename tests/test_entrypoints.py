"""Every command line answers --help from the root and from another folder, within 80 columns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENTRY_FILES = sorted(
    path.relative_to(ROOT)
    for folder in ("search", "results", "scripts")
    for path in (ROOT / folder).glob("*.py")
    if '__name__ == "__main__"' in path.read_text()
)


def test_there_are_entry_files() -> None:
    assert Path("search/run.py") in ENTRY_FILES
    assert Path("results/export.py") in ENTRY_FILES
    assert Path("scripts/make_demo_data.py") in ENTRY_FILES


@pytest.mark.parametrize("entry", ENTRY_FILES, ids=str)
def test_help_is_answered_from_another_folder_within_80_columns(entry: Path, tmp_path: Path) -> None:
    env = {**os.environ, "COLUMNS": "80", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, ROOT / entry, "--help"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert not done.stderr


@pytest.mark.parametrize("entry", ENTRY_FILES, ids=str)
def test_an_entry_file_starts_with_its_purpose_and_puts_the_root_first(entry: Path) -> None:
    text = (ROOT / entry).read_text()
    assert text.startswith('"""')
    guard = text.index("if not __package__:")
    first_of_ours = re.search(r"^(from|import) (search|spaces|trainables|results|scripts)\b", text, re.MULTILINE)
    assert first_of_ours is None or guard < first_of_ours.start()
