"""The folder of a run: where everything lies in it, and every line of its logs.

`run.json` (a `SearchRun`) says how the run was started; a resume writes it anew, with more trials if it was asked for
them. `trials.jsonl` holds a line per epoch and `events.jsonl` a line per turn in a trial's life. Both are written while
the search runs, and a kill may cut their last line short: a broken last line is passed over, and a broken line anywhere
else is an error. The folder of a re-training has the same logs and no `run.json`.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from results.records.record import SearchRun
from trainables.atomic import write_whole
from trainables.errors import UserError
from trainables.report import EpochReport, TrialStatus
from trainables.strict_json import load_object, parse

WAY_OUT = "delete that line and try again, or start a new search if another version wrote the file"
"""What to do about a line that cannot be read."""


class RunError(UserError):
    """A run folder is missing or not readable; names the file, the line and the way out."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a run's log, of which the keys that all lines share are checked."""

    where: str
    """File and number, for a message."""
    trial_id: str
    """Whose line it is."""
    time: datetime
    """When it was written, with its offset."""
    values: dict[str, Any]
    """All of it."""


@dataclass(frozen=True)
class RunFolder:
    """The one owner of a run's paths and of the lines of its logs."""

    path: Path
    """The folder itself."""

    @property
    def run_json(self) -> Path:
        """How the run was started, a `SearchRun`."""
        return self.path / "run.json"

    @property
    def split_csv(self) -> Path:
        """The side of every picture."""
        return self.path / "split.csv"

    @property
    def parts_py(self) -> Path:
        """A copy of the user's own parts, where there are any."""
        return self.path / "parts.py"

    @property
    def corrections_csv(self) -> Path:
        """A copy of the corrections of the data, where there are any."""
        return self.path / "corrections.csv"

    @property
    def trials_jsonl(self) -> Path:
        """A line per epoch."""
        return self.path / "trials.jsonl"

    @property
    def events_jsonl(self) -> Path:
        """A line per turn in a trial's life."""
        return self.path / "events.jsonl"

    @property
    def study_journal(self) -> Path:
        """Optuna's study, derived from the trials."""
        return self.path / "study.journal"

    @property
    def earlier_study_db(self) -> Path:
        """The study of a run that an earlier version made, as an SQLite file."""
        return self.path / "study.db"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's files, a folder per trial."""
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        """What trials go on from and their best weights, a folder per trial."""
        return self.path / "checkpoints"

    @property
    def predictions(self) -> Path:
        """Probabilities of the validation side after each epoch, a folder per trial, where they are kept."""
        return self.path / "predictions"

    @property
    def answers(self) -> Path:
        """Validation answers of every trial's best epoch, a file per trial."""
        return self.path / "answers"

    @property
    def report_html(self) -> Path:
        """The page about the run."""
        return self.path / "report.html"

    @property
    def retrained(self) -> RunFolder:
        """Where the best of the run is trained again."""
        return RunFolder(self.path / "retrained")

    @property
    def refit(self) -> RunFolder:
        """Where what the search found is trained further, with the pictures of validation as well."""
        return RunFolder(self.path / "refit")

    @property
    def model(self) -> Path:
        """What the search found, ready to answer."""
        return self.path / "model"

    @property
    def found_json(self) -> Path:
        """What the best score is worth and what the model is made of, a `Found`."""
        return self.path / "found.json"

    @property
    def ray(self) -> Path:
        """What Ray writes for itself while trials run."""
        return self.path / "ray"

    @property
    def lock(self) -> Path:
        """Held by the process that is at the run."""
        return self.path / ".lock"

    @property
    def presence(self) -> Path:
        """Tells which process is at the run, while one is."""
        return self.path / "presence.json"

    def confusion_csv(self, trial_id: str) -> Path:
        """Confusion matrix of a trial's best epoch."""
        return self.path / "confusion" / f"{trial_id}.csv"

    def answers_npz(self, trial_id: str) -> Path:
        """Validation answers of a trial: the best epoch's probabilities, and what it chose in every epoch."""
        return self.answers / f"{trial_id}.npz"

    def curves(self, trial_id: str, title: str = "") -> Path:
        """TensorBoard's files of a trial: the folder it has, or else one by its name and a title.

        Args:
            trial_id: Name of the trial in its run.
            title: What it is about, for people who pick curves by the names of folders.
        """
        plain = self.tensorboard / trial_id
        titled = next(iter(sorted(self.tensorboard.glob(f"{glob.escape(trial_id)} *"))), None)
        if plain.exists() or titled is None:
            return self.tensorboard / f"{trial_id} {title}" if title and not plain.exists() else plain
        return titled

    def append_epoch(
        self, trial_id: str, status: TrialStatus, report: EpochReport, config: Mapping[str, Any] | None = None
    ) -> None:
        """Writes the line of an epoch, the whole line or nothing.

        Args:
            trial_id: Name of the trial in its run.
            status: Its state after the epoch.
            report: The epoch's numbers.
            config: Its configuration, with its first line.

        Raises:
            OSError: It cannot be written; names the file.
        """
        line = {"trial_id": trial_id, "time": _now(), "status": status, **report.to_json()}
        _append(self.trials_jsonl, line if config is None else {**line, "config": dict(config)})

    def append_event(self, trial_id: str, event: str, reason: str | None = None, **more: Any) -> None:
        """Writes the line of a turn in a trial's life, the whole line or nothing.

        Args:
            trial_id: Name of the trial in its run.
            event: What happened: a `TrialStatus` that it ends in, or another word.
            reason: Why.
            more: What else there is to say, as JSON values.

        Raises:
            OSError: It cannot be written; names the file.
        """
        line = {"trial_id": trial_id, "time": _now(), "event": event, "reason": reason, **more}
        _append(self.events_jsonl, line)

    def epochs(self) -> list[Line]:
        """The lines of all epochs; after a resume an epoch may stand there twice, and then its last line counts.

        Raises:
            RunError: A line is corrupt; names the file, the line and the way out.
        """
        return _read_lines(self.trials_jsonl)

    def events(self) -> list[Line]:
        """The lines of all events.

        Raises:
            RunError: A line is corrupt; names the file, the line and the way out.
        """
        return _read_lines(self.events_jsonl)

    def cut_torn_lines(self) -> None:
        """Takes away last lines that a kill cut short, so that the next ones do not continue them."""
        for path in (self.trials_jsonl, self.events_jsonl):
            content = path.read_bytes() if path.exists() else b""
            if content and not content.endswith(b"\n"):
                os.truncate(path, content.rfind(b"\n") + 1)

    def forget_trial(self, trial_id: str) -> None:
        """Takes a trial out of the logs and its files off the disk, so that it starts anew."""
        self.cut_torn_lines()
        for files in (self.checkpoints / trial_id, self.curves(trial_id), self.predictions / trial_id):
            shutil.rmtree(files, ignore_errors=True)
        self.answers_npz(trial_id).unlink(missing_ok=True)
        for path in (self.trials_jsonl, self.events_jsonl):
            if path.exists():
                lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
                write_whole(path, "".join(line for line in lines if json.loads(line)["trial_id"] != trial_id).encode())

    def clear_ray(self) -> None:
        """Deletes what Ray wrote for itself: a run is resumed from its own logs."""
        shutil.rmtree(self.ray, ignore_errors=True)


