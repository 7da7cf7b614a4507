"""Arms of a study compared over repeats: what each scored, how far apart they are, and whether that says anything.

A repeat draws people to hold out, trains every arm on the others with one seed, and scores all arms on the same people;
so differences are taken within a repeat. Repeats of one data set share people, and so are not independent: intervals
are those of the corrected resampled t test (Nadeau & Bengio 2003), whose variance is (1/n + held out/trained on) times
that over the n repeats. They are meant to cover both other seeds and other people.

Where several arms are compared with the first, a verdict counts that: Holm's (1979) step-down correction over the arms.

Letters: `N` pictures of a side, `C` classes, `n` repeats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from results.statistics.bootstrap import LEVEL, SMALLEST_PROBABILITY, Interval, accuracy, group_counts, macro_f1

RAREST = 5
"""Classes that the measure `rarest` is the mean of."""
ATTRIBUTE = "attribute:"
"""Prefix of the measure that is macro-F1 over the values of one attribute."""


@dataclass(frozen=True)
class Measure:
    """What a number about a network means."""

    title: str
    """In a table."""
    more: str = "better"
    """What an arm is that has more of it."""
    less: str = "worse"
    is_share: bool = True
    """Whether it lies between 0 and 1."""


MEASURES = {
    "macro_f1": Measure("macro-F1"),
    "accuracy": Measure("accuracy"),
    "loss": Measure("cross-entropy (lower is better)", "worse", "better", is_share=False),
    "rarest": Measure(f"mean F1 of the {RAREST} rarest classes"),
    "claimed": Measure("macro-F1 on the arm's own validation side", "higher", "lower"),
    "flattery": Measure(
        "own validation side minus people never seen", "flatters more,", "flatters less,", is_share=False
    ),
}
"""All but `claimed` are taken on the people held out."""


@dataclass(frozen=True)
class Answers:
    """What a network said of the pictures of a side."""

    labels: np.ndarray
    """`(N,) int64`."""
    probabilities: np.ndarray
    """`(N, C) float32`."""


NO_SPREAD = 1e-12
"""A deviation below counts as none: it is what rounding leaves of equal values."""


@dataclass(frozen=True)
class Classes:
    """What measures need to know of the classes."""

    pictures: Sequence[int]
    """Of each class, in all."""
    attributes: Mapping[str, Sequence[str]]
    """Attribute to its value for each class; empty where classes are no products."""

    @property
    def rarest(self) -> list[int]:
        """The classes with the fewest pictures, of those that have any; the first of equals."""
        there = [index for index, number in enumerate(self.pictures) if number]
        return sorted(there, key=lambda index: self.pictures[index])[:RAREST]


@dataclass(frozen=True)
class Compared:
    """An arm, and how it stands to the first."""

    arm: str
    scores: tuple[float, ...]
    """One a repeat; empty where the arm has none."""
    mean: Interval
    difference: Interval | None = None
    """To the first arm; None for the first arm itself, and where one of the two has no scores."""
    p_value: float = math.nan
    """That a difference this large is luck, corrected for the number of arms."""
    verdict: str = ""
    """The difference in words."""


def measure_named(name: str) -> Measure:
    """The measure of this name, of `MEASURES` or an attribute behind `ATTRIBUTE`."""
    return MEASURES.get(name) or Measure(f"macro-F1 of {name.removeprefix(ATTRIBUTE)}")


def measure(name: str, held_out: Answers, claimed: Answers | None, classes: Classes) -> float:
    """A measure of one network.

    Args:
        name: Of `MEASURES`, or an attribute behind `ATTRIBUTE`.
        held_out: What it said of people never seen.
        claimed: What it said of its own validation side, where it has one.
        classes: Their sizes and attributes.
    """
    if name.startswith(ATTRIBUTE):
        return _macro_f1(_of_attribute(held_out, classes.attributes[name.removeprefix(ATTRIBUTE)]))
    if name == "loss":
        right = held_out.probabilities[np.arange(len(held_out.labels)), held_out.labels]
        return float(-np.log(np.maximum(right.astype(float), SMALLEST_PROBABILITY)).mean())
    if name == "rarest":
        counts = _counts(held_out)[..., classes.rarest]
        return float(macro_f1(counts))
    if name == "accuracy":
        return float(accuracy(_counts(held_out)))
    if name == "macro_f1":
        return _macro_f1(held_out)
    assert claimed is not None
    return _macro_f1(claimed) - (_macro_f1(held_out) if name == "flattery" else 0)


def compare(scores: Mapping[str, Sequence[float]], ratio: float, of: Measure) -> list[Compared]:
    """Compares each arm with the first.

    Args:
        scores: Arm to its scores, one a repeat in the same order for all; none for an arm that could not be trained.
        ratio: Pictures that a repeat holds out to those that it trains on.
        of: What the scores are.
    """
    first, *others = scores
    differences = {
        arm: np.subtract(scores[arm], scores[first]) for arm in others if len(scores[arm]) and len(scores[first])
    }
    p_values = holm({arm: _p_value(values, ratio) for arm, values in differences.items()})
    rows = []
    for arm, values in scores.items():
        mean = interval(values, ratio)
        if of.is_share:
            mean = Interval(mean.value, *np.clip([mean.low, mean.high], 0, 1).tolist())
        if arm in differences:
            difference = interval(differences[arm], ratio)
            words = _verdict(difference, p_values[arm], len(differences), of)
            rows.append(Compared(arm, tuple(values), mean, difference, p_values[arm], words))
        else:
            rows.append(Compared(arm, tuple(values), mean))
    return rows


def interval(values: Sequence[float] | np.ndarray, ratio: float) -> Interval:
    """The mean of repeats with its corrected 95% interval; NaN without any; no ends where all are equal."""
    if len(values) == 0:
        return Interval(math.nan, math.nan, math.nan)
    mean = float(np.mean(values))
    if len(values) < 2 or _standard_error(values, ratio) == 0:
        return Interval(mean, math.nan, math.nan)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * _standard_error(values, ratio)
    return Interval(mean, mean - half, mean + half)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P values of several comparisons, each corrected for there being several (Holm 1979)."""
    corrected, highest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[name] * (len(p_values) - place)))
        corrected[name] = highest
    return corrected


