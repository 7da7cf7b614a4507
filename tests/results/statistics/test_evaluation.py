from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss, precision_recall_fscore_support

from results.records.confusion import confused_pairs
from results.statistics.evaluation import (
    Answers,
    ClassScore,
    class_scores,
    evaluate_answers,
    groups_wrong_throughout,
    marginal,
)

CLASSES = ("wear/male", "wear/female", "none/male", "none/female")
ATTRIBUTES = {"mask": ("wear", "wear", "none", "none"), "gender": ("male", "female", "male", "female")}


def some_answers(number: int = 60, **options: object) -> Answers:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, number)
    probabilities = rng.dirichlet(np.ones(4), number)
    probabilities[np.arange(number), labels] += 0.4
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
    defaults = {"groups": tuple(f"p{row // 4}" for row in range(number)), "attributes": ATTRIBUTES}
    paths = tuple(f"/data/{row}.png" for row in range(number))
    return Answers(CLASSES, paths, labels, probabilities, **(defaults | options))


def test_scores_are_those_of_scikit_learn() -> None:
    answers = some_answers()
    found = evaluate_answers(answers)
    assert found.scores.macro_f1.value == pytest.approx(f1_score(answers.labels, answers.chosen, average="macro"))
    assert found.scores.accuracy.value == pytest.approx((answers.labels == answers.chosen).mean())
    assert found.loss.value == pytest.approx(log_loss(answers.labels, answers.probabilities), abs=1e-5)
    assert found.scores.macro_f1.low < found.scores.macro_f1.value < found.scores.macro_f1.high
    precision, recall, f1, count = precision_recall_fscore_support(answers.labels, answers.chosen)
    for place, one in enumerate(class_scores(found.scores.confusion, CLASSES)):
        assert (one.precision, one.recall, one.f1, one.count) == pytest.approx(
            (precision[place], recall[place], f1[place], count[place])
        )


def test_an_attribute_is_answered_by_the_sum_over_its_classes() -> None:
    kinds, probabilities = marginal(np.array([[0.4, 0.0, 0.3, 0.3]]), ATTRIBUTES["mask"])
    assert kinds == ("wear", "none")
    np.testing.assert_allclose(probabilities, [[0.4, 0.6]])
    answers = Answers(
        CLASSES, ("/a", "/b"), np.array([2, 0]), np.array([[0.4, 0.0, 0.3, 0.3]] * 2), ("p", "q"), ATTRIBUTES
    )
    found = evaluate_answers(answers)
    assert found.attributes["mask"].confusion.tolist() == [[0, 1], [0, 1]]
    assert found.attributes["gender"].accuracy.value == 1
    assert found.joint is not None
    assert found.joint.accuracy.value == 0.5
    assert found.scores.accuracy.value == 0.5
    assert found.joint.confusion[2, 2] == 1


def test_values_that_make_no_class_together_are_wrong_answers() -> None:
    attributes = {"x": ("1", "1", "0"), "y": ("1", "0", "1"), "z": ("0", "1", "1")}
    probabilities = np.array([[0.35, 0.33, 0.32], [0.9, 0.05, 0.05]])
    found = evaluate_answers(Answers(("a", "b", "c"), ("/a", "/b"), np.array([0, 0]), probabilities, None, attributes))
    assert found.joint is not None
    assert found.joint.names == ("a", "b", "c", "1/1/1")
    assert found.joint.confusion[0].tolist() == [1, 0, 0, 1]
    assert found.joint.accuracy.value == 0.5


def test_without_attributes_there_is_no_joint_score_and_without_groups_no_wrong_group() -> None:
    found = evaluate_answers(some_answers(groups=None, attributes={}))
    assert found.joint is None
    assert not found.attributes
    assert found.wrong_groups == ()


def test_mistakes_come_with_the_most_confident_first() -> None:
    answers = some_answers()
    mistakes = evaluate_answers(answers).mistakes
    assert set(mistakes) == set(np.flatnonzero(answers.labels != answers.chosen))
    confidence = answers.probabilities.max(axis=1)[list(mistakes)]
    assert (np.diff(confidence) <= 0).all()


def test_a_probability_of_zero_costs_much_but_not_everything() -> None:
    found = evaluate_answers(Answers(("a", "b"), ("/a", "/b"), np.array([0, 1]), np.array([[0.0, 1.0]] * 2)))
    assert 13 < found.loss.value < 14
    assert found.loss.low == 0


def test_a_share_without_a_picture_is_none() -> None:
    scores = class_scores(np.array([[2, 0, 1], [1, 0, 0], [0, 0, 0]]), ("a", "b", "c"))
    assert scores[0] == ClassScore("a", 2 / 3, 2 / 3, 2 / 3, 3, 3)
    assert scores[1] == ClassScore("b", None, 0.0, 0.0, 1, 0)
    assert scores[2] == ClassScore("c", 0.0, None, 0.0, 0, 1)
    assert class_scores(np.zeros((1, 1), int), ("a",))[0].f1 is None


def test_confused_pairs_are_said_in_words_the_most_frequent_first() -> None:
    confusion = np.array([[5, 3, 0], [2, 10, 0], [2, 0, 3]])
    assert list(map(str, confused_pairs(confusion, ("a", "b", "c")))) == [
        "3 of 8 `a` taken for `b`",
        "2 of 5 `c` taken for `a`",
        "2 of 12 `b` taken for `a`",
    ]
    assert len(confused_pairs(confusion, ("a", "b", "c"), top=1)) == 1
    assert confused_pairs(np.eye(3, dtype=int), ("a", "b", "c")) == []


def test_groups_wrong_throughout_are_those_with_two_pictures_and_no_right_answer() -> None:
    found = groups_wrong_throughout(list("aabbbaa"), list("bbaaaba"), ["p", "p", "q", "q", "q", "r", "s"])
    assert [(one.group, one.count, one.labels, one.answers) for one in found] == [
        ("q", 3, "3 b", "3 a"),
        ("p", 2, "2 a", "2 b"),
    ]
