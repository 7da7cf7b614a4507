"""The score on people never seen, and its difference to the default configuration."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from results.statistics.held_out import score_test

CLASSES = ("a", "b", "c", "never")


def answers(labels: list[str], share_right: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    truth = np.array([CLASSES.index(label) for label in labels])
    shown = np.where(rng.random(len(truth)) < share_right, truth, rng.integers(0, 3, len(truth)))
    probabilities = np.full((len(truth), len(CLASSES)), 0.1, np.float32)
    probabilities[np.arange(len(truth)), shown] = 0.7
    return probabilities


def a_side(num_people: int = 30) -> tuple[list[str], list[str]]:
    labels = [CLASSES[person % 3] for person in range(num_people) for _ in range(5)]
    return labels, [f"p{person}" for person in range(num_people) for _ in range(5)]


def test_scores_are_those_of_scikit_learn_and_a_class_without_pictures_is_named() -> None:
    labels, groups = a_side()
    pick = answers(labels, 0.8, 1)
    score = score_test(pick, pick, labels, groups, CLASSES)
    shown = [CLASSES[index] for index in pick.argmax(1)]
    assert score.macro_f1.value == pytest.approx(f1_score(labels, shown, average="macro"))
    assert score.loss.value == pytest.approx(log_loss(labels, pick, labels=list(CLASSES)), abs=1e-4)
    assert score.macro_f1.low < score.macro_f1.value < score.macro_f1.high
    assert (score.pictures, score.groups, score.missing) == (150, 30, ("never",))
    assert score.verdict == "it is the default configuration"
    assert score.difference.value == 0


def test_answers_of_a_class_without_pictures_are_counted_as_macro_f1_counts_them() -> None:
    labels, groups = a_side()
    pick = answers(labels, 1.0, 1)
    assert score_test(pick, pick, labels, groups, CLASSES).to_json()["missing_answers"] == {"never": 0}
    pick[0, 3] = 0.9
    score = score_test(pick, pick, labels, groups, CLASSES)
    assert score.to_json()["missing_answers"] == {"never": 1}
    assert score.macro_f1.value < 0.76, "one stray answer costs a fourth"


def test_a_much_better_pick_is_said_to_be_better_and_an_equal_one_is_not() -> None:
    labels, groups = a_side()
    default = answers(labels, 0.4, 2)
    better = score_test(answers(labels, 0.95, 1), default, labels, groups, CLASSES)
    assert better.verdict.startswith("better than the default by .")
    same = score_test(answers(labels, 0.4, 3), default, labels, groups, CLASSES)
    assert same.verdict.startswith("not distinguishable from the default")


def test_a_probability_of_zero_does_not_make_the_loss_infinite() -> None:
    labels, groups = a_side(3)
    wrong = np.zeros((len(labels), len(CLASSES)), np.float32)
    wrong[:, 3] = 1
    assert np.isfinite(score_test(wrong, "it diverged", labels, groups, CLASSES).loss.value)


def test_one_person_alone_gives_a_score_without_an_interval() -> None:
    alone = answers(["a", "b"], 1.0, 0)
    score = score_test(alone, alone, ["a", "b"], ["anna", "anna"], CLASSES)
    assert score.to_json()["macro_f1"] == {"value": pytest.approx(1.0), "low": None, "high": None}


def test_a_default_that_could_not_be_trained_is_not_taken_for_the_pick() -> None:
    labels, groups = a_side()
    score = score_test(answers(labels, 0.8, 1), "it diverged", labels, groups, CLASSES)
    assert score.verdict == "the default could not be trained (it diverged)"
    assert score.difference.to_json() == score.default.to_json() == {"value": None, "low": None, "high": None}
