"""The Optuna study of a search: derived from its trials, for `study.best_trial`, plots and optuna-dashboard."""

from __future__ import annotations

import datetime
import functools
import json
import logging
import math
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from trainables.report import TrialStatus

_logger = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
"""How long a study that could not be written is left alone."""

LOCK_SECONDS = 30
"""How long a write waits for a reader such as optuna-dashboard."""

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
    distributions: dict[str, BaseDistribution]
    user_attrs: dict[str, Any] = field(default_factory=dict)
    values: dict[int, float] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    state: TrialStatus = TrialStatus.RUNNING
    reason: str | None = None
    started: datetime.datetime = field(default_factory=datetime.datetime.now)
    ended: datetime.datetime | None = None


class StudyRecord:
    """The study that readers see: in memory, or in an SQLite file, which is derived and can be written anew any time.

    A file that cannot be written (a full disk, a lock held for long) does not end the search: it is marked stale, and
    the next event writes all of it again.
    """

    def __init__(self, path: Path | None, name: str, mode: str) -> None:
        self.stale = True
        self._not_before = 0.0
        self._path = path
        self._name = name
        self._direction = StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE
        self._in_memory = optuna.storages.InMemoryStorage()
        self._ids: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_not_before": 0.0}

    def study(self) -> optuna.Study:
        """The study as its readers load it."""
        storage = self._in_memory if self._path is None else _opened(self._path)
        return optuna.load_study(study_name=self._name, storage=storage)

    def write(self, trial: SearchTrial, trials: Iterable[SearchTrial]) -> None:
        """Writes a trial that is new, or that has just ended."""
        self._guard(lambda: self._write(trial), trials)

    def report(self, trial: SearchTrial, epoch: int, trials: Iterable[SearchTrial]) -> None:
        """Writes the value of one epoch."""
        self._guard(lambda: self._report(trial, epoch), trials)

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
        except (OSError, sqlite3.Error, optuna.exceptions.StorageInternalError) as error:
            _logger.warning("The study %s cannot be written now and will be later: %s", self._path, error)
            self.stale = True
            self._not_before = time.monotonic() + RETRY_SECONDS

    def _write(self, trial: SearchTrial) -> None:
        if self._path is not None:
            with closing(_connected(self._path)) as file, file:
                _put(file, trial)
            return
        storage = self._in_memory
        if trial.trial_id not in self._ids:
            study_id = storage.get_study_id_from_name(self._name)
            self._ids[trial.trial_id] = storage.create_new_trial(study_id, _frozen(trial))
            return
        trial_id = self._ids[trial.trial_id]
        for epoch, value in trial.values.items():
            storage.set_trial_intermediate_value(trial_id, epoch, value)
        for key, value in trial.user_attrs.items():
            storage.set_trial_user_attr(trial_id, key, value)
        frozen = _frozen(trial)
        storage.set_trial_state_values(trial_id, frozen.state, frozen.values)

    def _report(self, trial: SearchTrial, epoch: int) -> None:
        if self._path is None:
            self._in_memory.set_trial_intermediate_value(self._ids[trial.trial_id], epoch, trial.values[epoch])
            return
        with closing(_connected(self._path)) as file, file:
            file.execute(_INTERMEDIATE, (_row_id(trial), epoch, *_stored(trial.values[epoch])))

    def _rewrite(self, trials: list[SearchTrial]) -> None:
        if self._path is None:
            self._in_memory = optuna.storages.InMemoryStorage()
            self._in_memory.create_new_study([self._direction], self._name)
            self._ids = {}
            for trial in trials:
                self._write(trial)
        else:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory() as folder:
                fresh = Path(folder) / "study.db"
                storage = _opened(fresh)
                storage.create_new_study([self._direction], self._name)
                storage.engine.dispose()
                with closing(_connected(fresh)) as file, file:
                    for trial in trials:
                        _put(file, trial)
                try:
                    _copy(fresh, self._path)
                except sqlite3.OperationalError:  # locked, or no space
                    raise
                except sqlite3.DatabaseError:  # what is there is no database, or a broken one
                    self._path.unlink()
                    _copy(fresh, self._path)
        self.stale = False


