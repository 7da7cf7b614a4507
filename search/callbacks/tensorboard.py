"""The curves, hyper-parameters and confusion matrices of a run's trials in TensorBoard."""

from __future__ import annotations

import io
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.plugins.hparams.summary_v2 import HParam, Metric, hparams_config_pb, hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from results.pages.confusion_picture import confusion_picture
from results.records.confusion import load_confusion
from results.records.run_folder import RunFolder
from results.records.trials import TrialHistory
from search.callbacks.listener import TrialListener
from search.stop import StopRequest
from trainables.config import TrialConfig
from trainables.report import Epoch, EpochReport, TrialStatus
from trainables.strict_json import RecordError

HPARAMS_METRICS = ("macro_f1/best", "loss/val", "accuracy/val", "progress/images_per_second")
"""What HParams shows of a trial."""
FIRST_HPARAMS = ("backbone", "cutmix", "dropout", "lr", "policy")
"""Columns that HParams opens on, which are five, the others behind them."""
FLUSH_SECONDS = 1
"""How late a curve may be in TensorBoard."""
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
    "trained_share": "progress/trained_share",
    "peak_memory_bytes": "progress/peak_memory_bytes",
    "gpu_utilization": "progress/gpu_utilization",
    "energy_joules": "progress/energy_joules",
    "compile_seconds": "progress/compile_seconds",
}
"""Field of the report to its tag in TensorBoard. HParams shows the last value of a tag: of `macro_f1/best` that is
the best."""


