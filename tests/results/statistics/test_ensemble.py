"""What answers is chosen on some people and judged on others; it is no more than it has to be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from results.statistics.bootstrap import Interval, group_counts, macro_f1
from results.statistics.chosen_best import corrected_score
from results.statistics.decision import best_tau, decide
from results.statistics.ensemble import (
    BEST_K,
    GREEDY,
    MEAN,
    SINGLE,
    _expected,
    _usual_gain,
    best_k,
    greedy,
    select,
    single_best,
)
from results.statistics.folds import class_counts, fold_of_pictures

C = 6


def pictures(seed: int, num: int = 360, people: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """True classes and people."""
    rng = np.random.default_rng(seed)
    return rng.integers(C, size=num), rng.integers(people, size=num).astype(str)


def answered(labels: np.ndarray, noise: float, seed: int, prior: np.ndarray | None = None) -> np.ndarray:
    """Probabilities of a network whose logits have so much noise of their own."""
    rng = np.random.default_rng(seed)
    logits = 2.0 * np.eye(C)[labels] + noise * rng.normal(size=(len(labels), C))
    logits = logits if prior is None else logits + np.log(prior)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def score(labels: np.ndarray, answers: np.ndarray) -> float:
    return float(macro_f1(class_counts(labels, answers, C, np.ones(len(labels)))))


def test_class_counts_are_what_groups_add_up_to() -> None:
    labels, groups = pictures(0)
    answers = answered(labels, 2.0, 1).argmax(1)
    by_group = group_counts(labels.tolist(), answers.tolist(), groups.tolist(), C)
    assert (class_counts(labels, answers, C, np.ones(len(labels))) == by_group.sum(0)).all()


def test_all_pictures_of_a_person_are_in_one_fold_and_folds_are_of_a_size() -> None:
    _, groups = pictures(0)
    for fold in fold_of_pictures(groups):
        people = {(person, number) for person, number in zip(groups, fold, strict=True)}
        assert len(people) == len(set(groups))
        assert set(np.bincount([number for _, number in people])) == {8}


def test_networks_with_errors_of_their_own_answer_together_and_new_people_agree() -> None:
    labels, groups = pictures(0)
    new, _ = pictures(1, num=3000)
    selection = select(np.stack([answered(labels, 2.5, seed) for seed in range(4)]), labels, groups, np.full(C, 1 / C))
    assert selection.method in (BEST_K, GREEDY)
    assert selection.gain.low > 0
    assert sum(selection.weights) == pytest.approx(1)
    others = np.stack([answered(new, 2.5, 10 + seed) for seed in range(4)])
    real = score(new, np.tensordot(selection.weights, others, 1).argmax(1)) - score(new, others[0].argmax(1))
    assert selection.gain.low < real < selection.gain.high


def test_one_good_network_beside_poor_ones_answers_alone() -> None:
    labels, groups = pictures(0)
    noisy = [answered(labels, noise, seed) for seed, noise in enumerate((30.0, 0.8, 30.0))]
    selection = select(np.stack(noisy), labels, groups, np.full(C, 1 / C))
    assert selection.method == SINGLE
    assert selection.weights == (0.0, 1.0, 0.0)
    assert set(selection.crossfit) == {SINGLE, BEST_K, GREEDY}


def alike(labels: np.ndarray, seed: int) -> np.ndarray:
    """Two networks `(2, N, C)` of which the second is the first, a little worse."""
    first = answered(labels, 1.0, seed)
    second = first * np.exp(0.6 * np.random.default_rng(seed + 40).normal(size=first.shape))
    return np.stack([first, (second / second.sum(1, keepdims=True)).astype(np.float32)])


def test_trials_that_were_trained_whole_answer_together_though_few_people_see_no_gain() -> None:
    labels, groups = pictures(5, num=240, people=30)
    trials, prior = alike(labels, 15), np.full(C, 1 / C)
    taken = select(trials, labels, groups, prior, whole=(True, True))
    assert (taken.method, taken.rival, taken.weights) == (MEAN, MEAN, (0.5, 0.5))
    assert taken.gain.low < taken.gain.value <= 0
    assert set(taken.crossfit) == {SINGLE, BEST_K, GREEDY, MEAN}
    for more in ({"whole": (True, False)}, {}, {"whole": (True, True), "single": True}):
        found = select(trials, labels, groups, prior, **more)  # type: ignore[arg-type]
        assert MEAN not in found.crossfit and found.method == SINGLE


def test_trials_that_were_trained_whole_do_not_answer_together_where_many_people_see_a_loss() -> None:
    labels, groups = pictures(5, num=12_000, people=1500)
    taken = select(alike(labels, 15), labels, groups, np.full(C, 1 / C), whole=(True, True))
    assert taken.method != MEAN


@pytest.mark.parametrize(
    ("gain", "usual", "expected"),
    [
        (Interval(0.02, 0.02, 0.02), 0.01, 0.02),  # measured exactly
        (Interval(0.0, -0.04, 0.04), 0.01, 0.005),  # as uncertain as what is usual
        (Interval(-0.01, -0.05, 0.03), 0.0, -0.005),
        (Interval(0.1, math.nan, math.nan), 0.01, 0.0),  # nobody to measure it on
    ],
)
def test_a_gain_is_believed_as_far_as_it_is_known(gain: Interval, usual: float, expected: float) -> None:
    assert _expected(gain, usual) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("shares", "whole", "gain"),
    [
        ((1.0, 0.0), (1, 1), 0.0),
        ((0.5, 0.5), (1, 1), 0.01),
        ((0.5, 0.5), (0, 0), 0.0),
        ((0.5, 0.5, 0, 0), (1, 1, 1, 1), 0.01 * 2 / 3),
        ((0, 0, 0.5, 0.5), (1, 1, 0, 0), 0.0),  # short ones, of which nothing is known beforehand
        ((0.25, 0.25, 0.25, 0.25), (1, 1, 0, 0), 0.0025),
    ],
)
def test_one_that_answers_nearly_alone_is_not_expected_to_gain_nor_are_short_ones(
    shares: tuple[float, ...], whole: tuple[int, ...], gain: float
) -> None:
    assert _usual_gain(np.array(shares), np.array(whole, dtype=bool)) == pytest.approx(gain)


def test_a_single_model_is_the_best_alone_if_that_is_asked_for() -> None:
    labels, groups = pictures(0)
    trials = np.stack([answered(labels, 2.5, seed) for seed in range(3)])
    selection = select(trials, labels, groups, np.full(C, 1 / C), single=True)
    assert (selection.method, set(selection.crossfit)) == (SINGLE, {SINGLE})
    assert (selection.gain.value, max(selection.weights)) == (0.0, 1.0)


def test_one_person_judges_nothing_and_the_best_answers_alone() -> None:
    labels, _ = pictures(0)
    trials = np.stack([answered(labels, 2.5, seed) for seed in range(3)])
    selection = select(trials, labels, np.full(len(labels), "anna"), np.full(C, 1 / C))
    assert (selection.method, selection.tau) == (SINGLE, 0.0)


def test_the_rule_is_used_where_training_was_unbalanced_and_only_there() -> None:
    labels, groups = pictures(0, num=1200, people=100)
    skewed = np.array([0.6, 0.2, 0.1, 0.05, 0.03, 0.02])
    ruled = select(np.stack([answered(labels, 1.0, 0, skewed)]), labels, groups, skewed)
    assert ruled.rule_gain.low > 0
    assert ruled.tau == ruled.rule_tau > 0.3
    fair = select(np.stack([answered(labels, 1.0, 0)]), labels, groups, skewed)
    assert (fair.tau, fair.rule_gain.low > 0) == (0.0, False)


def test_of_equal_powers_the_smallest_is_best() -> None:
    labels, _ = pictures(0)
    sure = np.eye(C, dtype=np.float32)[labels]
    assert best_tau(sure, labels, np.full(C, 1 / C)) == 0.0
    assert (decide(sure, np.arange(1, C + 1) / 21, 1.0) == labels).all()


def test_ways_of_choosing_by_hand() -> None:
    labels, people = np.array([0, 1, 2, 3]), np.array(list("abcd"))
    half = np.array([[0.9, 0.1, 0, 0], [0.1, 0.9, 0, 0], [0.4, 0.3, 0.3, 0], [0.4, 0.3, 0, 0.3]])
    other = np.array([[0.3, 0, 0.4, 0.3], [0, 0.3, 0.4, 0.3], [0, 0, 0.9, 0.1], [0, 0, 0.1, 0.9]])
    trials = np.stack([half, other, np.full((4, 4), 0.25)])
    ones = np.ones(4)
    assert single_best(trials, labels, ones, people).tolist() == [1, 0, 0]
    assert best_k(trials, labels, ones, people).tolist() == [0.5, 0.5, 0]
    assert greedy(trials, labels, ones, people)[2] < 0.2
    none_of_the_last = np.array([1.0, 1.0, 0, 0])
    assert single_best(trials, labels, none_of_the_last, people).tolist() == [1, 0, 0]


def test_the_best_of_many_that_only_guess_is_worth_a_guess() -> None:
    labels, groups = pictures(0)
    rng = np.random.default_rng(3)
    guesses = [rng.integers(C, size=len(labels)) for _ in range(200)]
    best = max(score(labels, each) for each in guesses)
    corrected = corrected_score(labels, groups, [each[None] for each in guesses], C)
    assert best > 1 / C + 0.04
    assert abs(corrected.value - 1 / C) < 0.025
    assert corrected.low < 1 / C < corrected.high


def test_a_best_that_is_best_for_everybody_keeps_its_score() -> None:
    labels, groups = pictures(0)
    answers = [answered(labels, noise, 0).argmax(1) for noise in (9.0, 1.0, 9.0)]
    assert corrected_score(labels, groups, [each[None] for each in answers], C).value == pytest.approx(
        score(labels, answers[1])
    )


def test_one_person_corrects_nothing() -> None:
    labels, _ = pictures(0)
    assert np.isnan(corrected_score(labels, np.full(len(labels), "anna"), [labels[None]], C).value)


def test_of_each_trial_the_latest_epoch_that_is_as_good_is_picked() -> None:
    labels, groups = pictures(0)
    for wrong, taken in ((1, 1), (40, 0)):  # pictures of the later epoch, where the first is right throughout
        later = labels.copy()
        later[:wrong] = (later[:wrong] + 1) % C
        epochs = np.stack([labels, later])
        corrected = corrected_score(labels, groups, [epochs], C)
        assert corrected.value == pytest.approx(score(labels, epochs[taken]))
