"""Configurations that stand beforehand: points that a search tries first, and what earlier trials were trained with."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from optuna.distributions import BaseDistribution

from search.engine.study_journal import SearchTrial
from spaces.sampling import RecordedTrial, Space, at_share, config_of, contains, in_words, nearest

_logger = logging.getLogger(__name__)


class Proposal(NamedTuple):
    """What a trial is begun with."""

    config: dict[str, Any]
    params: dict[str, Any]
    """What the space suggested for it."""
    distributions: dict[str, BaseDistribution]
    """Of the same names."""
    user_attrs: dict[str, Any]


class Points:
    """The points of a search that are not tried yet, in their order."""

    def __init__(self, points: Iterable[Mapping[str, Any]], space: Space, seed: int) -> None:
        """Takes the points.

        Args:
            points: As `build_searcher` says.
            space: What they are points of.
            seed: For what a point leaves open.
        """
        self._waiting = [dict(point) for point in points]
        self._begun: list[dict[str, Any]] = []  # that trials were begun with
        self._space = space
        self._seed = seed

    def next(
        self, number: int, tried: Collection[Mapping[str, Any]], failed: Collection[Mapping[str, Any]] = ()
    ) -> Proposal | None:
        """Takes the next point that is not tried yet; None where none is left.

        Args:
            number: Of the trial that begins with it.
            tried: What the space suggested for the trials so far.
            failed: The same of those that failed: a point that is to be tried twice is not, if it is one of them.
        """
        while self._waiting:
            point = self._waiting.pop(0)
            try:
                proposal = self._replay(point, number, note="point")
            except ValueError as error:
                _logger.warning("A point is dropped, the space refuses it: %s", error)
                continue
            if set(point).isdisjoint(proposal.params):
                _logger.warning("A point is dropped, the space suggests none of its fields: %s", point)
            elif proposal.params not in (failed if point in self._begun else tried):
                self._begun.append(point)
                return proposal
        return None

    def drop_tried_by(self, trial: SearchTrial) -> None:
        """Leaves out the first point that a trial has tried."""
        for point in self._waiting:
            try:
                is_tried = point.items() <= trial.config.items() or (
                    self._replay(point, trial.number).params == trial.params
                )
            except ValueError:
                continue
            if is_tried:
                self._waiting.remove(point)
                self._begun.append(point)
                return

    def _replay(self, known: Mapping[str, Any], number: int, note: str | None = None) -> Proposal:
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
        return Proposal(config_of(self._space, trial), trial.params, trial.distributions, trial.user_attrs)


class EarlierTrials:
    """What trials of an earlier start were trained with, in a space that may have changed since."""

    def __init__(self, space: Space) -> None:
        """Takes the space of today."""
        self._space = space
        self._outside: set[str] = set()  # names that were said to have left their range

    def proposal(self, trial_id: str, config: Mapping[str, Any], known: Mapping[str, Any], number: int) -> Proposal:
        """What the space suggests today of the values that a trial was trained with: these values, their ranges.

        Args:
            trial_id: Its identifier.
            config: Its configuration.
            known: What the space suggested then.
            number: Of the trial in the search.
        """
        replayed = RecordedTrial(lambda name, distribution: known.get(name, at_share(distribution, 0.5)), number)
        try:
            self._space(replayed)
        except Exception:  # a choice, say, that the space knows no more: what it suggests beside is found out without
            replayed = RecordedTrial(lambda name, distribution: _nearest_or(distribution, known.get(name)), number)
            self._space(replayed)
        ranges = {name: found for name, found in replayed.distributions.items() if name in known}
        for name, distribution in ranges.items():
            if name not in self._outside and not contains(distribution, known[name]):
                self._outside.add(name)
                _logger.warning(
                    "The space has changed since the run began: trial %s was trained with %s=%r, which lies outside "
                    "%s now. What was trained stays as it was; new trials keep to the new range",
                    *(trial_id, name, known[name], in_words(distribution)),
                )
        return Proposal(dict(config), {name: known[name] for name in ranges}, ranges, replayed.user_attrs)


def _nearest_or(distribution: BaseDistribution, value: Any) -> Any:
    """The value of a distribution that is nearest to a given one, or the middle if none stands for it."""
    try:
        return nearest(distribution, value)
    except ValueError:
        return at_share(distribution, 0.5)
