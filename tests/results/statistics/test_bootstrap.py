"""Intervals over groups: scores as scikit-learn has them, wide where people are few, paired for two models."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from threadpoolctl import threadpool_limits

from results.statistics import bootstrap
from results.statistics.bootstrap import (
    BLOCK,
    NUM_RESAMPLES,
    Interval,
    accuracy,
    difference_interval,
    group_counts,
    log_losses,
    macro_f1,
    mean_interval,
    score_interval,
    verdict,
)


def people(num: int, seed: int = 0, share_right: float = 0.7) -> tuple[list[int], list[int], list[str]]:
    """Seven pictures a person, who are right or wrong as a whole more often than not."""
    rng = np.random.default_rng(seed)
    labels, answers, groups = [], [], []
    for person in range(num):
        label, right = int(rng.integers(4)), rng.random() < share_right
        for _ in range(7):
            labels.append(label)
            answers.append(label if right != (rng.random() < 0.1) else int(rng.integers(4)))
            groups.append(f"p{person}")
    return labels, answers, groups


def test_macro_f1_and_accuracy_are_those_of_scikit_learn_absent_classes_included() -> None:
    labels, answers, groups = people(9)
    counts = group_counts(labels, answers, groups, 6)
    assert macro_f1(counts.sum(axis=0)) == pytest.approx(f1_score(labels, answers, average="macro", zero_division=0))
    assert accuracy(counts.sum(axis=0)) == pytest.approx(accuracy_score(labels, answers))


def test_the_interval_holds_the_score_and_is_the_same_with_the_same_seed() -> None:
    counts = group_counts(*people(25), 4)
    interval = score_interval(counts, seed=3)
    assert interval.low < interval.value < interval.high
    assert interval == score_interval(counts, seed=3)


def test_more_groups_than_are_told_apart_are_dealt_out_and_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, answers, groups = people(900)
    losses = [1.0 * (label != answer) for label, answer in zip(labels, answers, strict=True)]
    whole, mean = score_interval(group_counts(labels, answers, groups, 4)), mean_interval(losses, groups)
    counts = group_counts(labels, answers, groups, 4)
    monkeypatch.setattr(bootstrap, "MOST_GROUPS", 300)
    dealt = group_counts(labels, answers, groups, 4)
    assert len(counts) == 900 and len(dealt) == 300
    assert set(dealt[:, 1].sum(axis=1)) == {21}  # three people of seven pictures each
    assert np.array_equal(dealt, group_counts(labels, answers, groups, 4))
    assert np.array_equal(dealt.sum(axis=0), counts.sum(axis=0))
    for ours, theirs in ((score_interval(dealt), whole), (mean_interval(losses, groups), mean)):
        assert ours.value == pytest.approx(theirs.value)
        assert ours.high - ours.low == pytest.approx(theirs.high - theirs.low, rel=0.1)
    gain = difference_interval(dealt, group_counts(labels, labels, groups, 4))
    assert gain.high < 0


def test_leaving_out_a_group_at_a_time_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = group_counts(*people(25), 4)
    whole = score_interval(counts)
    monkeypatch.setattr(bootstrap, "TABLE_BLOCK", 40)  # three groups at a time
    assert score_interval(counts) == whole


def test_fewer_people_make_a_wider_interval() -> None:
    widths = [
        interval.high - interval.low
        for num in (10, 100)
        for interval in [score_interval(group_counts(*people(num), 4))]
    ]
    assert widths[0] > 2 * widths[1]


def test_pictures_taken_for_independent_people_would_narrow_it() -> None:
    labels, answers, groups = people(20)
    by_person = score_interval(group_counts(labels, answers, groups, 4))
    by_picture = score_interval(group_counts(labels, answers, [str(place) for place in range(len(groups))], 4))
    assert by_person.high - by_person.low > 1.5 * (by_picture.high - by_picture.low)


@pytest.mark.parametrize("share_right", [0.1, 0.7])
def test_ninety_five_percent_intervals_hold_the_true_score_about_that_often(share_right: float) -> None:
    labels, answers, groups = people(5_000, 99, share_right)
    truth = float(macro_f1(group_counts(labels, answers, groups, 4).sum(axis=0)))
    intervals = [score_interval(group_counts(*people(20, seed, share_right), 4)) for seed in range(200)]
    share = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert 0.91 <= share <= 0.99
    scores = [interval.value for interval in intervals]
    width = np.mean([interval.high - interval.low for interval in intervals])
    assert width < 1.25 * 3.92 * np.std(scores)  # not by being as wide as can be


def test_intervals_of_differences_hold_the_true_one_about_that_often() -> None:
    def both(num: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        labels, answers, groups = people(num, seed)
        noise = np.random.default_rng(seed + 1)
        others = [int(noise.integers(4)) if noise.random() < 0.3 else answer for answer in answers]
        return group_counts(labels, answers, groups, 4), group_counts(labels, others, groups, 4)

    first, second = both(5_000, 99)
    truth = float(macro_f1(first.sum(axis=0)) - macro_f1(second.sum(axis=0)))
    intervals = [difference_interval(*both(20, seed)) for seed in range(200)]
    assert 0.91 <= np.mean([interval.low <= truth <= interval.high for interval in intervals]) <= 0.99


@pytest.mark.parametrize("right", [True, False])
def test_a_handful_of_people_answered_all_alike_prove_no_certainty(right: bool) -> None:
    labels, groups = [0, 1, 0, 1], ["a", "b", "c", "d"]
    answers = labels if right else [1 - label for label in labels]
    interval = score_interval(group_counts(labels, answers, groups, 2))
    assert interval.value == (1 if right else 0)
    assert (
        (interval.high, interval.low < 0.6) == (1, True) if right else (interval.low, interval.high > 0.4) == (0, True)
    )
    many = [str(place) for place in range(1000)]
    surer = score_interval(group_counts([0, 1] * 500, [0, 1] * 500, many, 2))
    assert surer.low > 0.99


def test_twenty_thousand_groups_take_about_a_second() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 8, size=(20_000, 3, 18))
    with threadpool_limits(1):  # several threads wait for one another actively, where another process has the cores
        started = time.process_time()
        score_interval(counts)
        assert time.process_time() - started < 10  # half a second; six with multinomial draws


def test_twenty_thousand_groups_are_drawn_in_blocks_that_bound_the_memory() -> None:
    counts = np.random.default_rng(0).integers(1, 8, size=(20_000, 3, 18))
    resamples: list[np.ndarray] = []

    def watched(summed: np.ndarray) -> np.ndarray:
        if summed.ndim == 3 and len(summed) < len(counts):  # neither all groups together nor all but one
            resamples.append(summed)
        return macro_f1(summed)

    interval = score_interval(counts, watched)
    assert interval == score_interval(counts)
    assert sum(map(len, resamples)) == NUM_RESAMPLES
    assert max(map(len, resamples)) * len(counts) <= BLOCK < sum(map(len, resamples)) * len(counts)
    drawn = np.concatenate(resamples)[:, 1].sum(axis=1)  # pictures, as many groups as there are in each
    assert abs(drawn.mean() / counts[:, 1].sum() - 1) < 0.001


def test_one_group_says_nothing_about_others() -> None:
    interval = score_interval(group_counts([0, 1], [0, 0], ["a", "a"], 2))
    assert interval.value == pytest.approx(1 / 3)
    assert math.isnan(interval.low)


def test_a_difference_is_paired_so_it_is_surer_than_two_intervals() -> None:
    labels, answers, groups = people(30)
    better = [
        label if place % 7 == 0 else answer for place, (label, answer) in enumerate(zip(labels, answers, strict=True))
    ]
    first, second = group_counts(labels, better, groups, 4), group_counts(labels, answers, groups, 4)
    difference, alone = difference_interval(first, second), score_interval(second)
    assert difference.high - difference.low < alone.high - alone.low
    assert difference.value == pytest.approx(float(macro_f1(first.sum(0)) - macro_f1(second.sum(0))))
    same = difference_interval(second, second)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_a_mean_has_an_interval_over_groups() -> None:
    interval = mean_interval([1.0, 1.0, 3.0, 3.0, 2.0], ["a", "a", "b", "b", "c"])
    assert interval.value == 2.0
    assert interval.low < 2.0 < interval.high
    assert mean_interval([0.0, 9.0], ["a", "b"]).low == 0
    assert math.isnan(mean_interval([1.0, 2.0], ["a", "a"]).low)


def test_a_probability_of_zero_does_not_make_a_loss_infinite() -> None:
    losses = log_losses(np.array([[0.5, 0.5], [1.0, 0.0]], dtype=np.float32), np.array([0, 1]))
    assert losses.tolist() == pytest.approx([math.log(2), 12 * math.log(10)])


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (Interval(0.06, 0.01, 0.1), "better than the default by .060 [.010, .100]"),
        (Interval(-0.06, -0.1, -0.01), "worse than the default by .060 [.010, .100]"),
        (Interval(0.06, -0.01, 0.1), "not distinguishable from the default (difference .060 [-.010, .100])"),
        (Interval(0.06, math.nan, math.nan), "not distinguishable from the default (difference .060 [nan, nan])"),
    ],
)
def test_a_difference_is_said_in_words(interval: Interval, words: str) -> None:
    assert verdict(interval, "the default") == words
