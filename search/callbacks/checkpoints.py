"""Which weights stay on disk: those of the best few trials, and what running ones go on from."""

from __future__ import annotations

import heapq
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from results.records.front import undominated
from results.records.trials import TrialHistory
from search.callbacks.listener import TrialListener
from search.lengths import long_together
from trainables.atomic import TORN
from trainables.checkpoints import BEST
from trainables.config import TrialConfig
from trainables.report import Epoch, TrialStatus

WRITING_SECONDS = 600.0
"""A draft that has not grown for so long was left by a process that died."""


class CheckpointKeeper(TrialListener):
    """Deletes the checkpoints of trials that have ended, but for the best weights of the best few, and of a front.

    Long trainings of one configuration, which are to answer together, all stand where the best of them does. A training
    without validation, whose weights are what it is for, counts as the best of all.
    """

    def __init__(
        self,
        checkpoint_dir: Path | str,
        keep: int,
        length: int,
        earlier: Sequence[TrialHistory] = (),
        cost_of: Callable[[Mapping[str, Any]], float] | None = None,
    ) -> None:
        """Deletes nothing yet.

        Args:
            checkpoint_dir: Holds a folder per trial.
            keep: Trials whose best weights stay.
            length: Epochs of a whole training.
            earlier: Trials of earlier starts.
            cost_of: What the network of a configuration costs to answer, where that counts beside the score: the trials
                on the front stay beside the best few, unless none shall.
        """
        self._checkpoint_dir = Path(checkpoint_dir)
        self._keep = keep
        self._long = long_together(length)
        self._scores = {trial.trial_id: _score(trial) for trial in earlier}
        self._units: dict[str, str] = {}
        """Of each trial what it answers together with: a configuration, or itself where it is too short for that."""
        for trial in earlier:
            self._note_unit(trial.trial_id, trial.config, len(trial.reports))
        self._ended = {trial.trial_id: self._scores[trial.trial_id] for trial in earlier if trial.status.is_over}
        self._cleared: set[str] = set()
        self._cost_of = cost_of
        self._costs = {trial.trial_id: cost_of(vars(trial.config)) for trial in earlier} if cost_of else {}

    def reports(self, trial_id: str, config: Mapping[str, Any], epoch: Epoch, status: TrialStatus) -> None:
        """Takes in the best score so far."""
        report = epoch.report
        self._scores[trial_id] = report.best_val_score if report.class_f1 else math.inf
        self._note_unit(trial_id, TrialConfig(**config), report.epoch)
        if self._cost_of is not None:
            self._costs[trial_id] = self._cost_of(config)

    def repeats(self, trial_id: str, epoch: Epoch) -> None:
        """Takes in the score that the weights are of."""
        if epoch.report.class_f1:
            self._scores[trial_id] = epoch.report.best_val_score

    def ends(self, trial_id: str, status: TrialStatus, reason: str | None, traceback: str | None) -> None:
        """Makes room; a trial that goes on later keeps what it goes on from."""
        if status.is_over:
            score = -math.inf if status == TrialStatus.FAILED else self._scores.get(trial_id, -math.inf)
            self._ended[trial_id] = -math.inf if math.isnan(score) else score
            self._clear()

    def prunes(self) -> None:
        """Looks at all again: a worker may have written its last weights after its trial had ended for the driver."""
        self._cleared.clear()
        self._clear()

    def _clear(self) -> None:
        """Without another look at what has been deleted before: a thousand trials end a thousand times."""
        kept = self._kept()
        for trial_id in self._ended.keys() - self._cleared:
            if trial_id in kept:
                for path in (self._checkpoint_dir / trial_id).glob("*"):
                    if path.name != BEST and not _may_be_written(path):
                        path.unlink(missing_ok=True)
            else:
                shutil.rmtree(self._checkpoint_dir / trial_id, ignore_errors=True)
                self._cleared.add(trial_id)

    def _note_unit(self, trial_id: str, config: TrialConfig, epoch: int) -> None:
        self._units[trial_id] = repr(config) if epoch >= self._long else trial_id

    def _kept(self) -> list[str]:
        """The best few of the trials that have ended, and those on the front."""
        scored = {trial_id: score for trial_id, score in self._ended.items() if score > -math.inf}
        highest: dict[str, float] = {}
        for trial_id, score in scored.items():
            unit = self._units[trial_id]
            highest[unit] = max(score, highest.get(unit, -math.inf))
        order = ((-highest[self._units[trial_id]], -score, trial_id) for trial_id, score in scored.items())
        best = [trial_id for *_, trial_id in heapq.nsmallest(self._keep, order)]
        if self._cost_of is None or not self._keep:
            return best
        return [*best, *undominated((trial_id, score, self._costs[trial_id]) for trial_id, score in scored.items())]


def _may_be_written(path: Path) -> bool:
    """Whether it is a draft that a worker may still be at: the last weights of a trial come after its end."""
    if not path.match(TORN):
        return False
    with suppress(OSError):
        return time.time() - path.stat().st_mtime < WRITING_SECONDS
    return True


def _score(trial: TrialHistory) -> float:
    if trial.reports and not trial.reports[-1].class_f1 and trial.status != TrialStatus.FAILED:
        return math.inf
    unscored = trial.best is None or trial.status == TrialStatus.FAILED
    return -math.inf if unscored or trial.best is None else trial.best.val_score
