"""How far a score on a handful of people can be trusted: 95% intervals from a bootstrap over groups.

Pictures of one person rise and fall together, so people are drawn anew, not pictures. The resamples give the standard
error: their spread, or what the jackknife over groups says where that is more. Their percentiles are not used: with few
people a resample easily lacks a class, or answers it just as wrongly as the people who stand for it, so the
percentiles lie too low and too close. Macro-F1 of a weak network also errs downwards more easily than upwards, since a
class of one or two people has an F1 of 0 until one of their pictures is answered rightly. So a score's interval is
taken on a scale where its ends can be told from the standard error (the arcsine of the square root, which also keeps
it between 0 and 1), around the score with half a person answered rightly and half a person wrongly added, and with
Student's t. On answers of ten networks that this was not developed on, 95% intervals held the truth in .98, .97 and
.96 of 2,000 test sides of 12, 25 and 60 people (plain percentile intervals in .81, .89 and .90), and those of the
difference between two of them in .96, .97 and .95 of 1,000 (`scripts/benchmarks/intervals.py`). With good networks and
few people they are wider than needed: without its only person a class is gone, which the jackknife takes for news.

Letters: `G` groups, `C` classes, `N` pictures, `R` resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import t

from trainables.scores import accuracy as accuracy
from trainables.scores import macro_f1 as macro_f1

NUM_RESAMPLES = 1000
"""Enough for a standard error, which they give to 2%."""
LEVEL = 0.95
SMALLEST_PROBABILITY = 1e-12
"""A probability below counts as this in a loss: float32 hardly tells it from 0, whose logarithm is infinite."""
BLOCK = 2**20
"""Draws of a group at a time, to bound the memory."""
TABLE_BLOCK = 2**24
"""Numbers of a table at a time, for the same reason."""
MOST_GROUPS = 2000
"""Groups that are told apart; of so many equal ones, the standard error is uncertain by 1.6%."""


@dataclass(frozen=True)
class Interval:
    """A score and its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{_short(self.value)} [{_short(self.low)}, {_short(self.high)}]"

    def to_json(self) -> dict[str, float | None]:
        """As strict JSON values; an end that is not known is null."""
        return {name: value if value == value else None for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, float | None]) -> Interval:
        """What `to_json` gave."""
        return cls(**{name: math.nan if value is None else value for name, value in values.items()})


def group_places(groups: Sequence[str]) -> tuple[int, np.ndarray]:
    """How many groups are told apart, and which of them each picture `(N,)` is of, in sorted order of their names.

    More than `MOST_GROUPS` are dealt at random into so many, the same ones each time: drawn anew together, they give
    the same standard error, and tables of groups stay small where every picture is a group of its own.
    """
    names, place = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(names) <= MOST_GROUPS:
        return len(names), place
    dealt = np.random.default_rng(0).permutation(len(names)) % MOST_GROUPS
    return MOST_GROUPS, dealt[place]


def group_counts(labels: Sequence[int], answers: Sequence[int], groups: Sequence[str], num_classes: int) -> np.ndarray:
    """What scores are made of, a group each: `(G, 3, C) int64`, groups as `group_places` has them.

    The three are pictures of a class answered rightly, pictures of it, and pictures answered as it.
    """
    num_groups, place = group_places(groups)
    truth, answer = np.asarray(labels, dtype=np.int64), np.asarray(answers, dtype=np.int64)
    counts = np.zeros((num_groups, 3, num_classes), dtype=np.int64)
    right = truth == answer
    np.add.at(counts[:, 0], (place[right], truth[right]), 1)
    np.add.at(counts[:, 1], (place, truth), 1)
    np.add.at(counts[:, 2], (place, answer), 1)
    return counts


