"""What a side of the split says of a network: loss, macro-F1, accuracy, F1 by class, confusion.

Letters: `N` pictures, `C` classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_f1_score,
)

from trainables.networks.attributes import membership, value_of_class


@dataclass(frozen=True)
class Evaluation:
    """Scores over one whole side; macro-F1 as `EpochReport` defines it."""

    loss: float
    macro_f1: float
    accuracy: float
    class_f1: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Pictures of true class (row) answered as class (column)."""
    attribute_macro_f1: Mapping[str, float] = field(default_factory=dict)
    """Of each attribute, over its values; the answer is the value of the largest probability over its classes."""
    logits: torch.Tensor | None = None
    """`(N, C) float32` in the order of the side, where they were kept."""
    pictures: float = math.inf
    """`N`, where they were counted."""
    other_score: float | None = None
    """The task's metric, where that is another than macro-F1."""

    @property
    def score(self) -> float:
        """What is maximized."""
        return self.macro_f1 if self.other_score is None else self.other_score


NOT_VALIDATED = Evaluation(loss=math.nan, macro_f1=math.nan, accuracy=math.nan, class_f1=(), confusion=())
"""What there is to say where nothing is validated on."""


def macro_f1(answers: torch.Tensor, labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Macro-F1 `()` of answers `(N,)` against labels `(N,) int64`, left where they are counted."""
    answers, labels = _countable(answers, labels)
    return multiclass_f1_score(answers, labels, average="macro", num_classes=num_classes, validate_args=False)


def score(
    logits: torch.Tensor, labels: torch.Tensor, attributes: Mapping[str, Sequence[str]] | None = None
) -> Evaluation:
    """Scores logits `(N, C) float32` against labels `(N,) int64`, where they are counted, in one synchronization.

    Args:
        logits: Of the classes.
        labels: Their indices.
        attributes: For classes that are products of attributes, each attribute's value for each class.
    """
    attributes = attributes or {}
    num_classes = logits.shape[1]
    settings: dict[str, Any] = {"num_classes": num_classes, "validate_args": False}
    answers, truths = _countable(logits.argmax(dim=1), labels)
    numbers = torch.cat(
        [
            functional.cross_entropy(logits, labels).to(answers.device).view(1),
            multiclass_f1_score(answers, truths, average="macro", **settings).view(1),
            multiclass_accuracy(answers, truths, average="micro", **settings).view(1),
            multiclass_f1_score(answers, truths, average="none", **settings),
            *(_attribute_f1(logits, labels, by_class).view(1) for by_class in attributes.values()),
        ]
    ).tolist()
    confusion = multiclass_confusion_matrix(answers, truths, **settings).tolist()
    return Evaluation(
        loss=numbers[0],
        macro_f1=numbers[1],
        accuracy=numbers[2],
        class_f1=tuple(numbers[3 : 3 + num_classes]),
        confusion=tuple(tuple(row) for row in confusion),
        attribute_macro_f1=dict(zip(attributes, numbers[3 + num_classes :], strict=True)),
        pictures=len(logits),
    )


def _countable(answers: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both where torchmetrics can count them: on a Mac's GPU it would take N x C^2 integers of memory for that."""
    return (answers.cpu(), labels.cpu()) if answers.is_mps else (answers, labels)


def _attribute_f1(logits: torch.Tensor, labels: torch.Tensor, by_class: Sequence[str]) -> torch.Tensor:
    classes = membership(by_class, logits.device)
    answers = (logits.softmax(dim=1) @ classes).argmax(dim=1)
    return macro_f1(answers, value_of_class(by_class, logits.device)[labels], classes.shape[1])
