"""Macro-F1 is scikit-learn's, absent classes included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss

from trainables.training.metrics import score


@pytest.mark.parametrize("present", [range(5), (0, 2), (3,)], ids=["all", "two of five", "one of five"])
@pytest.mark.parametrize("answered", [range(5), (0, 1)], ids=["any answer", "two answers"])
def test_scores_equal_those_of_scikit_learn(present: range, answered: range) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(list(present), 60)
    logits = rng.normal(size=(60, 5))
    logits[:, [c for c in range(5) if c not in answered]] -= 100
    answers = logits.argmax(1)
    got = score(torch.tensor(logits, dtype=torch.float32), torch.tensor(labels))
    assert got.macro_f1 == pytest.approx(f1_score(labels, answers, average="macro", zero_division=0), abs=1e-6)
    by_class = f1_score(labels, answers, average=None, labels=range(5), zero_division=0)
    assert got.class_f1 == pytest.approx(by_class, abs=1e-6)
    assert got.accuracy == pytest.approx(accuracy_score(labels, answers), abs=1e-6)
    assert np.array_equal(got.confusion, confusion_matrix(labels, answers, labels=range(5)))


def test_the_loss_is_the_mean_cross_entropy() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    got = score(torch.tensor(logits, dtype=torch.float32), torch.tensor(labels))
    assert got.loss == pytest.approx(log_loss(labels, shares, labels=range(3)), abs=1e-5)
