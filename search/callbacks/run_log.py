"""What the driver writes as reports arrive: `trials.jsonl`, `events.jsonl` and TensorBoard. Their only writer."""

from __future__ import annotations

import heapq
import io
import json
import math
import os
import re
import shutil
import time
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from ray.tune import Callback
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import HParam, Metric, hparams_config_pb, hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from results.pages.confusion_picture import confusion_picture
from results.records.confusion import load_confusion, save_confusion
from results.records.run_folder import TrialHistory
from search.stop import StopRequest
from trainables.checkpoints import BEST
from trainables.classifier import split_params
from trainables.config import TaskConfig, TrialConfig
from trainables.report import METRIC, EpochReport
from trainables.strict_json import RecordError

HPARAMS_METRICS = ("macro_f1/best", "loss/val", "accuracy/val", "progress/images_per_second")
"""What HParams shows of a trial."""
FLUSH_SECONDS = 1
"""How late a curve may be in TensorBoard."""
FAILURES_ALIKE = 3
"""So many trials failing for one reason, and none that did not, and the search ends: the fiftieth would too."""
SCALARS = {
    "train_loss": "loss/train",
    "val_loss": "loss/val",
    "val_macro_f1": "macro_f1/val",
    "train_macro_f1": "macro_f1/train",
    "best_val_macro_f1": "macro_f1/best",
    "val_accuracy": "accuracy/val",
    "lr": "progress/lr",
    "images_per_second": "progress/images_per_second",
    "seconds": "progress/seconds",
    "peak_memory_bytes": "progress/peak_memory_bytes",
    "gpu_utilization": "progress/gpu_utilization",
    "energy_joules": "progress/energy_joules",
    "compile_seconds": "progress/compile_seconds",
}
"""Field of the report to its tag in TensorBoard. HParams shows the last value of a tag: of `macro_f1/best` that is
the best."""


