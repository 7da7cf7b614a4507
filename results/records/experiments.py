"""`results/experiments.csv`: one line a finished search, to be sorted, filtered and plotted by anyone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import filelock

from results.records.record import TRIAL_ENDS, BestTrial
from trainables.atomic import write_whole
from trainables.strict_json import RecordError

KEY = ("date", "run")
"""Columns that say which search a line is of: a search that is resumed keeps both."""
WINNER = ("val_macro_f1", "best_epoch", "config")
"""Columns that say which trial won: a test score is of that trial and of no other."""
TEST = ("test_trial", "test_macro_f1", "test_low", "test_high")
"""Columns that stay empty until the winner is trained again and tested."""
COLUMNS = (
    *KEY,
    "space",
    "backbone",
    "val_macro_f1",
    "best_epoch",
    "epochs_trained",
    "trials_asked",
    "trials_finished",
    "trials_stopped",
    "trials_failed",
    "wall_seconds",
    "device_seconds",
    "image_size",
    "batch_size",
    "seed",
    "pictures",
    "groups",
    "classes",
    "split_hash",
    "weights",
    "history",
    "commit",
    "hardware",
    *TEST,
    "config",
)

LOCK_SECONDS = 60.0
"""How long to wait for another search that writes the file, which takes well under a second."""


def append_experiment(path: Path, best: BestTrial) -> None:
    """Adds the line of a search that has ended, or replaces it if the search had ended before.

    A test score noted on the replaced line is kept if the same trial still wins. All other lines stay as they
    are, byte for byte and in their order. Two searches may write at the same time.

    Raises:
        RecordError: The file is not one of ours, and it is as it was; names the file and the way out.
        TimeoutError: Another search holds the lock.
        OSError: The file cannot be read or written.
    """
    with _lock(path):
        lines, newline = _read(path)
        row = _row(best)
        same = [index for index, line in enumerate(lines) if index and _key(line) == (row["date"], row["run"])]
        if same:
            old = _parsed(path, lines, same[0])
            if all(old[name] == row[name] for name in WINNER):
                row |= {name: old[name] for name in TEST}
            lines[same[0]] = _render(row.values(), newline)
            lines = [line for index, line in enumerate(lines) if index not in same[1:]]
        else:
            lines.append(_render(row.values(), newline))
        write_whole(path, b"".join(lines))


def note_retrained(
    path: Path, run: str, date: str, trial: str, value: float, low: float | None, high: float | None
) -> bool:
    """Writes the test score of the trial that re-training picked into the search's line.

    Args:
        path: The file.
        run: Name of the run.
        date: When its search began, as in `BestTrial.date`.
        trial: The trial that was picked, which need not be the search's best.
        value: Macro-F1 over the test side.
        low: Lower end of its confidence interval; None if it is not known.
        high: Upper end.

    Returns:
        Whether the search has a line; without one, nothing is written.

    Raises:
        RecordError: The file is not one of ours, and it is as it was; names the file and the way out.
        TimeoutError: A search holds the lock.
        OSError: The file cannot be read or written.
    """
    if not path.exists():
        return False
    with _lock(path):
        lines, newline = _read(path)
        for index, line in enumerate(lines):
            if index and _key(line) == (date, run):
                row = _parsed(path, lines, index)
                row |= dict(zip(TEST, (trial, *map(_number, (value, low, high))), strict=True))
                lines[index] = _render(row.values(), newline)
                write_whole(path, b"".join(lines))
                return True
    return False


def _lock(path: Path) -> filelock.BaseFileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_SECONDS)


def _read(path: Path) -> tuple[list[bytes], str]:
    """The lines of the file, each with its end, and how a line ends; the header alone if there is no file."""
    content = path.read_bytes() if path.exists() else b""
    if not content.strip():
        return [_render(COLUMNS, "\n")], "\n"
    lines = content.splitlines(keepends=True)
    newline = "\r\n" if lines[0].endswith(b"\r\n") else "\n"
    if _cells(lines[0].removeprefix(b"\xef\xbb\xbf")) != list(COLUMNS):  # spreadsheets put that mark first
        raise RecordError(
            f"{path} does not begin with the header of macrotune's experiments ({COLUMNS[0]},{COLUMNS[1]},…,"
            f"{COLUMNS[-1]}), so nothing was written to it: restore that line, with commas, or move the file away "
            "and the next search begins a new one"
        )
    if not lines[-1].endswith((b"\n", b"\r")):
        lines[-1] += newline.encode()
    return lines, newline


def _cells(line: bytes) -> list[str]:
    """The cells of one line; a byte that is not UTF-8 is carried through."""
    return next(csv.reader([line.decode(errors="surrogateescape").rstrip("\r\n")]), [])


def _key(line: bytes) -> tuple[str, ...]:
    return tuple(_cells(line)[: len(KEY)])


def _parsed(path: Path, lines: list[bytes], index: int) -> dict[str, str]:
    cells = _cells(lines[index])
    if len(cells) != len(COLUMNS):
        raise RecordError(
            f"{path}, line {index + 1} has {len(cells)} cells instead of {len(COLUMNS)}, so nothing was written: "
            "fix that line, or delete it"
        )
    return dict(zip(COLUMNS, cells, strict=True))


def _render(cells: Iterable[str], newline: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=newline).writerow(cells)
    return text.getvalue().encode(errors="surrogateescape")


def _row(best: BestTrial) -> dict[str, str]:
    values = {
        "date": best.date,
        "run": best.run,
        "space": best.space,
        "backbone": best.config.backbone,
        "val_macro_f1": best.report.val_macro_f1,
        "best_epoch": best.report.epoch,
        "epochs_trained": best.epochs_trained,
        **{f"trials_{name}": best.trials[name] for name in ("asked", *TRIAL_ENDS)},
        "wall_seconds": best.wall_seconds,
        "device_seconds": best.device_seconds,
        "image_size": best.task.image_size,
        "batch_size": best.task.batch_size,
        "seed": best.seed,
        "pictures": best.data.get("pictures"),
        "groups": best.data.get("groups"),
        "classes": len(best.task.classes),
        "split_hash": best.split_hash,
        "weights": best.weights,
        "history": best.history,
        "commit": best.commit,
        "hardware": best.hardware,
        **dict.fromkeys(TEST),
        "config": json.dumps(asdict(best.config), separators=(",", ":"), ensure_ascii=False),
    }
    return {name: _cell(values[name]) for name in COLUMNS}


def _cell(value: object) -> str:
    """One line of text, so that a search is one line of the file; empty for None."""
    if isinstance(value, float):
        return _number(value)
    return "" if value is None else " ".join(str(value).split())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}".rstrip("0").rstrip(".")
