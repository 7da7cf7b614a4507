"""The Optuna side of the bridge: proposes configurations to Ray Tune and keeps a study that says what happened.

The searcher holds every trial itself. From that it derives two things and nothing flows back from either: the study,
in memory or in a journal file for optuna-dashboard, that says honestly how each trial ended; and what the sampler sees,
where all values are on the scale of a trial that ran to the end.
"""

from __future__ import annotations

import datetime
import math
import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from ray.tune.search import Searcher

from search.engine.costs import EpochCosts
from search.engine.curves import extended_values, is_flat
from search.engine.draws import Seen
from search.engine.pareto import SecondObjective
from search.engine.points import EarlierTrials, Points, Proposal
from search.engine.repeats import Repeats
from search.engine.sampler import Price, propose
from search.engine.study_journal import OBJECTIVE, SearchTrial, StudyRecord
from spaces.sampling import RecordedTrial, Space, config_of
from trainables.report import TrialStatus

STUDY_NAME = "macrotune"


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
    objective: str = OBJECTIVE,
    second: SecondObjective | None = None,
    costs: EpochCosts | None = None,
    repeats: Repeats | None = None,
    near: bool = False,
    patience: int | None = None,
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
            One that stands there twice is tried twice.
        storage: Journal file of the study; written anew by this searcher. None keeps the study in memory.
        study_name: Name of the study in the storage.
        objective: Name of the metric in the study.
        second: What counts beside the metric; None if nothing does.
        costs: Proposals are then by what is expected of a second, and not of a trial; None where time does not count.
        repeats: Says when the best configuration is to be trained again; None for never.
        near: Whether the first point is good, so that proposals begin near the best that is known.
        patience: Epochs without a higher value after which a trial that has finished would have gained no more; None if
            trials finish at `max_epochs` alone.
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
        objective=objective,
        second=second,
        costs=costs,
        repeats=repeats,
        near=near,
        patience=patience,
    )


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
        objective: str = OBJECTIVE,
        second: SecondObjective | None = None,
        costs: EpochCosts | None = None,
        repeats: Repeats | None = None,
        near: bool = False,
        patience: int | None = None,
    ) -> None:
        if mode not in ("max", "min"):
            raise ValueError(f"mode is {mode!r}: it must be max or min")
        if max_epochs < 1:
            raise ValueError(f"max_epochs is {max_epochs!r}: it must be at least 1")
        super().__init__(metric=metric, mode=mode)
        self._metric: str = metric
        self._space = space
        self._max_epochs = max_epochs
        self._seed = seed
        self._sign = 1.0 if mode == "max" else -1.0
        self._points = Points(points, space, seed)
        self._earlier = EarlierTrials(space)
        self._trials: dict[str, SearchTrial] = {}
        self._costs = costs
        self._repeats = repeats
        self._near = near
        self._patience = patience
        self._second = second
        path = None if storage is None else Path(storage)
        self._record = StudyRecord(path, study_name, mode, None if second is None else second.name, objective)

    # What Ray calls

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Proposes the configuration of a new trial: the next point not tried yet, else what the sampler draws.

        At the end of a time budget it is the best one so far instead, once more.
        """
        if trial_id in self._trials:
            return dict(self._trials[trial_id].config)
        number = len(self._trials)
        again = self._best_again()
        trials = self._trials.values()
        failed = [trial.params for trial in trials if trial.state == TrialStatus.FAILED]
        known = again or self._points.next(number, [trial.params for trial in trials], failed)
        trial = self._add(trial_id, known or self._sample(number))
        if known is not None:
            self._note_repeat(trial)
        if again is not None:
            self._points.drop_tried_by(trial)
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
        is_done: bool = False,
    ) -> None:
        """Closes a trial: finished if it reached `max_epochs`, failed on an error or a value that is no number.

        Any other trial was stopped. Ray gives the stopping epoch's result only here.

        Args:
            trial_id: As given to `suggest`.
            result: The last result, if there is one.
            error: The trial raised or its worker died.
            reason: Why it ended, for the study's attributes.
            is_done: Whether it is finished with fewer epochs.
        """
        trial = self._trials[trial_id]
        if trial.state != TrialStatus.RUNNING:
            return
        if result:
            self._take(trial, result)
        state, why = self._ending(trial, error, is_done)
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
        state: TrialStatus,
        reason: str | None = None,
        seconds: Sequence[float] = (),
        best_epoch: int = 0,
        params: Mapping[str, Any] | None = None,
        started: datetime.datetime | None = None,
        ended: datetime.datetime | None = None,
    ) -> None:
        """Takes in a trial of an earlier start, in the order in which the trials were suggested.

        Afterwards the study and the proposals to come are those of a search that was never interrupted. A study file
        is written anew from the adopted trials at the next event. Where the space has changed since, the trial stands
        with the values that it was trained with, inside the ranges of today or not.

        Args:
            trial_id: Its identifier; a running trial continues under it.
            config: Its configuration.
            values: Its metric after each epoch, from epoch 1.
            state: How it ended, or running for one that was interrupted.
            reason: Why it ended; by default what the state says.
            seconds: Seconds of each epoch.
            best_epoch: Whose weights are kept; 0 where nobody knows.
            params: What the space suggested, where that differs from the fields of the configuration.
            started: When it began.
            ended: When it ended.

        Raises:
            ValueError: The trial is known already.
        """
        if trial_id in self._trials:
            raise ValueError(f"trial {trial_id} is known already: each trial is adopted once, before it is suggested")
        known = config if params is None else params
        trial = self._add(trial_id, self._earlier.proposal(trial_id, config, known, len(self._trials)))
        self._note_repeat(trial)
        self._points.drop_tried_by(trial)
        trial.values = {epoch: float(value) for epoch, value in enumerate(values, start=1)}
        trial.seconds = {epoch: float(value) for epoch, value in enumerate(seconds, start=1)}
        trial.best_epoch = best_epoch
        if started is not None:
            trial.started = started
        if state != TrialStatus.RUNNING:
            _, why = self._ending(trial, state == TrialStatus.FAILED, state == TrialStatus.FINISHED)
            self._close(trial, state, reason or why)
            trial.ended = ended or trial.ended
        self._record.stale = True

    def close(self, reason: str = "interrupted") -> None:
        """Ends the search: what still runs has failed with this reason, so that the study has nothing running.

        A restart builds a new searcher, which adopts those trials as running and goes on with them.
        """
        self._record.sync(self._trials.values())
        for trial in self._trials.values():
            if trial.state == TrialStatus.RUNNING:
                self._close(trial, TrialStatus.FAILED, reason)
                self._write(trial)

    @property
    def study(self) -> optuna.Study:
        """The study as readers of the storage see it."""
        self._record.sync(self._trials.values())
        return self._record.study()

    # Inside

    def _add(self, trial_id: str, proposal: Proposal) -> SearchTrial:
        trial = SearchTrial(len(self._trials), trial_id, *proposal)
        trial.cost = None if self._second is None else self._second.cost(proposal.config)
        self._trials[trial_id] = trial
        return trial

    def _write(self, trial: SearchTrial) -> None:
        self._record.write(trial, self._trials.values())

    def _take(self, trial: SearchTrial, result: Mapping[str, Any]) -> int | None:
        if trial.state != TrialStatus.RUNNING or "training_iteration" not in result or self._metric not in result:
            return None
        epoch, value = int(result["training_iteration"]), result[self._metric]
        trial.best_epoch = int(result.get("best_epoch", 0))
        trial.values[epoch] = math.nan if value is None else float(value)
        is_whole = result.get("trained_share", 1.0) == 1  # one that was cut short says nothing of what it costs
        trial.seconds[epoch] = float(result.get("seconds", 0.0) or 0.0) if is_whole else 0.0
        return epoch

    def _ending(self, trial: SearchTrial, error: bool, is_done: bool) -> tuple[TrialStatus, str]:
        for epoch, value in trial.values.items():
            if not math.isfinite(value):
                return TrialStatus.FAILED, f"{self._metric} is {value} after epoch {epoch}"
        if error or not trial.values:
            return TrialStatus.FAILED, "error" if error else "no result"
        if is_done or max(trial.values) >= self._max_epochs:
            return TrialStatus.FINISHED, "finished"
        return TrialStatus.STOPPED, f"stopped after epoch {max(trial.values)}"

    def _close(self, trial: SearchTrial, state: TrialStatus, reason: str) -> None:
        if not any(math.isfinite(value) for value in trial.values.values()):
            state = TrialStatus.FAILED
        trial.state, trial.reason, trial.ended = state, reason, datetime.datetime.now()
        trial.user_attrs |= self._facts(trial)

    def _facts(self, trial: SearchTrial) -> dict[str, Any]:
        """User attributes of a trial that ended."""
        facts: dict[str, Any] = {
            "trial_id": trial.trial_id,
            "stop_reason": trial.reason,
            "epochs": max(trial.values, default=0),
            "seconds": sum(trial.seconds.values()),
        }
        if best := trial.best(self._sign):
            facts["best_epoch"], facts["best_value"] = best
        return facts

    def _best_again(self) -> Proposal | None:
        best = None if self._repeats is None else self._repeats.which(list(self._trials.values()), self._sign)
        return None if best is None else Proposal(dict(best.config), dict(best.params), dict(best.distributions), {})

    def _note_repeat(self, trial: SearchTrial) -> None:
        if self._repeats is not None:
            self._repeats.note(trial, [other for other in self._trials.values() if other.number < trial.number])

    def _sample(self, number: int) -> Proposal:
        rng, seen = np.random.default_rng([self._seed, number]), self._seen()
        if self._second is not None:
            seen = self._second.weighed(seen, [trial.config for trial in self._trials.values()], rng)
        trial = propose(self._space, seen, rng, self._price(), near=self._near)
        proposed = RecordedTrial(lambda name, _: trial.params[name], number)
        config = config_of(self._space, proposed)
        return Proposal(config, proposed.params, proposed.distributions, proposed.user_attrs)

    def _price(self) -> Price | None:
        """What candidates cost, by what the trials so far took; None where time does not count."""
        return None if self._costs is None else self._costs.price(list(self._trials.values()))

    def _seen(self) -> list[Seen]:
        """The trials as the sampler sees them: every value at full length, a failed trial as bad as the worst.

        Of a trial that was trained before the space changed, it sees what has a place in the space of today.
        """
        trials = list(self._trials.values())
        curves = [
            []
            if trial.state == TrialStatus.FAILED
            else [self._sign * trial.values[epoch] for epoch in sorted(trial.values)]
            for trial in trials
        ]
        over = [
            self._patience is not None and trial.state == TrialStatus.FINISHED and is_flat(curve, self._patience)
            for trial, curve in zip(trials, curves, strict=True)
        ]
        extended = extended_values(curves, over)
        worst = min((float(value) for value in extended if math.isfinite(value)), default=0.0)
        return [
            Seen(
                *trial.placed,
                float(value) if math.isfinite(value) else None if trial.state == TrialStatus.RUNNING else worst,
                has_failed=trial.state == TrialStatus.FAILED,
            )
            for trial, value in zip(trials, extended, strict=True)
        ]
