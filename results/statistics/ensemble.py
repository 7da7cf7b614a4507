"""Which trials answer better together, chosen on validation people and judged on others.

Three ways of putting trials together are tried beside the best one alone: the mean of the best k; the greedy ensemble
of Caruana et al. (2004): start from nothing, add the trial, again and again and the same one more than once if need be,
that helps the mean of the probabilities most; here in several draws of the people (bags), whose weights are averaged;
and the plain mean of the trials that were trained whole and are nearly as good as the best. What fits the people it is
chosen on is judged by cross-fitting: chosen on the people of four folds, scored on those of the fifth, against the best
trial alone chosen on the same four. One is taken only where a gain is to be expected.

Letters: `T` trials, `N` pictures, `C` classes, `G` groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from results.statistics.bootstrap import Interval, difference_interval, score_interval
from results.statistics.decision import best_tau, decide
from results.statistics.folds import fold_of_pictures
from results.statistics.measure import MACRO_F1, Measure

SINGLE, BEST_K, GREEDY, MEAN = "single best", "mean of the best", "greedy ensemble", "mean of the whole"
USUAL_GAIN = 0.01
"""What trials that were trained whole gain together over the best alone on people never seen, before one has looked:
networks of 20 and of 30 epochs did. Short trials gained nothing (docs/score.md)."""
USUAL_ERROR = 0.02
"""Standard deviation of such gains from one data set to another."""
LEAST_GAIN = 0.001
"""What is to be expected of an ensemble for it to be taken: it costs the time of each network in it."""
MOST_STEPS = 10
"""Trials that a bag takes, counted as often as they are; the weights of a handful are finer than that afterwards."""
MOST_BAGS = 10
WORK = 2e7
"""Probabilities looked at in all bags of a choice, to bound its time: large sets need fewer bags and repeats."""


@dataclass(frozen=True)
class Selection:
    """What is to answer, and what cross-fitting says of it."""

    method: str
    """`SINGLE`, `BEST_K`, `GREEDY` or `MEAN`."""
    weights: tuple[float, ...]
    """Share of each trial, in the order given; they add up to 1."""
    tau: float
    """Power of the prior that probabilities are divided by; 0 for none."""
    validation: float
    """The score on the people it was chosen on, without the rule: flattered."""
    crossfit: Mapping[str, Interval]
    """The score of each method on people that were not used to choose between them, without the rule. Each trial
    answers at its best epoch, which all of them were used for, so these flatter; differences much less."""
    rival: str
    """The ensemble of which most is expected; `SINGLE` where there is none."""
    gain: Interval
    """Of that ensemble over the single best, on people who did not choose."""
    rule_gain: Interval
    """Of the rule over plain answers, on people who did not choose."""
    rule_tau: float
    """The power that was tried, used or not."""

    def to_json(self) -> dict[str, Any]:
        """As strict JSON values."""
        return {
            "method": self.method,
            "weights": list(self.weights),
            "tau": self.tau,
            "validation": self.validation,
            "crossfit": {name: score.to_json() for name, score in self.crossfit.items()},
            "gain": self.gain.to_json(),
            "rule_gain": self.rule_gain.to_json(),
            "rule_tau": self.rule_tau,
        }


def select(
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    prior: np.ndarray,
    *,
    single: bool = False,
    whole: Sequence[int] = (),
    measure: Measure = MACRO_F1,
) -> Selection:
    """Chooses what answers: one trial, or several together, with the decision rule or without.

    An ensemble is taken where its gain over people who did not choose, drawn towards what such ensembles gained
    elsewhere by as much as the people are few, is above `LEAST_GAIN`; the rule where the whole interval of its gain is
    above 0. With fewer than two people nothing can be judged, and the best trial answers alone.

    Args:
        probabilities: `(T, N, C)` of the trials' best epochs.
        labels: True classes `(N,)`.
        groups: Person of each picture `(N,)`.
        prior: Share of each class in what was trained on, `(C,)`, none of it 0.
        single: Whether the best trial shall answer alone.
        whole: Of each trial as how many it counts in the plain mean of those that were trained for so long, and are so
            good, that this may answer; 0 for one that is not. By itself there are none.
        measure: The metric.
    """
    is_whole = np.array([count > 0 for count in whole], dtype=bool)
    folds = fold_of_pictures(groups)[: int(np.clip(WORK / 2 / probabilities.size, 1, MOST_BAGS))]
    alone = single or len(probabilities) < 2 or int(folds.max()) < 1
    choices: dict[str, Callable[..., np.ndarray]] = {SINGLE: single_best}
    if not alone:
        choices |= {MEAN: partial(mean_of, trials=np.asarray(whole, dtype=float))} if is_whole.sum() > 1 else {}
        choices |= {BEST_K: best_k, GREEDY: greedy}
    methods = {name: partial(choose, measure=measure) for name, choose in choices.items()}
    judge = _Judge(probabilities, labels, groups, prior, folds, measure)
    judged = {name: judge.counts(choose) for name, choose in methods.items()}
    plain = {name: counts for name, (counts, _) in judged.items()}
    gains = {name: difference_interval(counts, plain[SINGLE], measure.score) for name, counts in plain.items()}
    everybody = np.ones(len(labels))
    shares = {name: choose(probabilities, labels, everybody, groups) for name, choose in methods.items()}
    expected = {
        name: _expected(gain, _usual_gain(shares[name], is_whole)) for name, gain in gains.items() if name != SINGLE
    }
    rival = max(expected, key=expected.__getitem__, default=SINGLE)  # of equals the first: the simplest
    method = rival if expected.get(rival, 0.0) > LEAST_GAIN else SINGLE
    ruled = judged[method][1]
    rule_gain = difference_interval(ruled, plain[method], measure.score)
    weights = shares[method]
    mixed = np.tensordot(weights, probabilities, axes=1)
    tau = best_tau(mixed, labels, prior, measure)
    return Selection(
        method=method,
        weights=tuple(float(weight) for weight in weights),
        tau=tau if rule_gain.low > 0 else 0.0,
        validation=measure.score_of(labels, mixed.argmax(axis=1), len(prior)),
        crossfit={name: score_interval(counts, measure.score) for name, counts in plain.items()},
        rival=rival,
        gain=gains[rival],
        rule_gain=rule_gain,
        rule_tau=tau,
    )


def _usual_gain(shares: np.ndarray, is_whole: np.ndarray) -> float:
    """`USUAL_GAIN` by how evenly trials that were trained whole share in the answer: nothing where one answers alone.

    Args:
        shares: Of each trial `(T,)`.
        is_whole: Which of them were; of those that were not nothing is known beforehand. Empty if none was.
    """
    num_whole = int(is_whole.sum())
    if num_whole < 2:
        return 0.0
    theirs = shares[is_whole]
    return USUAL_GAIN * min(1.0, float(theirs.sum() ** 2 - np.sum(theirs**2)) / (1 - 1 / num_whole))


def _expected(gain: Interval, usual: float) -> float:
    """A measured gain together with what is usual, each by its certainty; what was not measured is 0."""
    error = (gain.high - gain.low) / 4
    if not math.isfinite(error):
        return 0.0
    certainty = USUAL_ERROR**2 / (USUAL_ERROR**2 + error**2)
    return certainty * gain.value + (1 - certainty) * usual


Choice = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""From probabilities `(T, N, C)`, labels `(N,)`, weights `(N,)` of the pictures and groups `(N,)` to shares `(T,)`."""