def in_words(rows: Sequence[Compared]) -> str:
    """What a comparison says, in a sentence or two."""
    first, *others = rows
    compared = [row for row in others if row.difference is not None]
    if not compared:
        return f"Nothing could be compared with {first.arm}."
    told = [row for row in compared if _told_apart(row.p_value)]
    every = [row.difference.high - row.difference.value for row in compared if row.difference is not None]
    halves = [half for half in every if math.isfinite(half)]  # equal scores have no interval
    which = "interval of the difference" if len(halves) == 1 else "median interval of the differences"
    hidden = f"with n = {len(first.scores)}"
    if halves:
        least = float(np.median(halves))
        hidden += f", differences smaller than about {least:.3f} do not show (half the {which})"
    if not told:
        return f"Nothing can be told apart from {first.arm}: {hidden}."
    words = "; ".join(f"{row.arm}: {row.verdict}" for row in told)
    rest = len(compared) - len(told)
    more = f" Not told apart from it: the other {rest}; {hidden}." if rest else ""
    return f"Against {first.arm}: {words}.{more}"


def _counts(answers: Answers) -> np.ndarray:
    """As in `results.statistics.bootstrap`, of all pictures together: `(3, C) int64`."""
    said, everyone = answers.probabilities.argmax(1), ["all"] * len(answers.labels)
    return group_counts(answers.labels.tolist(), said.tolist(), everyone, answers.probabilities.shape[1])[0]


def _macro_f1(answers: Answers) -> float:
    return float(macro_f1(_counts(answers)))


def _of_attribute(answers: Answers, by_class: Sequence[str]) -> Answers:
    """The same answers about the values of one attribute, each as probable as its classes together."""
    values = list(dict.fromkeys(by_class))
    place = np.array([values.index(value) for value in by_class])
    return Answers(place[answers.labels], answers.probabilities @ np.eye(len(values))[place])


def _standard_error(values: Sequence[float] | np.ndarray, ratio: float) -> float:
    spread = float(np.std(values, ddof=1))
    return spread * math.sqrt(1 / len(values) + ratio) if spread > NO_SPREAD else 0.0


def _p_value(values: np.ndarray, ratio: float) -> float:
    mean = abs(float(values.mean()))
    if len(values) < 2 or mean == 0:
        return 1.0
    error = _standard_error(values, ratio)
    return 1.0 if error == 0 else float(2 * stats.t.sf(mean / error, len(values) - 1))  # equal ones say no spread


def _told_apart(p_value: float) -> bool:
    return p_value < 1 - LEVEL


def _verdict(difference: Interval, p_value: float, num_arms: int, of: Measure) -> str:
    if _told_apart(p_value):
        return f"{of.more if difference.value > 0 else of.less} by {Interval(*_positive(difference))}"
    if difference.low > 0 or difference.high < 0:
        return f"not distinguishable, as one of {num_arms} that were tried (p = {p_value:.2f})"
    return "not distinguishable"


def _positive(difference: Interval) -> tuple[float, float, float]:
    if difference.value >= 0:
        return difference.value, difference.low, difference.high
    return -difference.value, -difference.high, -difference.low
