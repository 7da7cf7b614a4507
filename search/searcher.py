"""The Optuna side of the bridge: proposes configurations to Ray Tune and keeps a study that says what happened.

The searcher holds every trial itself. From that it derives two things and nothing flows back from either: the study,
in memory or in an SQLite file for optuna-dashboard, that says honestly how each trial ended; and what the sampler sees,
where all values are on the scale of a trial that ran to the end.
"""

from __future__ import annotations

import datetime
import logging
import math
import pickle
import sqlite3
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial
from ray.tune.search import Searcher

from search.curves import extended_values

_logger = logging.getLogger(__name__)

Space = Callable[[Any], Any]
State = Literal["running", "finished", "stopped", "failed"]

STUDY_NAME = "macrotune"
_STATES = {
    "running": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def build_searcher(
    space: Space,
    *,
    metric: str,
    mode: str,
    max_epochs: int,
    seed: int,
    points: Iterable[Mapping[str, Any]] = (),
    storage: Path | str | None = None,
    study_name: str = STUDY_NAME,
) -> StudySearcher:
    """Builds the searcher of one search.

    Args:
        space: Any define-by-run function of an Optuna trial that returns a dataclass, a mapping, or None (the
            configuration is then the suggested parameters). Module-level, or a `functools.partial` of such, to be
            picklable.
        metric: Key of the value in each result.
        mode: "max" or "min".
        max_epochs: Epochs of a trial that is not stopped.
        seed: Seed of every proposal; on one worker it fixes the whole sequence.
        points: Configurations to try first, by the names that the space suggests. They may be partial or come from
            another version of the space: values are clipped to their range, what does not fit is dropped with a note.
        storage: SQLite file of the study; written anew by this searcher. None keeps the study in memory.
        study_name: Name of the study in the storage.
    """
    return StudySearcher(
        space,
        metric=metric,
        mode=mode,
        max_epochs=max_epochs,
        seed=seed,
        points=points,
        storage=storage,
        study_name=study_name,
    )


class RecordedTrial(FixedTrial):
    """A trial that asks a function for each value and records what the space suggested.

    Stands in for Optuna's own trial wherever no study is needed: to replay a configuration and to draw at random.
    """

    def __init__(self, choose: Callable[[str, BaseDistribution], Any], number: int = 0) -> None:
        super().__init__({}, number)
        self._choose = choose
        self._values: dict[str, Any] = {}
        self._ranges: dict[str, BaseDistribution] = {}

    def _chosen(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._values:
            self._values[name] = self._choose(name, distribution)
            self._ranges[name] = distribution
        return self._values[name]

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Suggests a float, as Optuna's trial does."""
        return self._chosen(name, FloatDistribution(low, high, log=log, step=step))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Suggests an integer, as Optuna's trial does."""
        return self._chosen(name, IntDistribution(low, high, log=log, step=step))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Suggests one of the choices, as Optuna's trial does."""
        return self._chosen(name, CategoricalDistribution(choices))

    @property
    def params(self) -> dict[str, Any]:
        """Values by the names suggested so far."""
        return self._values

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Ranges by the names suggested so far."""
        return self._ranges


def config_of(space: Space, trial: Any) -> dict[str, Any]:
    """The configuration that a space returns for a trial, as a plain dict."""
    returned = space(trial)
    if returned is None:
        return dict(trial.params)
    if is_dataclass(returned) and not isinstance(returned, type):
        return asdict(returned)
    return dict(returned)


def nearest(distribution: BaseDistribution, value: Any) -> Any:
    """The value of a distribution that is nearest to a given one.

    Raises:
        ValueError: No value of the distribution stands for it: a choice that is not among the categories, or no number.
    """
    if isinstance(distribution, CategoricalDistribution):
        distribution.to_internal_repr(value)  # raises ValueError for an unknown choice
        return value
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    low, high, step = distribution.low, distribution.high, distribution.step  # type: ignore[attr-defined]
    value = min(max(value, low), high)
    if step:
        on_grid = min(low + round((value - low) / step) * step, high)
        value = value if math.isclose(on_grid, value, rel_tol=1e-9, abs_tol=1e-12) else on_grid
    return int(value) if isinstance(distribution, IntDistribution) else float(value)


def at_share(distribution: BaseDistribution, share: float) -> Any:
    """The value of a distribution below which the given share (0 to 1) of it lies."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[min(int(share * len(distribution.choices)), len(distribution.choices) - 1)]
    low, high, step = distribution.low, distribution.high, distribution.step  # type: ignore[attr-defined]
    half = step / 2 if step else 0.0  # every grid value owns the stretch around it
    if distribution.log:  # type: ignore[attr-defined]
        value = math.exp(math.log(low - half) + share * (math.log(high + half) - math.log(low - half)))
    else:
        value = low - half + share * (high - low + 2 * half)
    return nearest(distribution, value)


@dataclass
class _Trial:
    """What the searcher knows of one trial; the study and the sampler's view are derived from it."""

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


class StudySearcher(Searcher):
    """Proposes configurations and records what became of them; `build_searcher` says what the arguments mean."""

    def __init__(
        self,
        space: Space,
        *,
        metric: str,
        mode: str,
        max_epochs: int,
        seed: int,
        points: Iterable[Mapping[str, Any]] = (),
        storage: Path | str | None = None,
        study_name: str = STUDY_NAME,
    ) -> None:
        if mode not in ("max", "min"):
            raise ValueError(f"mode is {mode!r}: it must be max or min")
        if max_epochs < 1:
            raise ValueError(f"max_epochs is {max_epochs!r}: it must be at least 1")
        super().__init__(metric=metric, mode=mode)
        self._space = space
        self._max_epochs = max_epochs
        self._seed = seed
        self._sign = 1.0 if mode == "max" else -1.0
        self._points = [dict(point) for point in points]
        self._trials: dict[str, _Trial] = {}
        self._record = _StudyRecord(None if storage is None else Path(storage), study_name, mode)

    # What Ray calls

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Proposes the configuration of a new trial: the next point not tried yet, else what the sampler draws."""
        if trial_id in self._trials:
            return dict(self._trials[trial_id].config)
        number = len(self._trials)
        proposal = self._next_point(number) or self._sample(number)
        trial = self._add(trial_id, *proposal)
        self._write(trial)
        return dict(trial.config)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Takes the metric of one epoch; an epoch that is repeated after a resume replaces the earlier one."""
        trial = self._trials[trial_id]
        epoch = self._take(trial, result)
        if epoch is not None:
            self._record.report(trial, epoch, self._trials.values())

    def on_trial_complete(
        self,
        trial_id: str,
        result: Mapping[str, Any] | None = None,
        error: bool = False,
        reason: str | None = None,
    ) -> None:
        """Closes a trial: finished if it reached `max_epochs`, failed on an error or a value that is no number.

        Any other trial was stopped. Ray gives the stopping epoch's result only here.

        Args:
            trial_id: As given to `suggest`.
            result: The last result, if there is one.
            error: The trial raised or its worker died.
            reason: Why it ended, for the study's attributes.
        """
        trial = self._trials[trial_id]
        if trial.state != "running":
            return
        if result:
            self._take(trial, result)
        state, why = self._ending(trial, error)
        self._close(trial, state, reason or why)
        self._write(trial)

    def save(self, checkpoint_path: str) -> None:
        """Pickles the whole searcher."""
        Path(checkpoint_path).write_bytes(pickle.dumps(self.__dict__))

    def restore(self, checkpoint_path: str) -> None:
        """Takes over the state that `save` wrote."""
        self.__dict__.update(pickle.loads(Path(checkpoint_path).read_bytes()))

    # What a resume calls

    def adopt(
        self,
        trial_id: str,
        config: Mapping[str, Any],
        values: Sequence[float],
        *,
        state: State,
        reason: str | None = None,
        seconds: Sequence[float] = (),
        params: Mapping[str, Any] | None = None,
        started: datetime.datetime | None = None,
        ended: datetime.datetime | None = None,
    ) -> None:
        """Takes in a trial of an earlier start, in the order in which the trials were suggested.

        Afterwards the study and the proposals to come are those of a search that was never interrupted. A study file
        is written anew from the adopted trials at the next event.

        Args:
            trial_id: Its identifier; a running trial continues under it.
            config: Its configuration.
            values: Its metric after each epoch, from epoch 1.
            state: "finished", "stopped", "failed", or "running" for one that was interrupted.
            reason: Why it ended; by default what the state says.
            seconds: Seconds of each epoch.
            params: What the space suggested, where that differs from the fields of the configuration.
            started: When it began.
            ended: When it ended.

        Raises:
            ValueError: The trial is known already.
        """
        if trial_id in self._trials:
            raise ValueError(f"trial {trial_id} is known already: each trial is adopted once, before it is suggested")
        known = dict(config if params is None else params)
        number = len(self._trials)
        replayed = self._replay(known, number, note=f"adopted trial {trial_id}")
        trial = self._add(trial_id, dict(config), *replayed[1:])
        self._drop_point_tried_by(trial)
        trial.values = {epoch: float(value) for epoch, value in enumerate(values, start=1)}
        trial.seconds = {epoch: float(value) for epoch, value in enumerate(seconds, start=1)}
        if started is not None:
            trial.started = started
        if state != "running":
            self._close(trial, state, reason or self._ending(trial, state == "failed")[1])
            trial.ended = ended or trial.ended
        self._record.stale = True

    def close(self, reason: str = "interrupted") -> None:
        """Ends the search for the study's readers: what still runs is marked as failed there, with the reason.

        The searcher itself keeps those trials as running, and `adopt` brings them back after a restart.
        """
        self._record.sync(self._trials.values())
        for trial in self._trials.values():
            if trial.state == "running":
                self._record.interrupt(trial, reason)

    @property
    def study(self) -> optuna.Study:
        """The study as readers of the storage see it."""
        self._record.sync(self._trials.values())
        return self._record.study()

    # Inside

    def _add(
        self,
        trial_id: str,
        config: dict[str, Any],
        params: dict[str, Any],
        distributions: dict[str, BaseDistribution],
        user_attrs: dict[str, Any],
    ) -> _Trial:
        trial = _Trial(len(self._trials), trial_id, config, params, distributions, user_attrs)
        self._trials[trial_id] = trial
        return trial

    def _write(self, trial: _Trial) -> None:
        self._record.write(trial, self._trials.values())

    def _take(self, trial: _Trial, result: Mapping[str, Any]) -> int | None:
        if trial.state != "running" or "training_iteration" not in result or self._metric not in result:
            return None
        epoch, value = int(result["training_iteration"]), result[self._metric]
        trial.values[epoch] = math.nan if value is None else float(value)
        trial.seconds[epoch] = float(result.get("seconds", 0.0) or 0.0)
        return epoch

    def _ending(self, trial: _Trial, error: bool) -> tuple[State, str]:
        if error:
            return "failed", "error"
        if not trial.values:
            return "failed", "no result"
        for epoch, value in trial.values.items():
            if not math.isfinite(value):
                return "failed", f"{self._metric} is {value} after epoch {epoch}"
        if max(trial.values) >= self._max_epochs:
            return "finished", "finished"
        return "stopped", f"stopped after epoch {max(trial.values)}"

    def _close(self, trial: _Trial, state: State, reason: str) -> None:
        trial.state, trial.reason, trial.ended = state, reason, datetime.datetime.now()
        trial.user_attrs |= self._facts(trial)

    def _facts(self, trial: _Trial) -> dict[str, Any]:
        """User attributes of a trial that ended."""
        facts = {
            "trial_id": trial.trial_id,
            "stop_reason": trial.reason,
            "epochs": max(trial.values, default=0),
            "seconds": sum(trial.seconds.values()),
        }
        finite = {epoch: self._sign * value for epoch, value in trial.values.items() if math.isfinite(value)}
        if finite:
            facts["best_epoch"] = max(finite, key=lambda epoch: (finite[epoch], -epoch))
            facts["best_value"] = trial.values[facts["best_epoch"]]
        return facts

    def _next_point(self, number: int) -> tuple[Any, ...] | None:
        while self._points:
            point = self._points.pop(0)
            try:
                proposal = self._replay(point, number, note="point")
            except ValueError as error:
                _logger.warning("A point is dropped, the space refuses it: %s", error)
                continue
            if set(point).isdisjoint(proposal[1]):
                _logger.warning("A point is dropped, the space suggests none of its fields: %s", point)
            elif all(proposal[1] != trial.params for trial in self._trials.values()):
                return proposal
        return None

    def _drop_point_tried_by(self, trial: _Trial) -> None:
        for point in self._points:
            try:
                if self._replay(point, trial.number)[1] == trial.params:
                    self._points.remove(point)
                    return
            except ValueError:
                continue

    def _sample(self, number: int) -> tuple[Any, ...]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group=True
            sampler = optuna.samplers.TPESampler(
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=int(np.random.default_rng([self._seed, number]).integers(2**31)),
            )
        view = optuna.create_study(direction="maximize", sampler=sampler)
        view.add_trials(self._view())
        trial = view.ask()
        config = config_of(self._space, trial)
        return config, trial.params, trial.distributions, trial.user_attrs

    def _view(self) -> list[FrozenTrial]:
        """The trials as the sampler sees them: every value at full length, a failed trial as bad as the worst."""
        trials = list(self._trials.values())
        curves = [
            [] if trial.state == "failed" else [self._sign * trial.values[epoch] for epoch in sorted(trial.values)]
            for trial in trials
        ]
        extended = extended_values(curves)
        worst = min((value for value in extended if math.isfinite(value)), default=0.0)
        view = []
        for trial, value in zip(trials, extended, strict=True):
            running = trial.state == "running"
            view.append(
                create_trial(
                    state=TrialState.RUNNING if running else TrialState.COMPLETE,
                    value=None if running else float(value) if math.isfinite(value) else worst,
                    params=trial.params,
                    distributions=trial.distributions,
                )
            )
        return view

    def _replay(self, known: Mapping[str, Any], number: int, note: str | None = None) -> tuple[Any, ...]:
        """Runs the space on known values; draws at random what is not known or stands for nothing any more."""
        rng = np.random.default_rng([self._seed, number])

        def choose(name: str, distribution: BaseDistribution) -> Any:
            share = rng.random()
            if name not in known:
                return at_share(distribution, share)
            try:
                value = nearest(distribution, known[name])
            except ValueError:
                value = at_share(distribution, share)
            if note and value != known[name]:
                _logger.warning("%s: %s is %r here, %r is outside its range", note, name, value, known[name])
            return value

        trial = RecordedTrial(choose, number)
        config = config_of(self._space, trial)
        return config, trial.params, trial.distributions, trial.user_attrs


class _StudyRecord:
    """The study that readers see: in memory, or in an SQLite file, which is derived and can be written anew any time.

    A file that cannot be written (a full disk, a lock held for long) does not end the search: it is marked stale, and
    the next event writes all of it again.
    """

    def __init__(self, path: Path | None, name: str, mode: str) -> None:
        self.stale = True
        self._path = path
        self._name = name
        self._direction = StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE
        self._storage: optuna.storages.BaseStorage | None = None
        self._ids: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_storage": None if self._path else self._storage}

    def study(self) -> optuna.Study:
        return optuna.load_study(study_name=self._name, storage=self._opened())

    def write(self, trial: _Trial, trials: Iterable[_Trial]) -> None:
        """Writes a trial that is new, or that has just ended."""
        self._guard(lambda: self._write(trial), trials)

    def report(self, trial: _Trial, epoch: int, trials: Iterable[_Trial]) -> None:
        """Writes the value of one epoch."""
        self._guard(lambda: self._report(trial, epoch), trials)

    def sync(self, trials: Iterable[_Trial]) -> None:
        """Writes everything anew if the study lags behind."""
        self._guard(lambda: None, trials)

    def interrupt(self, trial: _Trial, reason: str) -> None:
        """Marks a trial that still runs as failed."""
        storage, trial_id = self._opened(), self._ids[trial.trial_id]
        storage.set_trial_user_attr(trial_id, "stop_reason", reason)
        storage.set_trial_state_values(trial_id, TrialState.FAIL)
        self.stale = True

    def _guard(self, action: Callable[[], None], trials: Iterable[_Trial]) -> None:
        try:
            if self.stale:
                self._rewrite(list(trials))
            else:
                action()
        except (OSError, sqlite3.Error, optuna.exceptions.StorageInternalError) as error:
            if not self.stale:
                _logger.warning("The study %s could not be written and will be later: %s", self._path, error)
            self.stale = True

    def _write(self, trial: _Trial) -> None:
        storage = self._opened()
        if trial.trial_id not in self._ids:
            self._ids[trial.trial_id] = storage.create_new_trial(storage.get_study_id_from_name(self._name), _frozen(trial))
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

    def _report(self, trial: _Trial, epoch: int) -> None:
        self._opened().set_trial_intermediate_value(self._ids[trial.trial_id], epoch, trial.values[epoch])

    def _rewrite(self, trials: list[_Trial]) -> None:
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
                with closing(sqlite3.connect(fresh)) as source, closing(sqlite3.connect(self._path, timeout=30)) as target:
                    source.backup(target)
        self.stale = False

    def _fill(self, storage: optuna.storages.BaseStorage, trials: list[_Trial]) -> dict[str, int]:
        study_id = storage.create_new_study([self._direction], self._name)
        return {trial.trial_id: storage.create_new_trial(study_id, _frozen(trial)) for trial in trials}

    def _opened(self) -> optuna.storages.BaseStorage:
        if self._storage is None:
            assert self._path is not None
            self._storage = _sqlite(self._path)
        return self._storage


def _sqlite(path: Path) -> optuna.storages.RDBStorage:
    return optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 30}})


def _frozen(trial: _Trial) -> FrozenTrial:
    """A trial as the study holds it: COMPLETE with its best value, PRUNED (as Optuna has it) with its last, FAIL without."""
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