class Monitor(Callback):
    """Ray Tune's callback that keeps the run's logs; every line is flushed before the next epoch begins."""

    def __init__(
        self,
        run_dir: Path,
        task: TaskConfig,
        keep: int,
        stop: StopRequest,
        earlier: Sequence[TrialHistory] = (),
        handed_out_again: Container[str] = (),
    ) -> None:
        """Opens the logs for appending.

        A training without validation, whose weights are what it is for, counts as the best of all.

        Args:
            run_dir: The run's folder.
            task: What its trials share.
            keep: Trials whose best weights stay on disk.
            stop: Told when the logs cannot be written, or when all trials fail alike.
            handed_out_again: Ray's names of trials whose worker died before they began: nothing happened yet.
            earlier: Trials of earlier starts, from the logs. The curves of those that go on are drawn anew.
        """
        self._run_dir = run_dir
        self._handed_out_again = handed_out_again
        self._task = task
        self._keep = keep
        self._stop = stop
        self._boards: dict[str, EventFileWriter] = {}
        self._ended: dict[str, float] = {}
        self._cleared: set[str] = set()
        self._failures = [_kind(trial.reason or "") for trial in earlier if trial.status == "failed"]
        self._parts: dict[str, int] = {}
        self._logged = {trial.trial_id: max((r.epoch for r in trial.reports), default=0) for trial in earlier}
        self._scores = {trial.trial_id: trial.best.val_macro_f1 for trial in earlier if trial.best is not None}
        self._describe_hparams()
        for trial in earlier:
            if trial.reports and not trial.reports[-1].class_f1 and trial.status != "failed":
                self._scores[trial.trial_id] = math.inf
            if is_over(trial):
                self._ended[trial.trial_id] = self._scores.get(trial.trial_id, -math.inf)
            else:
                shutil.rmtree(run_dir / "tensorboard" / trial.trial_id, ignore_errors=True)
                self._start_board(trial.trial_id, asdict(trial.config))
                for report in trial.reports:
                    self._draw(trial.trial_id, report)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles callbacks for a restore of its own, and a run is resumed from its logs."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Notes that a trial begins, or goes on after it was interrupted or its worker died."""
        config, trial_id = split_params(trial.config)
        self._event(trial_id, "started", None, config=config)
        if trial_id not in self._boards:
            self._start_board(trial_id, config)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Notes an epoch; one that was noted before is a repetition after a restart, with the same numbers."""
        config, trial_id = split_params(trial.config)
        if "failure" in result:
            return self._end(trial_id, "failed", result["failure"], traceback=result.get("traceback"))
        if "not_begun" in result:
            self._close_board(trial_id)
            return self._event(trial_id, "interrupted", self._stop.why)
        report = EpochReport(**{name: result[name] for name in EpochReport.__dataclass_fields__})
        last = report.epoch >= num_epochs(trial, self._task.epochs)
        interrupted = trial_id in self._stop.ended
        stopped = bool(result.get("done")) and not last and not interrupted
        status = "finished" if last else "stopped" if stopped else "running"
        parts = result.get("micro_batches", 1)
        if parts != self._parts.setdefault(trial_id, 1):
            self._parts[trial_id] = parts
            self._event(trial_id, "micro_batches", f"out of memory with whole batches, goes on in {parts} parts")
        if report.epoch > self._logged.get(trial_id, 0):
            line = {"trial_id": trial_id, "time": _now(), "status": status, **report.to_json()}
            if trial_id not in self._logged:
                line["config"] = config
            self._append("trials.jsonl", line)
            self._draw(trial_id, report)
            self._logged[trial_id] = report.epoch
            self._scores[trial_id] = report.best_val_macro_f1 if report.class_f1 else math.inf
        else:
            self._event(trial_id, "repeated", None, epoch=report.epoch)
        if confusion := result.get("confusion"):
            self._keep_confusion(trial_id, confusion)
        if report.diverged:
            self._end(trial_id, "failed", f"diverged: {METRIC} is NaN after epoch {report.epoch}")
        elif last or stopped:
            self._end(trial_id, status, None)
        elif interrupted:
            self._event(trial_id, "interrupted", self._stop.why)
        return None

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Notes that a trial's worker died more often than it is retried."""
        if trial.trial_id in self._handed_out_again:
            return
        error = trial.get_error()
        words = str(error).strip().splitlines() if error is not None else []
        self._end(split_params(trial.config)[1], "failed", words[-1] if words else "worker died", traceback=str(error))

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Closes TensorBoard's files."""
        for trial_id in list(self._boards):
            self._close_board(trial_id)

    def prune(self) -> None:
        """Deletes all checkpoints of ended trials but the best weights of the best few."""
        self._cleared.clear()
        self._clear()

    def _clear(self) -> None:
        """The same, without another look at what has been deleted before: a thousand trials end a thousand times."""
        folder = Path(self._task.checkpoint_dir)
        kept = self._kept()
        for trial_id in self._ended.keys() - self._cleared:
            if trial_id in kept:
                for path in (folder / trial_id).glob("*"):
                    if path.name != BEST:
                        path.unlink(missing_ok=True)
            else:
                shutil.rmtree(folder / trial_id, ignore_errors=True)
                self._cleared.add(trial_id)

    def _kept(self) -> list[str]:
        """The best few of the trials that have ended, whose weights stay on disk."""
        scored = [(-score, trial_id) for trial_id, score in self._ended.items() if score > -math.inf]
        return [trial_id for _, trial_id in heapq.nsmallest(self._keep, scored)]

    def _end(self, trial_id: str, event: str, reason: str | None, **more: Any) -> None:
        if trial_id in self._ended:
            return
        self._ended[trial_id] = self._scores.get(trial_id, -math.inf)
        if math.isnan(self._ended[trial_id]):
            self._ended[trial_id] = -math.inf
        self._event(trial_id, event, reason, **more)
        self._draw_confusion(trial_id)
        self._close_board(trial_id)
        self._clear()
        if event == "failed":
            self._failures.append(_kind(reason or ""))
            if len(self._failures) == len(self._ended) == FAILURES_ALIKE and len(set(self._failures)) == 1:
                self._stop.ask(f"{FAILURES_ALIKE} failures alike from the first trial on: {reason}")

    def _event(self, trial_id: str, event: str, reason: str | None, **more: Any) -> None:
        self._append("events.jsonl", {"trial_id": trial_id, "time": _now(), "event": event, "reason": reason, **more})

    def _append(self, name: str, line: Mapping[str, Any]) -> None:
        """Appends a whole line or nothing; a disk that is full ends the search, with everything before intact."""
        path = self._run_dir / name
        size = path.stat().st_size if path.exists() else 0
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            if path.exists():
                os.truncate(path, size)
            self._stop.ask(f"{path} cannot be written: {error}")

    def _start_board(self, trial_id: str, config: Mapping[str, Any]) -> None:
        self._add(trial_id, [_event(hparams_pb(_words(config), trial_id=trial_id), step=0)])

    def _keep_confusion(self, trial_id: str, confusion: Sequence[Sequence[int]]) -> None:
        """Writes the confusion matrix of a trial's best epoch so far; a disk that is full ends the search."""
        try:
            save_confusion(self._confusion_path(trial_id), confusion, self._task.classes)
        except OSError as error:
            self._stop.ask(f"{self._confusion_path(trial_id)} cannot be written: {error}")

    def _draw_confusion(self, trial_id: str) -> None:
        """Shows the confusion matrix of a trial's best epoch in TensorBoard, with and without its diagonal."""
        try:
            classes, confusion = load_confusion(self._confusion_path(trial_id))
        except (OSError, RecordError):  # it ended before its first epoch
            return
        for tag, diagonal in (("confusion/percent", True), ("confusion/errors", False)):
            picture = confusion_picture(confusion, classes, title=f"Trial {trial_id}, best epoch", diagonal=diagonal)
            buffer = io.BytesIO()
            picture.save(buffer, format="png", compress_level=1)  # half the time of the default's
            image = Summary.Image(encoded_image_string=buffer.getvalue(), width=picture.width, height=picture.height)
            summary = Summary(value=[Summary.Value(tag=tag, image=image)])
            self._add(trial_id, [_event(summary, step=self._logged.get(trial_id, 0))])

    def _confusion_path(self, trial_id: str) -> Path:
        return self._run_dir / "confusion" / f"{trial_id}.csv"

    def _add(self, trial_id: str, events: Sequence[Event]) -> None:
        """Adds to a trial's curves; a disk that is full ends the search, and the curves can be drawn again."""
        try:
            board = self._board(trial_id)
            for event in events:
                board.add_event(event)
            board.flush()
        except OSError as error:
            self._boards.pop(trial_id, None)
            self._stop.ask(f"{self._run_dir / 'tensorboard'} cannot be written: {error}")

    def _describe_hparams(self) -> None:
        """Tells TensorBoard's HParams which numbers to show: of each trial the best, not the last."""
        folder = self._run_dir / "tensorboard"
        if not any(folder.glob("events.*")):
            folder.mkdir(parents=True, exist_ok=True)
            board = EventFileWriter(str(folder))
            names = [HParam(field.name) for field in fields(TrialConfig)]
            board.add_event(_event(hparams_config_pb(names, [Metric(tag) for tag in HPARAMS_METRICS]), step=0))
            board.close()

    def _close_board(self, trial_id: str) -> None:
        with suppress(OSError, KeyError):
            self._boards.pop(trial_id).close()

    def _board(self, trial_id: str) -> EventFileWriter:
        if trial_id not in self._boards:
            folder = self._run_dir / "tensorboard" / trial_id
            folder.mkdir(parents=True, exist_ok=True)
            self._boards[trial_id] = EventFileWriter(str(folder), flush_secs=FLUSH_SECONDS)
        return self._boards[trial_id]

    def _draw(self, trial_id: str, report: EpochReport) -> None:
        values = {tag: getattr(report, name) for name, tag in SCALARS.items()}
        if report.class_f1:
            values |= {f"class_f1/{name}": f1 for name, f1 in zip(self._task.classes, report.class_f1, strict=True)}
            values |= {f"attribute_macro_f1/{name}": f1 for name, f1 in report.attribute_macro_f1.items()}
        else:
            values = {tag: value for tag, value in values.items() if not tag.endswith(("/val", "/best"))}
        scalars = [scalar_pb(tag, float(value)) for tag, value in values.items() if value is not None]
        self._add(trial_id, [_event(scalar, step=report.epoch) for scalar in scalars])


def num_epochs(trial: Any, epochs: int) -> int:
    """Epochs that a trial of Ray's is to train: its own number, or the `epochs` of all."""
    own = trial.config.get("task", {})
    return own.get("last_epoch") or own.get("epochs") or epochs


def _kind(reason: str) -> str:
    """A reason without the numbers and paths in which failures of one kind differ."""
    return re.sub(r"/\S+|\d[\d.]*", "#", reason)


def is_over(trial: TrialHistory) -> bool:
    """Whether a trial has ended for good; one that was interrupted goes on when its run is resumed."""
    return trial.status in ("finished", "stopped", "failed")


def _event(summary: Summary, step: int) -> Event:
    return Event(wall_time=time.time(), step=step, summary=summary)


def _words(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, (bool, int, float)) else str(value) for name, value in config.items()}


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")
