"""Proposes the next configuration: a Gaussian process over everything seen, and the candidate it expects most of.

Candidates come from running the space itself: at random, near the best trials, and near the most promising of these. So
conditional and categorical spaces need no treatment of their own. Measured against Ray's OptunaSearch in
`scripts/benchmarks/regret.py`.

Letters: `N` trials, `M` candidates, `D` columns (one for a number, one for each choice of a category).
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.optimize import minimize
from scipy.stats import norm, rankdata
from threadpoolctl import ThreadpoolController

from spaces.sampling import RecordedTrial, Space, at_share, contains, share_of
from trainables.errors import UserError

Key = frozenset[tuple[str, Any]]
"""Names and values of a configuration."""
STARTUP_TRIALS = 8
"""Trials with a value before the process is asked; until then proposals are drawn."""
FEW = 2
"""Settings that a draw near a good configuration changes in the mean, and a child at most, until the process is asked.
Afterwards they grow with the number of trials, up to all. Draws of all settings were .119 behind the default, of one
.004 (docs/engine.md)."""
MOST_DRAWS = 64
"""Until a random one is new, at most: of a small space most may have been tried."""
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
ABSENT = -0.5
"""Stands for a parameter that a trial does not have; those that have it lie between 0 and 1."""


class Described(Protocol):
    """A configuration with the ranges it is from: a candidate, or a trial."""

    @property
    def params(self) -> Mapping[str, Any]:
        """What the space suggested."""

    @property
    def distributions(self) -> Mapping[str, BaseDistribution]:
        """The ranges it was suggested from."""


@dataclass(frozen=True)
class Seen:
    """A trial as the sampler sees it."""

    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    value: float | None
    """Value at full length, larger is better; None for a trial that runs and has none yet."""
    has_failed: bool = False
    """Whether the value is that of the worst, as it has none of its own."""


Draw = Callable[[np.random.Generator], RecordedTrial]
"""Draws a configuration."""
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
    tried = {_key(trial.params) for trial in seen}
    good = [trial for trial in seen if not trial.has_failed]
    most = FEW * max(1.0, len(known) / STARTUP_TRIALS) if near and good else math.inf
    draw = functools.partial(_random, space) if math.isinf(most) else _near_the_best(space, good, most)
    if len(known) < STARTUP_TRIALS:
        return _untried(draw, tried, rng) if price is None else _cheap(draw, tried, rng, price)
    try:
        with _threads().limit(limits=1):  # the matrices are small, and more threads would round differently
            return _most_promising(space, draw, most, seen, known, tried, rng, price)
    except LinAlgError:  # a kernel matrix that rounding has spoiled
        return _untried(draw, tried, rng)


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
    candidates = [trial for trial in _candidates(space, draw, most, known, rng) if _key(trial.params) not in tried]
    known = _thinned(known, rng)
    running = [trial for trial in seen if trial.value is None]
    columns = columns_of([*known, *running, *candidates])
    if not candidates or not columns:
        return _untried(draw, tried, rng)
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
        children = [_child(space, parent, step, most, rng) for parent in parents for _ in range(FINE_CHILDREN)]
        children = [child for child in children if _key(child.params) not in tried and _has_columns(child, columns)]
        candidates = [*parents, *children]
        gains = np.append(gains[order], expected(children) if children else [])
    return candidates[int(np.argmax(gains))]


@functools.cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


def _random(space: Space, rng: np.random.Generator) -> RecordedTrial:
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


def _near_the_best(space: Space, seen: Sequence[Seen], mean: float) -> Draw:
    """Draws like the best trial but for so many settings, each of any value; like the first where none has a value."""
    known = [trial for trial in seen if trial.value is not None]
    parent = max(known, key=lambda trial: trial.value or 0.0, default=seen[0])
    names = sorted(parent.params)
    share = mean / max(1, len(names))

    def draw(rng: np.random.Generator) -> RecordedTrial:
        if share >= 1:
            return _random(space, rng)
        anew = {name for name in names if rng.random() < share} or {names[rng.integers(len(names))]}
        return _like(space, parent, anew, rng)

    return draw


def _untried(draw: Draw, tried: Container[Key], rng: np.random.Generator) -> RecordedTrial:
    """A drawn trial that is not known yet, unless a small space hardly has one."""
    for _ in range(MOST_DRAWS):
        drawn = draw(rng)
        if _key(drawn.params) not in tried:
            break
    return drawn


def _cheap(draw: Draw, tried: Container[Key], rng: np.random.Generator, price: Price) -> RecordedTrial:
    """One of some drawn trials, the likelier the less it costs: of twice the cost is half as likely."""
    drawn = [draw(rng) for _ in range(FIRST_CANDIDATES)]
    drawn = [trial for trial in drawn if _key(trial.params) not in tried] or [_untried(draw, tried, rng)]
    return drawn[int(np.argmax(rng.gumbel(size=len(drawn)) - price(drawn)))]


def _candidates(
    space: Space, draw: Draw, most: float, known: Sequence[Seen], rng: np.random.Generator
) -> list[RecordedTrial]:
    best = sorted(known, key=lambda trial: -(trial.value or 0.0))[:PARENTS]
    steps = [STEPS[index % len(STEPS)] for index in range(CHILDREN)]
    children = [_child(space, parent, step, most, rng) for parent in best for step in steps]
    return [draw(rng) for _ in range(RANDOM_CANDIDATES)] + children


def _child(space: Space, parent: Described, step: float, most: float, rng: np.random.Generator) -> RecordedTrial:
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
    return trial if _failure(space, trial) is None else _random(space, rng)


def _thinned(known: Sequence[Seen], rng: np.random.Generator) -> list[Seen]:
    if len(known) <= MOST_TRIALS:
        return list(known)
    order = sorted(range(len(known)), key=lambda index: -(known[index].value or 0.0))
    half = MOST_TRIALS // 2
    others = rng.choice(order[half:], MOST_TRIALS - half, replace=False)
    return [known[index] for index in sorted([*order[:half], *others])]


def columns_of(trials: Sequence[Described]) -> dict[Any, int]:
    """The `D` columns that some trials have together: by the name of a number, by name and choice of a category."""
    columns: dict[Any, int] = {}
    distinct = {(name, id(found)): found for trial in trials for name, found in trial.distributions.items()}
    for (name, _), distribution in distinct.items():
        if type(distribution) is CategoricalDistribution:
            for choice in distribution.choices:
                columns.setdefault((name, choice), len(columns))
        else:
            columns.setdefault(name, len(columns))
    return columns


def _has_columns(trial: Described, columns: Mapping[Any, int]) -> bool:
    """Whether all that a trial has is known: a child may come upon a parameter that no other candidate has."""
    return columns.keys() >= columns_of([trial]).keys()


def encode(trials: Sequence[Described], columns: Mapping[Any, int]) -> np.ndarray:
    """`(N, D) float64`: numbers as shares of their range, categories as ones and zeros."""
    encoded = np.full((len(trials), len(columns)), ABSENT)
    for row, trial in enumerate(trials):
        for name, distribution in trial.distributions.items():
            value = trial.params[name]
            if type(distribution) is CategoricalDistribution:
                for choice in distribution.choices:
                    encoded[row, columns[name, choice]] = float(choice == value)
            else:
                encoded[row, columns[name]] = share_of(distribution, value)
    return encoded


def _log_expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    gap = (mean - best) / deviation
    return np.log(np.maximum(deviation * (gap * norm.cdf(gap) + norm.pdf(gap)), 1e-300))


def _key(params: Mapping[str, Any]) -> Key:
    return frozenset(params.items())


@dataclass(frozen=True)
class GaussianProcess:
    """A zero-mean process with a Matern 5/2 kernel and a length scale for each column.

    `theta (D + 2,)` holds logarithms: inverse squared length scales, signal variance, noise variance.
    """

    theta: np.ndarray
    features: np.ndarray
    factor: np.ndarray
    """Lower Cholesky factor `(N, N)` of the kernel matrix."""
    weights: np.ndarray
    """Kernel matrix inverse times targets, `(N,)`."""

    @classmethod
    def fitted(cls, features: np.ndarray, targets: np.ndarray, steps: int = 30) -> GaussianProcess:
        """Chooses `theta` by its posterior under log-normal priors, then conditions on the targets.

        Args:
            features: `(N, D)`.
            targets: `(N,)`, about standard normal.
            steps: Most iterations of L-BFGS.
        """
        rows, columns = features.shape
        left, right = np.tril_indices(rows, -1)
        squares = (features[left] - features[right]) ** 2
        diagonal = np.diag_indices(rows)
        center = np.append(np.full(columns, math.log(PRIOR_INVERSE_SCALE)), [0.0, math.log(PRIOR_NOISE)])
        spread = np.append(np.full(columns, 1.5), [0.7, 1.0])

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            inverse_scales, variance, noise = np.exp(theta[:columns]), math.exp(theta[-2]), math.exp(theta[-1])
            signal, slope = _matern(squares @ inverse_scales, variance)
            kernel = np.zeros((rows, rows))
            kernel[left, right] = signal
            kernel[diagonal] = variance + noise + JITTER
            factor, failed = dpotrf(kernel, lower=True)
            if failed:
                return 1e10, np.zeros_like(theta)
            weights = cho_solve((factor, True), targets)
            inverse, _ = dpotri(factor, lower=True)
            pairs = inverse[left, right] - weights[left] * weights[right]  # off the diagonal, each pair counts twice
            alone = (inverse[diagonal] - weights**2).sum() / 2
            gradient = np.append(
                inverse_scales * ((pairs * slope) @ squares), [pairs @ signal + alone * variance, noise * alone]
            )
            from_prior = (theta - center) / spread
            likelihood = targets @ weights / 2 + np.log(factor[diagonal]).sum()
            return likelihood + (from_prior**2).sum() / 2, gradient + from_prior / spread

        bounds = np.stack([center - 5 * spread, center + 5 * spread], axis=1)  # no overflow on a first long step
        theta = minimize(loss, center, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps}).x
        return cls._conditioned(theta, features, targets)

    def given(self, features: np.ndarray, targets: np.ndarray) -> GaussianProcess:
        """The same `theta` on other data."""
        return self._conditioned(self.theta, features, targets)

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation at `features (M, D)`, each `(M,)`, without the noise."""
        variance = math.exp(self.theta[-2])
        kernel, _ = _matern(_squared_distances(features, self.features, self.theta), variance)
        explained = solve_triangular(self.factor, kernel.T, lower=True)
        return kernel @ self.weights, np.sqrt(np.maximum(variance - (explained**2).sum(axis=0), 1e-8))

    @classmethod
    def _conditioned(cls, theta: np.ndarray, features: np.ndarray, targets: np.ndarray) -> GaussianProcess:
        kernel, _ = _matern(_squared_distances(features, features, theta), math.exp(theta[-2]))
        factor = cho_factor(kernel + (math.exp(theta[-1]) + JITTER) * np.eye(len(features)), lower=True)
        return cls(theta, features, np.tril(factor[0]), cho_solve(factor, targets))


PRIOR_INVERSE_SCALE = 2.0
"""Prior median of an inverse squared length scale: lengths of about .7 of a parameter's range."""
PRIOR_NOISE = 0.05
"""Prior median of the noise variance, the targets' variance being 1."""
JITTER = 1e-6


def _matern(squared: np.ndarray, variance: float) -> tuple[np.ndarray, np.ndarray]:
    """The kernel at squared scaled distances, and its derivative by them."""
    distance = np.sqrt(5 * np.maximum(squared, 1e-20))
    decay = variance * np.exp(-distance)
    return (1 + distance + distance**2 / 3) * decay, -5 / 6 * (1 + distance) * decay


def _squared_distances(left: np.ndarray, right: np.ndarray, theta: np.ndarray) -> np.ndarray:
    scales = np.exp(theta[: left.shape[1]] / 2)
    left, right = left * scales, right * scales
    return np.maximum((left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T, 0)