def single_best(
    probabilities: np.ndarray,
    labels: np.ndarray,
    pictures: np.ndarray,
    groups: np.ndarray,
    measure: Measure = MACRO_F1,
) -> np.ndarray:
    """All weight to the trial with the highest score, the first of equals."""
    shares = np.zeros(len(probabilities))
    shares[_order(probabilities, labels, pictures, measure)[0]] = 1.0
    return shares


def best_k(
    probabilities: np.ndarray,
    labels: np.ndarray,
    pictures: np.ndarray,
    groups: np.ndarray,
    measure: Measure = MACRO_F1,
) -> np.ndarray:
    """Equal weight to the best few trials, as many as score highest together; of equals the fewest."""
    order = _order(probabilities, labels, pictures, measure)
    sums = np.cumsum(probabilities[order], axis=0)
    scores = [measure.score_of(labels, each.argmax(axis=1), probabilities.shape[2], pictures) for each in sums]
    count = int(np.argmax(scores)) + 1
    shares = np.zeros(len(probabilities))
    shares[order[:count]] = 1 / count
    return shares


def mean_of(
    probabilities: np.ndarray,
    labels: np.ndarray,
    pictures: np.ndarray,
    groups: np.ndarray,
    measure: Measure = MACRO_F1,
    *,
    trials: np.ndarray,
) -> np.ndarray:
    """Weight to trials `(T,)` by what they count: nothing is chosen."""
    return trials / trials.sum()


