"""The command that draws the demo data, as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_demo_data.py"
SMALL = ("--people", "6", "--eval-people", "1", "--height", "64")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_help_is_answered_from_another_folder(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--eval-people" in done.stdout


def test_it_says_where_how_many_and_how_long(tmp_path: Path) -> None:
    done = run(tmp_path, "demo", *SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("demo: 49 pictures, ")
    assert done.stdout.endswith(" seconds\n")
    assert len(list((tmp_path / "demo").rglob("*.jpg"))) == 49


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = run(tmp_path, "demo", "--people", "3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: people is 3: it must be at least 6\n"

    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    done = run(tmp_path, "taken", *SMALL)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith("taken exists and is no demo set: name another folder\n")
