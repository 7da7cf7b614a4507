"""The Optuna study of a search: derived from its trials, for `study.best_trial`, plots and optuna-dashboard."""

from __future__ import annotations

import datetime
import errno
import json
import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from spaces.sampling import has_place, widened
from trainables.atomic import TORN, replacing
from trainables.report import TrialStatus, kept_epoch

_logger = logging.getLogger(__name__)

OBJECTIVE = "val_macro_f1"
"""Name of the number that is maximized, unless another is given."""
RETRY_SECONDS = 10.0
"""How long a study that could not be written is left alone."""

_STATES = {
    TrialStatus.RUNNING: TrialState.RUNNING,
    TrialStatus.FINISHED: TrialState.COMPLETE,
    TrialStatus.STOPPED: TrialState.PRUNED,
    TrialStatus.FAILED: TrialState.FAIL,
}


@dataclass
class SearchTrial:
    """What a searcher knows of one trial; its study and what its sampler sees are derived from it."""

    number: int
    trial_id: str
    config: dict[str, Any]
    params: dict[str, Any]
    """What was trained, by the names that the space suggests."""
    distributions: dict[str, BaseDistribution]
    """Ranges of the space of today, in which a value that was trained before it changed need not lie."""
    user_attrs: dict[str, Any] = field(default_factory=dict)
    values: dict[int, float] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    state: TrialStatus = TrialStatus.RUNNING
    reason: str | None = None
    started: datetime.datetime = field(default_factory=datetime.datetime.now)
    ended: datetime.datetime | None = None
    cost: float | None = None
    """Of the second objective, which is minimized; None where there is none."""
    best_epoch: int = 0
    """Whose weights are kept, as the trial says; 0 where it does not."""

    def best(self, sign: float) -> tuple[int, float] | None:
        """Its best epoch and the value of that, where larger times the sign is better; None without a value."""
        finite = {epoch: sign * value for epoch, value in self.values.items() if math.isfinite(value)}
        epoch = kept_epoch(finite, self.best_epoch)
        return (epoch, self.values[epoch]) if epoch else None

    @cached_property
    def placed(self) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """Values and ranges as far as a value has a place in the space of today: on the scale of its range."""
        names = [name for name, found in self.distributions.items() if has_place(found, self.params[name])]
        return {name: self.params[name] for name in names}, {name: self.distributions[name] for name in names}


