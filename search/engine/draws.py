"""Draws configurations by running the space itself: at random, near the best trial, or as the child of another.

So conditional and categorical spaces need no treatment of their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from search.engine.columns import Described
from spaces.sampling import RecordedTrial, Space, at_share, contains, share_of
from trainables.errors import UserError

Key = frozenset[tuple[str, Any]]
"""Names and values of a configuration."""
MOST_DRAWS = 64
"""Until a random one is new, at most: of a small space most may have been tried."""
Draw = Callable[[np.random.Generator], RecordedTrial]
"""Draws a configuration."""


@dataclass(frozen=True)
class Seen:
    """A trial as the sampler sees it."""

    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    value: float | None
    """Value at full length, larger is better; None for a trial that runs and has none yet."""
    has_failed: bool = False
    """Whether the value is that of the worst, as it has none of its own."""


def random_trial(space: Space, rng: np.random.Generator) -> RecordedTrial:
    """A random trial. What a user's own space fails on now and then is no configuration of it, and is drawn anew.

    Raises:
        UserError: It fails on all that are drawn.
    """
    for _ in range(MOST_DRAWS):
        trial = RecordedTrial(lambda name, distribution: at_share(distribution, rng.random()))
        if (error := _failure(space, trial)) is None:
            return trial
    raise UserError(f"the space fails on {MOST_DRAWS} samples one after another: {error!r}") from error


_said: set[tuple[int, type[Exception]]] = set()
"""Spaces of this process, and what it has been said that they fail with."""


def _failure(space: Space, trial: RecordedTrial) -> Exception | None:
    """Runs a space; what it fails with is said once."""
    try:
        space(trial)
    except Exception as error:
        if (key := (id(space), type(error))) not in _said:
            _said.add(key)
            warnings.warn(f"the space fails on {trial.params} and others ({error!r}): these are left out", stacklevel=2)
        return error
    return None


def near_the_best(space: Space, seen: Sequence[Seen], mean: float) -> Draw:
    """Draws like the best trial but for so many settings, each of any value; like the first where none has a value."""
    known = [trial for trial in seen if trial.value is not None]
    parent = max(known, key=lambda trial: trial.value or 0.0, default=seen[0])
    names = sorted(parent.params)
    share = mean / max(1, len(names))

    def draw(rng: np.random.Generator) -> RecordedTrial:
        if share >= 1:
            return random_trial(space, rng)
        anew = {name for name in names if rng.random() < share} or {names[rng.integers(len(names))]}
        return _like(space, parent, anew, rng)

    return draw


def untried(draw: Draw, tried: Container[Key], rng: np.random.Generator) -> RecordedTrial:
    """A drawn trial that is not known yet, unless a small space hardly has one."""
    for _ in range(MOST_DRAWS):
        drawn = draw(rng)
        if key_of(drawn.params) not in tried:
            break
    return drawn


def child_of(space: Space, parent: Described, step: float, most: float, rng: np.random.Generator) -> RecordedTrial:
    """A trial like its parent but for some parameters: one or two in half of the children, more in the others.

    These are three fifths of them, or so many on average as they may be at most.
    """
    count = len(parent.params)
    share = min(1.0, 2 / max(count, 1)) if rng.random() < 0.5 else min(0.6, most / max(count, 1))
    chosen = rng.permutation(count)[: max(1, rng.binomial(count, share))]
    names = list(parent.params)
    return _like(space, parent, {names[index] for index in chosen}, rng, step)


def _like(
    space: Space, parent: Described, changed: Container[str], rng: np.random.Generator, step: float | None = None
) -> RecordedTrial:
    """A trial like its parent but for some parameters: drawn anew, or numbers moved by a step where there is one."""

    def choose(name: str, distribution: BaseDistribution) -> Any:
        before, value = parent.distributions.get(name), parent.params.get(name)
        if type(before) is not type(distribution) or (step is None and name in changed):
            return at_share(distribution, rng.random())
        if type(distribution) is CategoricalDistribution:
            kept = name not in changed and value in distribution.choices
            return value if kept else at_share(distribution, rng.random())
        inside = contains(before, value)  # which what was trained before the space changed need not be
        if name not in changed and before == distribution and inside:
            return value
        moved = share_of(before, value)  # where another family has another range: at the same place in it
        if not inside:
            moved = min(1.0, max(0.0, moved))
        if step is not None and name in changed:
            moved = abs(moved + rng.normal(0, step))
        return at_share(distribution, min(1.0, max(0.0, moved if moved <= 1 else 2 - moved)))  # reflected at the ends

    trial = RecordedTrial(choose)
    return trial if _failure(space, trial) is None else random_trial(space, rng)


def key_of(params: Mapping[str, Any]) -> Key:
    """By which a configuration is known again."""
    return frozenset(params.items())