class TensorBoard(TrialListener):
    """Draws on as reports arrive; a disk that is full ends the search, and the curves can be drawn again."""

    def __init__(
        self, folder: RunFolder, classes: Sequence[str], stop: StopRequest, earlier: Sequence[TrialHistory] = ()
    ) -> None:
        """Draws the curves of earlier trials that go on anew, from the logs.

        Args:
            folder: The run's folder.
            classes: Names of the classes.
            stop: Told when something cannot be written.
            earlier: Trials of earlier starts.
        """
        self._folder = folder
        self._classes = classes
        self._stop = stop
        self._boards: dict[str, EventFileWriter] = {}
        self._titles: dict[str, str] = {}
        self._last_epochs: dict[str, int] = {}
        self._describe_hparams()
        for trial in earlier:
            if not trial.status.is_over:
                shutil.rmtree(folder.curves(trial.trial_id), ignore_errors=True)
                self.begins(trial.trial_id, asdict(trial.config))
                for report in trial.reports:
                    self._draw(trial.trial_id, report)

    def begins(self, trial_id: str, config: Mapping[str, Any]) -> None:
        """Opens a board with the hyper-parameters, if there is none."""
        self._titles[trial_id] = title_of(config)
        if trial_id not in self._boards:
            self._add(trial_id, [_event(hparams_pb(_words(config), trial_id=trial_id), step=0)])

    def reports(self, trial_id: str, config: Mapping[str, Any], epoch: Epoch, status: TrialStatus) -> None:
        """Draws the curves on."""
        self._draw(trial_id, epoch.report)

    def ends(self, trial_id: str, status: TrialStatus, reason: str | None, traceback: str | None) -> None:
        """Shows the confusion matrix of a trial that has ended for good, and closes its board."""
        if status.is_over:
            self._draw_confusion(trial_id)
        self._close(trial_id)

    def closes(self) -> None:
        """Closes all boards."""
        for trial_id in list(self._boards):
            self._close(trial_id)

    def _describe_hparams(self) -> None:
        """Tells TensorBoard's HParams which numbers to show: of each trial the best, not the last."""
        folder = self._folder.tensorboard
        if not any(folder.glob("events.*")):
            folder.mkdir(parents=True, exist_ok=True)
            board = EventFileWriter(str(folder))
            board.add_event(_event(_hparams_config(), step=0))
            board.close()

    def _draw(self, trial_id: str, report: EpochReport) -> None:
        values = {tag: getattr(report, name) for name, tag in SCALARS.items()}
        if report.best_val_score != report.best_val_macro_f1 and report.best_epoch:  # another metric is searched for
            values |= {"score/val": report.val_score, "score/best": report.best_val_score}
        if report.class_f1:
            values |= {f"class_f1/{name}": f1 for name, f1 in zip(self._classes, report.class_f1, strict=True)}
            values |= {f"attribute_macro_f1/{name}": f1 for name, f1 in report.attribute_macro_f1.items()}
        else:
            values = {tag: value for tag, value in values.items() if not tag.endswith(("/val", "/best"))}
        scalars = [scalar_pb(tag, float(value)) for tag, value in values.items() if value is not None]
        self._add(trial_id, [_event(scalar, step=report.epoch) for scalar in scalars])
        self._last_epochs[trial_id] = report.epoch

    def _draw_confusion(self, trial_id: str) -> None:
        """Shows the confusion matrix of a trial's best epoch, with and without its diagonal."""
        try:
            classes, confusion = load_confusion(self._folder.confusion_csv(trial_id))
        except (OSError, RecordError):  # it ended before its first epoch
            return
        for tag, diagonal in (("confusion/percent", True), ("confusion/errors", False)):
            picture = confusion_picture(confusion, classes, title=f"Trial {trial_id}, best epoch", diagonal=diagonal)
            buffer = io.BytesIO()
            picture.save(buffer, format="png", compress_level=1)  # half the time of the default's
            image = Summary.Image(encoded_image_string=buffer.getvalue(), width=picture.width, height=picture.height)
            summary = Summary(value=[Summary.Value(tag=tag, image=image)])
            self._add(trial_id, [_event(summary, step=self._last_epochs.get(trial_id, 0))])

    def _add(self, trial_id: str, events: Sequence[Event]) -> None:
        """Adds to a trial's board what can be read at once."""
        try:
            board = self._board(trial_id)
            for event in events:
                board.add_event(event)
            board.flush()
        except OSError as error:
            self._boards.pop(trial_id, None)
            self._stop.ask(f"{self._folder.tensorboard} cannot be written: {error}")

    def _board(self, trial_id: str) -> EventFileWriter:
        if trial_id not in self._boards:
            folder = self._folder.curves(trial_id, self._titles.get(trial_id, ""))
            folder.mkdir(parents=True, exist_ok=True)
            self._boards[trial_id] = EventFileWriter(str(folder), flush_secs=FLUSH_SECONDS)
        return self._boards[trial_id]

    def _close(self, trial_id: str) -> None:
        with suppress(OSError, KeyError):
            self._boards.pop(trial_id).close()


def title_of(config: Mapping[str, Any]) -> str:
    """What a trial is about, in the few words that fit beside a curve's colour: `lite0 lr 1.7e-3`."""
    backbone = re.sub(r"[^\w.+-]+", "_", str(config.get("backbone", "")))
    backbone = backbone.removeprefix("tf_").removeprefix("efficientnet_")
    lr = config.get("lr")
    if not isinstance(lr, float):
        return backbone
    digits, _, exponent = f"{lr:.1e}".partition("e")
    return f"{backbone} lr {digits.removesuffix('.0')}e{int(exponent)}"


def _event(summary: Summary, step: int) -> Event:
    return Event(wall_time=time.time(), step=step, summary=summary)


def _hparams_config() -> Any:
    """What HParams shows. It sorts what differs before the rest, and opens on the first five."""
    names = [HParam(field.name) for field in fields(TrialConfig)]
    summary = hparams_config_pb(names, [Metric(tag) for tag in HPARAMS_METRICS])
    told = summary.value[0].metadata.plugin_data
    config = HParamsPluginData.FromString(told.content)
    for info in config.experiment.hparam_infos:
        info.differs = info.name in FIRST_HPARAMS
    told.content = config.SerializeToString()
    return summary


def _words(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, (bool, int, float)) else str(value) for name, value in config.items()}
