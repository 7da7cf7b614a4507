"""Which models have been scored on which test side, so that nobody tunes on one in silence."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import filelock

from results.records.run_folder import run_around
from trainables.atomic import write_whole
from trainables.csv_text import csv_text
from trainables.strict_json import RecordError, load_object

COLUMNS = ("date", "test_side", "weights_sha256", "run", "model")
LEDGER = "test_scores.csv"
"""In the folder `results` beside a project's README."""
LOCK_SECONDS = 60.0


def side_hash(pictures: Iterable[tuple[str, str, str]]) -> str:
    """Twelve hex digits of a side's pictures (path, label, group); the same wherever the pictures lie."""
    digest = sha256()
    for label, group, name in sorted((label, group, Path(path).name) for path, label, group in pictures):
        digest.update(f"{label}\0{group}\0{name}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:12]


def ledger_of(model_dir: Path, readme: Path | None = None) -> Path:
    """The list of a project's scorings: one, whichever command scores, and from whichever folder.

    Args:
        model_dir: Folder of the model, which may lie in that of its run: that names the README of its project.
        readme: As asked for; None for that one, or else README.md in the current folder.
    """
    if readme is None:
        run = run_around(model_dir)
        readme = None if run is None else readme_of(run)
    return (readme or Path("README.md")).expanduser().resolve().parent / "results" / LEDGER


def readme_of(run_dir: Path) -> Path | None:
    """The README that a run's row is in, if its folder is still there.

    Raises:
        RecordError: `run.json` is broken.
    """
    options = load_object(run_dir / "run.json").get("options")
    named = options.get("readme") if isinstance(options, dict) else None
    readme = Path(named) if isinstance(named, str) else run_dir.parent / "README.md"
    return readme if readme.parent.is_dir() else None


def note_scoring(path: Path, *, date: str, test_side: str, weights_sha256: str, run: str, model: str) -> int:
    """Writes down, before a model is scored, that it is; the same model twice is one scoring.

    Returns:
        How many different models have been scored on this test side, this one included.

    Raises:
        RecordError: The file holds something else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_SECONDS):
        rows = _read(path)
        known = {row[2] for row in rows if row[1] == test_side}
        if weights_sha256 not in known:
            rows.append([date, test_side, weights_sha256, run, model])
            write_whole(path, csv_text([list(COLUMNS), *rows]).encode())
    return len(known | {weights_sha256})


def _read(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    rows = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
    if not rows or tuple(rows[0]) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise RecordError(f"{path} is no list of scorings ({','.join(COLUMNS)}): restore it, or move it away")
    return rows[1:]