class StudyRecord:
    """The study that readers see: in memory, or in a journal file, which is derived and can be written anew any time.

    A file that cannot be written (a full disk, a folder that is gone) does not end the search: it is marked stale, and
    a later event writes all of it again.
    """

    def __init__(
        self, path: Path | None, name: str, mode: str, second: str | None = None, objective: str = OBJECTIVE
    ) -> None:
        """Writes nothing yet.

        Args:
            path: The journal; None for memory.
            name: Of the study.
            mode: "max" or "min", of the metric.
            second: Name of what is minimized beside it; None if nothing is.
            objective: Name of the metric.
        """
        self.stale = True
        self._not_before = 0.0
        self._path = path
        self._name = name
        self._directions = [StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE]
        self._metrics = [objective]
        if second is not None:
            self._directions.append(StudyDirection.MINIMIZE)
            self._metrics.append(second)
        self._storage: BaseStorage = InMemoryStorage()
        self._ids: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without the storage, which does not survive pickling: the copy writes it anew."""
        return {**self.__dict__, "stale": True, "_not_before": 0.0, "_storage": InMemoryStorage(), "_ids": {}}

    def study(self) -> optuna.Study:
        """The study as its readers load it."""
        storage = self._storage if self._path is None else JournalStorage(JournalFileBackend(str(self._path)))
        return optuna.load_study(study_name=self._name, storage=storage)

    def write(self, trial: SearchTrial, trials: Iterable[SearchTrial]) -> None:
        """Writes a trial that is new, or that has just ended."""
        self._guard(lambda: self._write(trial), trials)

    def report(self, trial: SearchTrial, epoch: int, trials: Iterable[SearchTrial]) -> None:
        """Writes the value of one epoch."""
        self._guard(
            lambda: self._storage.set_trial_intermediate_value(self._ids[trial.trial_id], epoch, trial.values[epoch]),
            trials,
        )

    def sync(self, trials: Iterable[SearchTrial]) -> None:
        """Writes everything anew if the study lags behind."""
        self._not_before = 0.0
        self._guard(lambda: None, trials)

    def _guard(self, action: Callable[[], None], trials: Iterable[SearchTrial]) -> None:
        if time.monotonic() < self._not_before:
            return
        try:
            if self.stale:
                self._rewrite(list(trials))
            else:
                action()
        except OSError as error:
            _logger.warning("The study %s cannot be written now and will be later: %s", self._path, error)
            self.stale = True
            self._not_before = time.monotonic() + RETRY_SECONDS

    def _write(self, trial: SearchTrial) -> None:
        frozen = _frozen(trial)
        if trial.trial_id not in self._ids:
            study_id = self._storage.get_study_id_from_name(self._name)
            self._ids[trial.trial_id] = self._storage.create_new_trial(study_id, frozen)
            return
        trial_id = self._ids[trial.trial_id]
        known = self._storage.get_trial(trial_id)
        for epoch, value in frozen.intermediate_values.items():
            if known.intermediate_values.get(epoch) != value:
                self._storage.set_trial_intermediate_value(trial_id, epoch, value)
        for key, attribute in frozen.user_attrs.items():
            if key not in known.user_attrs or known.user_attrs[key] != attribute:
                self._storage.set_trial_user_attr(trial_id, key, attribute)
        self._storage.set_trial_state_values(trial_id, frozen.state, frozen.values)

    def _rewrite(self, trials: list[SearchTrial]) -> None:
        """Writes a study of these trials; a file is replaced in one step: readers see the old one or the new."""
        if self._path is None:
            self._fill(InMemoryStorage(), trials)
        else:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            for torn in self._path.parent.glob(self._path.name + TORN):  # of a process that was killed while it wrote
                torn.unlink()
            with replacing(self._path) as temporary:
                temporary.touch()
                journal = UnsyncedJournal(temporary)
                self._fill(JournalStorage(journal), trials)
            journal.path = self._path
        self.stale = False

    def _fill(self, storage: BaseStorage, trials: list[SearchTrial]) -> None:
        storage.create_new_study(self._directions, self._name)
        with warnings.catch_warnings():  # that its interface may change is for us to know
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.load_study(study_name=self._name, storage=storage).set_metric_names(self._metrics)
        self._storage, self._ids = storage, {}
        for trial in trials:
            self._write(trial)


class UnsyncedJournal(BaseJournalBackend):
    """A journal file with one writer, as `JournalFileBackend` reads it.

    It takes no lock, since nobody else writes, and does not wait for the disk: a power cut may cost the file, which is
    derived anyway. What it has written it need not read again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        """An empty file; whoever renames it says so here."""
        self._size = 0
        self._num_read = 0
        self._unread: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """The operations that were appended since the last call.

        Raises:
            ValueError: The reader begins somewhere else: it is not the one that this journal was made for.
        """
        if log_number_from != self._num_read:
            raise ValueError(f"operations from {log_number_from} are asked for, the next one is {self._num_read}")
        logs, self._unread = self._unread, []
        self._num_read += len(logs)
        return logs

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends a line per operation, all of them in one write.

        Raises:
            OSError: They cannot be written, or the file is not what was written so far.
        """
        lines = [json.dumps(log, separators=(",", ":")) for log in logs]
        content = "".join(line + "\n" for line in lines).encode()
        # A file that was deleted must not begin in its middle, and a pipe in its place must not be waited for.
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
        try:
            if os.fstat(file).st_size != self._size:
                raise OSError("the file was changed by someone else")
            if os.write(file, content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(file)
        self._size += len(content)
        self._unread += map(json.loads, lines)  # as a reader gets them, and nothing that the caller still changes


def _frozen(trial: SearchTrial) -> FrozenTrial:
    """A trial as the study holds it: COMPLETE with its best value, PRUNED with its last, FAIL with none.

    A study of two objectives has the cost as the second value.
    """
    value = None
    if trial.state == TrialStatus.FINISHED:
        value = trial.user_attrs["best_value"]
    elif trial.state == TrialStatus.STOPPED:
        value = trial.values[max(trial.values)]
    frozen = create_trial(
        state=_STATES[trial.state],
        values=None if value is None else [value] if trial.cost is None else [value, trial.cost],
        params=trial.params,
        distributions={name: widened(found, trial.params[name]) for name, found in trial.distributions.items()},
        user_attrs=trial.user_attrs,
        intermediate_values=trial.values,
    )
    frozen.datetime_start = trial.started
    frozen.datetime_complete = trial.ended
    return frozen