def greedy(
    probabilities: np.ndarray,
    labels: np.ndarray,
    pictures: np.ndarray,
    groups: np.ndarray,
    measure: Measure = MACRO_F1,
) -> np.ndarray:
    """Caruana's selection with repetition, in bags of people drawn with replacement; the mean of the bags' shares."""
    names, place = np.unique(groups, return_inverse=True)
    bags = int(np.clip(WORK / (probabilities.size * MOST_STEPS), 2, MOST_BAGS))
    rng = np.random.default_rng(0)
    shares = np.zeros(len(probabilities))
    for _ in range(bags):
        drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        shares += _greedy(probabilities, labels, pictures * drawn[place], measure) / bags
    return shares


def _greedy(probabilities: np.ndarray, labels: np.ndarray, pictures: np.ndarray, measure: Measure) -> np.ndarray:
    """The shares `(T,)` at the step with the highest score of all, the first of equals."""
    num_classes = probabilities.shape[2]
    total, taken = np.zeros(probabilities.shape[1:], probabilities.dtype), np.zeros(len(probabilities))
    best_score, best = -1.0, taken
    for _ in range(MOST_STEPS):
        mixed = [(total + each).argmax(axis=1) for each in probabilities]
        scores = [measure.score_of(labels, each, num_classes, pictures) for each in mixed]
        pick = int(np.argmax(scores))
        total, taken = total + probabilities[pick], taken.copy()
        taken[pick] += 1
        if scores[pick] > best_score:
            best_score, best = scores[pick], taken
    return best / best.sum()


def _order(probabilities: np.ndarray, labels: np.ndarray, pictures: np.ndarray, measure: Measure) -> np.ndarray:
    """Trials from the best to the worst, equals in their order."""
    scores = [measure.score_of(labels, each.argmax(axis=1), probabilities.shape[2], pictures) for each in probabilities]
    return np.argsort(-np.asarray(scores), kind="stable")


@dataclass(frozen=True)
class _Judge:
    """Scores a way of choosing on people who did not choose."""

    probabilities: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    prior: np.ndarray
    folds: np.ndarray
    measure: Measure

    def counts(self, choose: Choice) -> tuple[np.ndarray, np.ndarray]:
        """Counts `(G, ...)` over all repeats, of plain answers and of those by the rule fitted on those who chose."""
        plain, ruled = np.zeros(()), np.zeros(())
        for fold in self.folds:
            answers = np.empty((2, len(fold)), dtype=np.int64)
            for number in range(int(fold.max()) + 1):
                inside = fold == number
                chose = ~inside if (~inside).any() else inside
                shares = choose(
                    self.probabilities[:, chose], self.labels[chose], np.ones(int(chose.sum())), self.groups[chose]
                )
                mixed = np.tensordot(shares, self.probabilities, axes=1)
                tau = best_tau(mixed[chose], self.labels[chose], self.prior, self.measure)
                answers[0, inside] = mixed[inside].argmax(axis=1)
                answers[1, inside] = decide(mixed[inside], self.prior, tau)
            plain, ruled = plain + self._by_group(answers[0]), ruled + self._by_group(answers[1])
        return plain, ruled

    def _by_group(self, answers: np.ndarray) -> np.ndarray:
        return self.measure.by_group(self.labels.tolist(), answers.tolist(), self.groups.tolist(), len(self.prior))
