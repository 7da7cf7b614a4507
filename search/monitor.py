"""What the driver writes as reports arrive: `trials.jsonl`, `events.jsonl` and TensorBoard. Their only writer."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ray.tune import Callback
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from search.stop import StopRequest
from trainables.report import METRIC, EpochReport

FLUSH_SECONDS = 1
"""How late a curve may be in TensorBoard."""
SCALARS = {
    "train_loss": "loss/train",
    "val_loss": "loss/val",
    "val_macro_f1": "macro_f1/val",
    "best_val_macro_f1": "macro_f1/best",
    "val_accuracy": "accuracy/val",
    "lr": "progress/lr",
    "images_per_second": "progress/images_per_second",
    "seconds": "progress/seconds",
    "peak_memory_bytes": "progress/peak_memory_bytes",
    "gpu_utilization": "progress/gpu_utilization",
}
"""Field of the report to its tag in TensorBoard. HParams shows the last value of a tag: of `macro_f1/best` that is
the best."""


class Monitor(Callback):
    """Ray Tune's callback that keeps the run's logs; every line is flushed before the next epoch begins."""

    def __init__(self, run_dir: Path, classes: tuple[str, ...], max_epochs: int, stop: StopRequest) -> None:
        """Opens the logs for appending."""
        self._run_dir = run_dir
        self._classes = classes
        self._max_epochs = max_epochs
        self._stop = stop
        self._boards: dict[str, EventFileWriter] = {}
        self._ended: set[str] = set()
        self._seen: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles callbacks for a restore of its own, and a run is resumed from its logs."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Notes that a trial begins, or goes on after its worker died."""
        config, trial_id = split_params(trial.config)
        self._event(trial_id, "started", None, config=config)
        board = self._board(trial_id)
        board.add_event(_event(hparams_pb(_words(config), trial_id=trial_id), step=0))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        """Notes an epoch."""
        config, trial_id = split_params(trial.config)
        if "failure" in result:
            return self._end(trial_id, "failed", result["failure"], traceback=result.get("traceback"))
        report = EpochReport(**{name: result[name] for name in EpochReport.__dataclass_fields__})
        last = report.epoch >= self._max_epochs
        interrupted = self._stop.reason is not None and not last
        stopped = bool(result.get("done")) and not last and not interrupted
        status = "finished" if last else "stopped" if stopped else "running"
        line = {"trial_id": trial_id, "time": _now(), "status": status, **report.to_json()}
        if trial_id not in self._seen:
            line["config"] = config
            self._seen.add(trial_id)
        self._append("trials.jsonl", line)
        self._draw(trial_id, report)
        if report.val_macro_f1 != report.val_macro_f1:
            self._end(trial_id, "failed", f"diverged: {METRIC} is NaN after epoch {report.epoch}")
        elif last or stopped:
            self._end(trial_id, status, None)
        elif interrupted:
            self._end(trial_id, "interrupted", self._stop.reason)
        return None

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Notes that a trial's worker died more often than it is retried."""
        error = trial.get_error()
        reason = str(error).strip().splitlines()[-1] if error is not None and str(error).strip() else "worker died"
        self._end(split_params(trial.config)[1], "failed", reason, traceback=str(error))

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Closes TensorBoard's files."""
        for board in self._boards.values():
            board.close()
        self._boards.clear()

    def _end(self, trial_id: str, event: str, reason: str | None, **more: Any) -> None:
        if trial_id not in self._ended:
            self._ended.add(trial_id)
            self._event(trial_id, event, reason, **more)
            if trial_id in self._boards:
                self._boards.pop(trial_id).close()

    def _event(self, trial_id: str, event: str, reason: str | None, **more: Any) -> None:
        self._append("events.jsonl", {"trial_id": trial_id, "time": _now(), "event": event, "reason": reason, **more})

    def _append(self, name: str, line: Mapping[str, Any]) -> None:
        with (self._run_dir / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")

    def _board(self, trial_id: str) -> EventFileWriter:
        if trial_id not in self._boards:
            folder = self._run_dir / "tensorboard" / trial_id
            folder.mkdir(parents=True, exist_ok=True)
            self._boards[trial_id] = EventFileWriter(str(folder), flush_secs=FLUSH_SECONDS)
        return self._boards[trial_id]

    def _draw(self, trial_id: str, report: EpochReport) -> None:
        board = self._board(trial_id)
        values = {tag: getattr(report, name) for name, tag in SCALARS.items()}
        values |= {f"class_f1/{name}": f1 for name, f1 in zip(self._classes, report.class_f1, strict=True)}
        for tag, value in values.items():
            if value is not None:
                board.add_event(_event(scalar_pb(tag, float(value)), step=report.epoch))
        board.flush()


def split_params(params: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The configuration and the trial_id in what a trial is given."""
    return {name: value for name, value in params.items() if name != "trial_id"}, params["trial_id"]


def _event(summary: Summary, step: int) -> Event:
    return Event(wall_time=time.time(), step=step, summary=summary)


def _words(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, (bool, int, float)) else str(value) for name, value in config.items()}


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")