def score_interval(
    counts: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray] = macro_f1, seed: int = 0
) -> Interval:
    """A score of all groups together, counts `(G, 3, C)`, with its interval between 0 and 1."""
    num_groups = len(counts)
    value, error = _standard_error(counts, statistic, seed)
    if num_groups < 2:
        return Interval(value, math.nan, math.nan)
    # One more person could move the score by so much, even where all of them are answered alike.
    error = max(error, 0.5 / (num_groups + 1))
    middle = (num_groups * value + 0.5) / (num_groups + 1)
    angle = math.asin(math.sqrt(middle))
    half = _t_quantile(num_groups) * error / (2 * math.sqrt(middle * (1 - middle)))
    low, high = math.sin(max(angle - half, 0)) ** 2, math.sin(min(angle + half, math.pi / 2)) ** 2
    return Interval(value, min(low, value), max(high, value))


def difference_interval(
    first: np.ndarray, second: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray] = macro_f1, seed: int = 0
) -> Interval:
    """How much better the first of two models is on the same groups, counts `(G, D, C)` each, with its interval.

    Each resample is of the same people for both, so what is hard for both does not blur the difference.
    """
    pair = np.concatenate([first, second], axis=1)
    num = first.shape[1]
    return _symmetric(pair, lambda counts: statistic(counts[..., :num, :]) - statistic(counts[..., num:, :]), seed)


def mean_interval(values: Sequence[float], groups: Sequence[str], seed: int = 0) -> Interval:
    """A mean over pictures `(N,)` of what is never negative, such as a loss, with its interval over groups."""
    num_groups, place = group_places(groups)
    sums = np.zeros((num_groups, 2, 1))
    np.add.at(sums[:, 0, 0], place, np.asarray(values, dtype=float))
    np.add.at(sums[:, 1, 0], place, 1)
    interval = _symmetric(sums, lambda total: total[..., 0, 0] / total[..., 1, 0], seed)
    return Interval(interval.value, max(interval.low, 0.0), interval.high)  # in this order NaN stays NaN


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross-entropy of each picture in nats, `(N,)`, from probabilities `(N, C)` and true classes `(N,)`."""
    right = probabilities[np.arange(len(labels)), labels].astype(float)
    return -np.log(np.maximum(right, SMALLEST_PROBABILITY))


def _symmetric(parts: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int) -> Interval:
    value, error = _standard_error(parts, statistic, seed)
    half = _t_quantile(len(parts)) * error
    return Interval(value, value - half, value + half)


def _t_quantile(num_groups: int) -> float:
    return float(t.ppf((1 + LEVEL) / 2, num_groups - 1))  # NaN for one group


def _standard_error(parts: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int) -> tuple[float, float]:
    """The statistic of all groups' `parts (G, ...)` added up, and its standard error; NaN for one group alone."""
    num_groups = len(parts)
    total = parts.sum(axis=0)
    value = float(statistic(total))
    if num_groups < 2:  # nothing to draw from: one group says nothing about others
        return value, math.nan
    rng = np.random.default_rng(seed)
    flat = parts.reshape(num_groups, -1).astype(float)
    scores = np.empty(NUM_RESAMPLES)
    block = max(1, BLOCK // num_groups)
    for start in range(0, NUM_RESAMPLES, block):
        size = min(block, NUM_RESAMPLES - start)
        drawn = rng.integers(num_groups, size=(size, num_groups)) + num_groups * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * num_groups).reshape(size, num_groups)
        scores[start : start + size] = statistic((times @ flat).reshape(size, *total.shape))
    rows = max(1, TABLE_BLOCK // total.size)
    without = np.concatenate([statistic(total - parts[at : at + rows]) for at in range(0, num_groups, rows)])
    jackknife = math.sqrt((num_groups - 1) * np.mean((without - without.mean()) ** 2))
    return value, max(float(scores.std()), jackknife)


def verdict(difference: Interval, other: str) -> str:
    """The difference of two models on the same people in words."""
    if not difference.low <= 0 <= difference.high and difference.low == difference.low:
        word = "better" if difference.value > 0 else "worse"
        sign = 1 if difference.value > 0 else -1
        ends = sorted((sign * difference.low, sign * difference.high))
        return f"{word} than {other} by {_short(abs(difference.value))} [{_short(ends[0])}, {_short(ends[1])}]"
    return f"not distinguishable from {other} (difference {difference})"


def _short(value: float) -> str:
    """Three digits after the point without a zero before it; NaN as such."""
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"
