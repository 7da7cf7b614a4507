"""Deletes a run: never while somebody is at it, and never without saying what else is lost with it."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from results.records.presence import who_is_at
from results.records.record import load_record
from results.records.retrained import load_retrained
from results.records.run_folder import RunError, RunFolder
from results.records.summary import size_on_disk
from trainables.atomic import torn_name
from trainables.errors import UserError
from trainables.sizes import size_in_words
from trainables.strict_json import RecordError


def what_is_lost(run_dir: Path, records_dir: Path) -> list[str]:
    """Sentences about all that goes with a run, the table and the history among what they are about.

    Args:
        run_dir: Folder of the run.
        records_dir: Folder of the best records (`results/best`), whose rows may be of this run.

    Raises:
        UserError: It is no run.
    """
    folder = _existing(run_dir)
    sentences = [f"{run_dir}: {size_in_words(size_on_disk(run_dir))} are deleted for good"]
    for path, what in ((folder.model, "model"), (folder.retrained.path, "re-trained model")):
        if (path / "model.safetensors").is_file():
            sentences.append(f"its {what} goes too: copy {path} first if you want it")
    for path in sorted(records_dir.glob("*.json")):
        with contextlib.suppress(RecordError, OSError):
            if load_record(path).run == run_dir.name:
                sentences.append(
                    f"the table's row for {path.stem} is of this run: the row and {path} stay, but re-training it then "
                    "knows its best trial alone"
                )
    for path in sorted((records_dir.parent / "retrained").glob("*.json")):
        with contextlib.suppress(RecordError, OSError):
            if load_retrained(path).run == run_dir.name:
                sentences.append(f"the test score of {path.stem} is of this run: it stays, its model does not")
    sentences.append("what later searches learn from it stays, in the history beside the runs")
    return sentences


def remove_run(run_dir: Path) -> None:
    """Deletes the folder of a run; it is no run any more from one moment to the next.

    Raises:
        UserError: It is no run, or a process is at it.
    """
    folder = _existing(run_dir)
    with contextlib.ExitStack() as stack:
        for part in (folder, folder.retrained):
            if not part.path.is_dir():
                continue
            if who_is_at(part.presence) is not None:
                raise UserError(_busy(run_dir))
            lock = FileLock(part.lock)
            try:
                stack.enter_context(lock.acquire(timeout=0))
            except Timeout as error:
                raise UserError(_busy(run_dir)) from error
        gone = torn_name(run_dir.with_name(f".{run_dir.name}"))
        run_dir.rename(gone)
    shutil.rmtree(gone)


def _existing(run_dir: Path) -> RunFolder:
    folder = RunFolder(run_dir)
    if run_dir.is_symlink():
        raise RunError(f"{run_dir} is a link: delete what it leads to by hand")
    if not folder.run_json.is_file():
        raise RunError(f"{run_dir} is no run (it holds no run.json): python scripts/runs.py lists the runs")
    return folder


def _busy(run_dir: Path) -> str:
    return f"{run_dir} is in use by another process: stop that one first"
