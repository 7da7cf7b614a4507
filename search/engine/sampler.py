"""Proposes the next configuration: a Gaussian process over everything seen, and the candidate it expects most of.

Candidates are drawn at random, near the best trials, and near the most promising of these. Measured against Ray's
OptunaSearch in `scripts/benchmarks/regret.py`.

Letters: `M` candidates.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError
from scipy.stats import norm, rankdata
from threadpoolctl import ThreadpoolController

from search.engine.columns import columns_of, encode
from search.engine.draws import Draw, Key, Seen, child_of, key_of, near_the_best, random_trial, untried
from search.engine.gaussian_process import GaussianProcess
from spaces.sampling import RecordedTrial, Space

STARTUP_TRIALS = 8
"""Trials with a value before the process is asked; until then proposals are drawn."""
FEW = 2
"""Settings that a draw near a good configuration changes in the mean, and a child at most, until the process is asked.
Afterwards they grow with the number of trials, up to all. Draws of all settings were .119 behind the default, of one
.004 (docs/engine.md)."""
FIRST_CANDIDATES = 32
"""Of which one is drawn in the beginning, where trials differ in what they cost."""
RANDOM_CANDIDATES = 300
PARENTS = 8
CHILDREN = 20
"""Candidates near each parent, a parent being one of the best trials."""
STEPS = (0.03, 0.1, 0.2)
"""Standard deviations of a child's change, as a share of the parameter's range."""
FINE_STEPS = (0.1, 0.03)
"""The same of rounds in which the most promising candidates have children: the best of a sample is rarely the peak."""
FINE_PARENTS = 4
FINE_CHILDREN = 15
MOST_TRIALS = 150
"""Trials that the process is fitted on at most: the best half, and a sample of the others."""


Price = Callable[[Sequence[RecordedTrial]], np.ndarray]
"""What each of some candidates costs, `(M,)`, in the unit of a logarithm of expected improvement."""


def propose(
    space: Space, seen: Sequence[Seen], rng: np.random.Generator, price: Price | None = None, *, near: bool = False
) -> RecordedTrial:
    """Returns a trial on which the space has been run, with the proposed values.

    Args:
        space: To propose from.
        seen: What is known.
        rng: Of this proposal alone.
        price: Taken off what is expected of a candidate; None where all cost the same.
        near: Whether what is seen holds a good configuration from the start, so that what is drawn shall stay near the
            best, the nearer the fewer trials there are.
    """
    known = [trial for trial in seen if trial.value is not None]
    tried = {key_of(trial.params) for trial in seen}
    good = [trial for trial in seen if not trial.has_failed]
    most = FEW * max(1.0, len(known) / STARTUP_TRIALS) if near and good else math.inf
    draw = functools.partial(random_trial, space) if math.isinf(most) else near_the_best(space, good, most)
    if len(known) < STARTUP_TRIALS:
        return untried(draw, tried, rng) if price is None else _cheap(draw, tried, rng, price)
    try:
        with _threads().limit(limits=1):  # the matrices are small, and more threads would round differently
            return _most_promising(space, draw, most, seen, known, tried, rng, price)
    except LinAlgError:  # a kernel matrix that rounding has spoiled
        return untried(draw, tried, rng)


def _most_promising(
    space: Space,
    draw: Draw,
    most: float,
    seen: Sequence[Seen],
    known: Sequence[Seen],
    tried: Container[Key],
    rng: np.random.Generator,
    price: Price | None,
) -> RecordedTrial:
    candidates = [trial for trial in _candidates(space, draw, most, known, rng) if key_of(trial.params) not in tried]
    known = _thinned(known, rng)
    running = [trial for trial in seen if trial.value is None]
    columns = columns_of([*known, *running, *candidates])
    if not candidates or not columns:
        return untried(draw, tried, rng)
    features = encode(known, columns)
    targets = norm.ppf((rankdata([trial.value for trial in known]) - 0.5) / len(known))
    process = GaussianProcess.fitted(features, targets)
    if running:  # as if each of them had reached just what is expected of it: the next one goes elsewhere
        at = encode(running, columns)
        process = process.given(np.vstack([features, at]), np.append(targets, process.predict(at)[0]))

    def expected(candidates: Sequence[RecordedTrial]) -> np.ndarray:
        mean, deviation = process.predict(encode(candidates, columns))
        gain = _log_expected_improvement(mean, deviation, targets.max())
        return gain if price is None else gain - price(candidates)

    gains = expected(candidates)
    for step in FINE_STEPS:
        order = np.argsort(-gains, kind="stable")[:FINE_PARENTS]
        parents = [candidates[index] for index in order]
        children = [child_of(space, parent, step, most, rng) for parent in parents for _ in range(FINE_CHILDREN)]
        children = [child for child in children if key_of(child.params) not in tried and _has_columns(child, columns)]
        candidates = [*parents, *children]
        gains = np.append(gains[order], expected(children) if children else [])
    return candidates[int(np.argmax(gains))]


@functools.cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


def _cheap(draw: Draw, tried: Container[Key], rng: np.random.Generator, price: Price) -> RecordedTrial:
    """One of some drawn trials, the likelier the less it costs: of twice the cost is half as likely."""
    drawn = [draw(rng) for _ in range(FIRST_CANDIDATES)]
    drawn = [trial for trial in drawn if key_of(trial.params) not in tried] or [untried(draw, tried, rng)]
    return drawn[int(np.argmax(rng.gumbel(size=len(drawn)) - price(drawn)))]


def _candidates(
    space: Space, draw: Draw, most: float, known: Sequence[Seen], rng: np.random.Generator
) -> list[RecordedTrial]:
    best = sorted(known, key=lambda trial: -(trial.value or 0.0))[:PARENTS]
    steps = [STEPS[index % len(STEPS)] for index in range(CHILDREN)]
    children = [child_of(space, parent, step, most, rng) for parent in best for step in steps]
    return [draw(rng) for _ in range(RANDOM_CANDIDATES)] + children


def _thinned(known: Sequence[Seen], rng: np.random.Generator) -> list[Seen]:
    if len(known) <= MOST_TRIALS:
        return list(known)
    order = sorted(range(len(known)), key=lambda index: -(known[index].value or 0.0))
    half = MOST_TRIALS // 2
    others = rng.choice(order[half:], MOST_TRIALS - half, replace=False)
    return [known[index] for index in sorted([*order[:half], *others])]


def _has_columns(trial: RecordedTrial, columns: Mapping[Any, int]) -> bool:
    """Whether all that a trial has is known: a child may come upon a parameter that no other candidate has."""
    return columns.keys() >= columns_of([trial]).keys()


def _log_expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    gap = (mean - best) / deviation
    return np.log(np.maximum(deviation * (gap * norm.cdf(gap) + norm.pdf(gap)), 1e-300))