def _opened(path: Path) -> optuna.storages.RDBStorage:
    return optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}})


def _connected(path: Path) -> sqlite3.Connection:
    """A connection that does not wait for the disk: a power cut may cost the file, which is derived anyway."""
    connection = sqlite3.connect(path, timeout=LOCK_SECONDS)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


# Optuna makes the file; its trials are written here, a transaction each. Through Optuna a trial of twenty parameters
# is some 150 queries, and some of them look through all trials before it.

_STUDY_ID = 1
_TRIAL = (
    "INSERT OR REPLACE INTO trials (trial_id, number, study_id, state, datetime_start, datetime_complete) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
_PARAM = (
    "INSERT OR REPLACE INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?)"
)
_VALUE = "INSERT OR REPLACE INTO trial_values (trial_id, objective, value, value_type) VALUES (?, 0, ?, ?)"
_INTERMEDIATE = (
    "INSERT OR REPLACE INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) "
    "VALUES (?, ?, ?, ?)"
)
_USER_ATTR = "INSERT OR REPLACE INTO trial_user_attributes (trial_id, key, value_json) VALUES (?, ?, ?)"


def _put(file: sqlite3.Connection, trial: SearchTrial) -> None:
    """Puts a trial into the file as it now is, whether it was there or not."""
    frozen, row_id = _frozen(trial), _row_id(trial)
    began, ended = (when and when.isoformat(" ", "microseconds") for when in (trial.started, trial.ended))
    file.execute(_TRIAL, (row_id, trial.number, _STUDY_ID, frozen.state.name, began, ended))
    ranges = frozen.distributions
    file.executemany(
        _PARAM,
        [
            (row_id, name, ranges[name].to_internal_repr(value), _range_json(ranges[name]))
            for name, value in frozen.params.items()
        ],
    )
    if frozen.value is not None:
        file.execute(_VALUE, (row_id, *_stored(frozen.value)))
    file.executemany(
        _INTERMEDIATE, [(row_id, epoch, *_stored(value)) for epoch, value in frozen.intermediate_values.items()]
    )
    file.executemany(_USER_ATTR, [(row_id, key, json.dumps(value)) for key, value in frozen.user_attrs.items()])


def _row_id(trial: SearchTrial) -> int:
    return trial.number + 1


def _stored(value: float) -> tuple[float | None, str]:
    """A value and its kind, as Optuna stores them."""
    if math.isfinite(value):
        return value, "FINITE"
    return None, "NAN" if math.isnan(value) else "INF_POS" if value > 0 else "INF_NEG"


@functools.lru_cache(maxsize=1024)
def _range_json(distribution: BaseDistribution) -> str:
    return optuna.distributions.distribution_to_json(distribution)


def _copy(source_path: Path, target_path: Path) -> None:
    """Copies one SQLite file over another, in one transaction that its readers see at once."""
    with (
        closing(sqlite3.connect(source_path)) as source,
        closing(sqlite3.connect(target_path, timeout=LOCK_SECONDS)) as target,
    ):
        source.backup(target)


def _frozen(trial: SearchTrial) -> FrozenTrial:
    """A trial as the study holds it: COMPLETE with its best value, PRUNED with its last, FAIL with none."""
    value = None
    if trial.state == TrialStatus.FINISHED:
        value = trial.user_attrs["best_value"]
    elif trial.state == TrialStatus.STOPPED:
        value = trial.values[max(trial.values)]
    frozen = create_trial(
        state=_STATES[trial.state],
        value=value,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
        intermediate_values=trial.values,
    )
    frozen.datetime_start = trial.started
    frozen.datetime_complete = trial.ended
    return frozen
