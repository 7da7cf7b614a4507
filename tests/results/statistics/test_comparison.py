"""Arms compared over repeats: measures against scikit-learn, intervals against their formula, verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, log_loss

from results.pages.comparison_report import Page, draw, is_page_of, render
from results.pages.figures import to_png
from results.statistics.comparison import MEASURES, RAREST, Answers, Classes, compare, holm, in_words, interval, measure

SHARE = 0.2
RATIO = SHARE / (1 - SHARE)
F1, LOSS = MEASURES["macro_f1"], MEASURES["loss"]


def some_answers(seed: int, num_classes: int = 6, num: int = 90) -> Answers:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(num_classes), num).astype(np.float32)
    return Answers(rng.integers(num_classes, size=num), probabilities)


@pytest.fixture
def classes() -> Classes:
    return Classes(
        pictures=(50, 3, 40, 7, 0, 20),
        attributes={"shape": ("round", "round", "square", "square", "flat", "flat"), "ink": ("a", "b") * 3},
    )


def test_measures_are_those_of_scikit_learn(classes: Classes) -> None:
    answers = some_answers(0)
    said = answers.probabilities.argmax(1)
    every = f1_score(answers.labels, said, average=None)
    assert measure("macro_f1", answers, None, classes) == pytest.approx(every.mean())
    assert measure("accuracy", answers, None, classes) == pytest.approx(accuracy_score(answers.labels, said))
    assert measure("loss", answers, None, classes) == pytest.approx(log_loss(answers.labels, answers.probabilities))
    assert classes.rarest == [1, 3, 5, 2, 0]  # a class without pictures is none of them
    assert len(classes.rarest) == RAREST
    assert measure("rarest", answers, None, classes) == pytest.approx(every[classes.rarest].mean())


def test_an_attribute_is_answered_by_the_probabilities_of_its_classes_together(classes: Classes) -> None:
    answers = some_answers(1)
    by_shape = answers.probabilities.reshape(-1, 3, 2).sum(axis=2)
    expected = f1_score(answers.labels // 2, by_shape.argmax(1), average="macro")
    assert measure("attribute:shape", answers, None, classes) == pytest.approx(expected)


def test_flattery_is_what_the_own_side_says_more_than_people_never_seen(classes: Classes) -> None:
    held_out, own = some_answers(2), some_answers(3)
    claimed = measure("claimed", held_out, own, classes)
    assert claimed == measure("macro_f1", own, None, classes)
    flattery = measure("flattery", held_out, own, classes)
    assert flattery == pytest.approx(claimed - measure("macro_f1", held_out, None, classes))


def test_intervals_are_wider_than_those_of_independent_repeats_by_what_they_share() -> None:
    values = [0.3, 0.5, 0.45, 0.35]
    found = interval(values, ratio=SHARE / (1 - SHARE))
    assert found.value == pytest.approx(0.4)
    plain = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert found.high - found.value == pytest.approx((plain[1] - 0.4) * math.sqrt((1 / 4 + 1 / 4) / (1 / 4)))
    assert math.isnan(interval([0.5], 0.25).low)


def test_the_interval_holds_the_truth_as_often_as_it_says_where_repeats_share_people() -> None:
    """People differ, and each repeat scores a fifth of 100, as in a study; the truth is the mean of all people."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        people = rng.normal(size=100)
        repeats = [rng.permutation(people)[:20].mean() + rng.normal(scale=0.1) for _ in range(5)]
        found = interval(repeats, 0.25)
        held += found.low <= 0 <= found.high
    assert 0.93 <= held / 400 <= 1
    naive = interval([1.0, 2.0, 3.0], 0.0)
    assert naive.high == pytest.approx(2 + stats.t.ppf(0.975, 2) / math.sqrt(3))


def test_holm_corrects_as_in_his_paper() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}
    )


