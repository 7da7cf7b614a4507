"""Macro-F1 is scikit-learn's, absent classes included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss

from trainables.training.metrics import macro_f1, score


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


class OnMac(torch.Tensor):
    """Says that it is on a Mac's GPU until it is taken from there."""

    is_mps = True

    def cpu(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


def test_on_a_mac_nothing_as_large_as_pictures_times_classes_squared_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = torch.randn(40, 6), torch.arange(40) % 6
    attributes = {"half": "aaabbb", "parity": "ababab"}
    expected = score(logits, labels, attributes)

    def refused(*_: object) -> torch.Tensor:
        raise AssertionError("torchmetrics compares each picture with every pair of classes")

    monkeypatch.setattr(torch.Tensor, "repeat", refused)
    logits, labels = logits.as_subclass(OnMac), labels.as_subclass(OnMac)
    assert score(logits, labels, attributes) == expected
    assert macro_f1(logits.argmax(1), labels, 6).item() == pytest.approx(expected.macro_f1)