def load_run(run_dir: Path) -> SearchRun:
    """Reads how a search was started.

    Raises:
        RunError: There is no such run.
        RecordError: `run.json` is corrupt.
    """
    path = RunFolder(run_dir).run_json
    if not path.is_file():
        siblings = sorted(found.parent.name for found in run_dir.parent.glob(f"*/{path.name}"))
        problem = f"holds no {path.name}, so it is not a run" if run_dir.is_dir() else "does not exist"
        raise RunError(
            f"{run_dir} {problem}: name one of the runs in {run_dir.parent} "
            f"({', '.join(siblings) or 'none'}), or start a search with search/run.py"
        )
    return SearchRun.from_json(load_object(path), str(path))


RUNS = Path("runs")
"""Where runs go unless something else is said."""
ADDRESS_FILE = "address.txt"
"""In a folder of runs that is mirrored: where to."""


def run_around(path: Path) -> Path | None:
    """The folder of the run that a model lies in, at most two folders above it; None for a model that lies elsewhere.

    Args:
        path: Folder of the model; absolute where it is found.
    """
    folder = path.resolve()
    return next((each for each in (folder, *list(folder.parents)[:2]) if RunFolder(each).run_json.is_file()), None)


def address_of(runs_dir: Path) -> str | None:
    """Where a folder of runs is mirrored to, as in `s3://bucket/folder`; None for a folder like any other."""
    with contextlib.suppress(OSError):
        return (runs_dir / ADDRESS_FILE).read_text().strip() or None
    return None


def storage_flag(runs_dir: Path) -> str:
    """The flag that a command needs to find the runs of a folder, with a space before it; empty for the usual one."""
    if runs_dir == RUNS.resolve():
        return ""
    return f" --storage {shlex.quote(address_of(runs_dir) or str(runs_dir))}"


def budget_flag(time_budget: str | None) -> str:
    """The flag that gives a command so much time, with a space before it; empty for none."""
    return f" --time-budget {''.join(time_budget.split())}" if time_budget else ""  # 15 m is typed as 15m


def resume_command(run_dir: Path) -> str:
    """What to type to go on with a run."""
    return f"python search/run.py --resume {shlex.quote(run_dir.name)}{storage_flag(run_dir.parent)}"


def retrain_command(run_dir: Path) -> str:
    """What to type to train the best of a run again."""
    return f"python scripts/retrain.py --run {shlex.quote(run_dir.name)}{storage_flag(run_dir.parent)}"


def _append(path: Path, line: Mapping[str, Any]) -> None:
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
    except OSError as error:
        if path.exists():
            os.truncate(path, size)
        raise OSError(f"{path} cannot be written: {error}") from error


def _read_lines(path: Path) -> list[Line]:
    if not path.is_file():
        return []
    rows = path.read_bytes().rstrip(b"\n").split(b"\n")
    lines = []
    for number, row in enumerate(rows, start=1):
        if not row.strip():
            continue
        where = f"{path}, line {number}"
        try:
            values = parse(row)
        except (ValueError, RecursionError) as error:
            if number == len(rows):
                break  # cut short by a kill
            raise RunError(f"{where} is not valid JSON ({error}): {WAY_OUT}") from error
        lines.append(_line(values, where))
    return lines


def _line(values: Any, where: str) -> Line:
    if not isinstance(values, dict):
        raise RunError(f"{where} is no JSON object: {WAY_OUT}")
    trial_id, time = values.get("trial_id"), values.get("time")
    if not isinstance(trial_id, str) or not trial_id:
        raise RunError(f"{where}: trial_id is {trial_id!r}, it must be a text: {WAY_OUT}")
    try:
        moment = datetime.fromisoformat(time)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RunError(f"{where}: time is {time!r}, it must be ISO 8601 with its offset: {WAY_OUT}")
    return Line(where=where, trial_id=trial_id, time=moment, values=values)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")
