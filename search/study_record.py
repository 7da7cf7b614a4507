"""The Optuna study of a search: derived from its trials, for `study.best_trial`, plots and optuna-dashboard."""

from __future__ import annotations

import datetime
import logging
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

_logger = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
"""How long a study that could not be written is left alone."""

LOCK_SECONDS = 30
"""How long a write waits for a reader such as optuna-dashboard."""

State = Literal["running", "finished", "stopped", "failed"]

_STATES: dict[State, TrialState] = {
    "running": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
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
    state: State = "running"
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
        self._storage: optuna.storages.BaseStorage | None = None
        self._ids: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        storage = None if self._path else self._storage
        return {**self.__dict__, "_storage": storage, "_not_before": 0.0}

    def study(self) -> optuna.Study:
        """The study as its readers load it."""
        return optuna.load_study(study_name=self._name, storage=self._opened())

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
        storage = self._opened()
        if trial.trial_id not in self._ids:
            self._ids[trial.trial_id] = storage.create_new_trial(
                storage.get_study_id_from_name(self._name), _frozen(trial)
            )
            return
        trial_id = self._ids[trial.trial_id]
        stored = storage.get_trial(trial_id)
        for epoch, value in trial.values.items():
            if stored.intermediate_values.get(epoch) != value:
                storage.set_trial_intermediate_value(trial_id, epoch, value)
        for key, value in trial.user_attrs.items():
            storage.set_trial_user_attr(trial_id, key, value)
        frozen = _frozen(trial)
        storage.set_trial_state_values(trial_id, frozen.state, frozen.values)

    def _report(self, trial: SearchTrial, epoch: int) -> None:
        self._opened().set_trial_intermediate_value(self._ids[trial.trial_id], epoch, trial.values[epoch])

    def _rewrite(self, trials: list[SearchTrial]) -> None:
        if self._path is None:
            self._storage = optuna.storages.InMemoryStorage()
            self._ids = self._fill(self._storage, trials)
        else:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory() as folder:
                fresh = Path(folder) / "study.db"
                storage = _sqlite(fresh)
                self._ids = self._fill(storage, trials)
                storage.engine.dispose()
                try:
                    _copy(fresh, self._path)
                except sqlite3.OperationalError:  # locked, or no space
                    raise
                except sqlite3.DatabaseError:  # what is there is no database, or a broken one
                    self._path.unlink()
                    _copy(fresh, self._path)
        self.stale = False

    def _fill(self, storage: optuna.storages.BaseStorage, trials: list[SearchTrial]) -> dict[str, int]:
        study_id = storage.create_new_study([self._direction], self._name)
        return {trial.trial_id: storage.create_new_trial(study_id, _frozen(trial)) for trial in trials}

    def _opened(self) -> optuna.storages.BaseStorage:
        if self._storage is None:
            assert self._path is not None
            self._storage = _sqlite(self._path)
        return self._storage


class _Connection(sqlite3.Connection):
    """Does not wait for the disk: a power cut may cost the file, which is derived anyway; a kill does not."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.execute("PRAGMA synchronous = OFF")


def _sqlite(path: Path) -> optuna.storages.RDBStorage:
    connection = {"timeout": LOCK_SECONDS, "factory": _Connection}
    return optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": connection})


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
    if trial.state == "finished":
        value = trial.user_attrs["best_value"]
    elif trial.state == "stopped":
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