def test_differences_are_taken_within_a_repeat_and_verdicts_name_the_direction() -> None:
    base = np.array([0.3, 0.5, 0.4, 0.6, 0.2])
    better = base + np.array([0.10, 0.11, 0.10, 0.09, 0.10])
    rows = compare({"plain": base, "better": better, "same": base}, RATIO, F1)
    assert rows[0].difference is None
    assert rows[1].difference is not None
    assert rows[1].difference.value == pytest.approx(0.1)
    assert rows[1].verdict.startswith("better by .100 [")
    assert rows[2].verdict == "not distinguishable"
    assert compare({"plain": base, "lower": better}, RATIO, LOSS)[1].verdict.startswith("worse by .100 [")
    assert compare({"plain": better, "lower": base}, RATIO, F1)[1].verdict.startswith("worse by .100 [")
    assert "Against plain: better: better by .100" in in_words(rows)
    assert "Not told apart from it: the other 1; with n = 5, differences smaller than" in in_words(rows)


def test_a_difference_that_only_stands_alone_is_not_told_apart_among_many() -> None:
    base = np.array([0.3, 0.5, 0.4, 0.6, 0.2])
    luck = base + np.array([0.03, 0.10, 0.06, 0.08, 0.03])
    assert compare({"plain": base, "lucky": luck}, RATIO, F1)[1].verdict.startswith("better")
    many = {"plain": base, "lucky": luck, **{f"other {i}": base for i in range(9)}}
    rows = compare(many, RATIO, F1)
    assert rows[1].verdict.startswith("not distinguishable, as one of 10 that were tried (p = ")
    assert in_words(rows).startswith("Nothing can be told apart from plain: ")


def a_page(**changes: object) -> Page:
    scores = {"plain": [0.3, 0.5, 0.4], "other": [0.31, 0.48, 0.44], "broken": []}
    page = {
        "title": "One against the other",
        "question": "Which?",
        "reported": "nothing.",
        "command": "python scripts/studies.py --quick",
        "figure": "demo-one.png",
        "tables": {"macro-F1": compare(scores, RATIO, F1), "cross-entropy": compare(scores, RATIO, LOSS)},
        "epochs": {"plain": 4, "other": 4, "broken": 4},
        "seconds": {"plain": 12.3, "other": 14.0},
        "speeds": {},
        "failures": {"broken": ["seed 1: diverged"]},
        "settings": {"plain": {}, "other": {"dropout": 0.7}, "broken": {"lr": 1.0}},
        "seeds": [0, 1, 2],
        "facts": {"Data": "pics: 9 pictures", "Hardware": "2 cores"},
        "units": "people",
        "place": "f00",
        "note": "",
        "held_out_share": SHARE,
        "trained_share": 1 - SHARE,
    }
    return Page(**{**page, **changes})  # type: ignore[arg-type]


def test_a_page_says_what_came_out_how_it_was_made_and_what_failed() -> None:
    text = render(a_page())
    assert "**What came out** (macro-F1): Nothing can be told apart from plain: " in text
    assert "| plain | 4 | 12 | .400 [.152, .648] | – | – |" not in text  # as if repeats shared nobody
    assert "| plain | 4 | 12 | .400 [.071, .729] | – | – |" in text
    assert "| broken | 4 | – | failed, see below | – | – |" in text
    assert "* broken has no scores: seed 1: diverged" in text
    assert "* Command: `python scripts/studies.py --quick`" in text
    assert "n = 3 repeats, seeds 0 to 2" in text
    assert "| other | dropout 0.7 | 0.3100 | 0.4800 | 0.4400 |" in text
    assert "## Cross-entropy" in text
    assert "**Mind:**" not in text
    assert "**Mind:** RANDOM." in render(a_page(note="RANDOM"))
    assert "holds out other people" in text and "people" not in render(a_page(units="pictures"))


def test_a_page_is_of_the_data_at_its_place_and_one_of_before_of_those_of_its_name() -> None:
    page = render(a_page())
    assert is_page_of(page, "f00", "moved") and not is_page_of(page, "b47", "pics")
    before = page.replace("<!-- macrotune:data:f00 -->", "")
    assert is_page_of(before, "b47", "pics") and not is_page_of(before, "f00", "pic")


def test_the_figure_is_drawn_also_where_an_arm_failed() -> None:
    assert to_png(draw(a_page())).startswith(b"\x89PNG")


def test_differences_that_are_all_equal_are_no_evidence() -> None:
    rows = compare({"plain": [0.5, 0.6], "other": [0.51, 0.61]}, RATIO, F1)
    assert rows[1].p_value == 1
    assert rows[1].verdict == "not distinguishable"
    assert math.isnan(rows[1].difference.low)
    assert in_words(rows) == "Nothing can be told apart from plain: with n = 2."
