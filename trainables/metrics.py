"""What a side of the split says of a network: loss, macro-F1, accuracy, F1 by class, confusion.

Letters: `N` pictures, `C` classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch.nn import functional

from trainables.attributes import membership, value_of_class


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


NOT_VALIDATED = Evaluation(loss=math.nan, macro_f1=math.nan, accuracy=math.nan, class_f1=(), confusion=())
"""What there is to say where nothing is validated on."""


def confusion_matrix(answers: torch.Tensor, labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Pictures of true class (row) answered as class (column), `(C, C) int64`, of answers and labels `(N,)`."""
    counts = torch.zeros(num_classes**2, dtype=torch.int64, device=labels.device)
    pairs = labels * num_classes + answers  # torch.bincount would wait for the device
    return counts.scatter_add_(0, pairs, torch.ones_like(pairs)).view(num_classes, num_classes)


def class_f1(confusion: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """F1 of each class `(C,) float32`, 0 where there is neither label nor answer, and which classes occur, `(C,)`."""
    right = 2 * confusion.diagonal().float()
    occurring = (confusion.sum(dim=0) + confusion.sum(dim=1)).float()
    return right / occurring.clamp(min=1), occurring > 0


def macro_f1(answers: torch.Tensor, labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Macro-F1 `()` of answers `(N,)` against labels `(N,) int64`, left on their device."""
    return _mean_f1(confusion_matrix(answers, labels, num_classes))


def _mean_f1(confusion: torch.Tensor) -> torch.Tensor:
    by_class, occurs = class_f1(confusion)
    return (by_class / occurs.sum()).sum()  # a class that does not occur adds 0


def score(
    logits: torch.Tensor, labels: torch.Tensor, attributes: Mapping[str, Sequence[str]] | None = None
) -> Evaluation:
    """Scores logits `(N, C) float32` against labels `(N,) int64`, on their device, in one synchronization.

    Args:
        logits: Of the classes.
        labels: Their indices.
        attributes: For classes that are products of attributes, each attribute's value for each class.
    """
    attributes = attributes or {}
    num_classes = logits.shape[1]
    confusion = confusion_matrix(logits.argmax(dim=1), labels, num_classes)
    numbers = torch.cat(
        [
            functional.cross_entropy(logits, labels).view(1),
            _mean_f1(confusion).view(1),
            (confusion.diagonal().sum() / len(labels)).view(1),
            class_f1(confusion)[0],
            *(_attribute_f1(logits, labels, by_class).view(1) for by_class in attributes.values()),
            confusion.flatten().double(),
        ]
    ).tolist()
    matrix = [int(count) for count in numbers[-(num_classes**2) :]]
    return Evaluation(
        loss=numbers[0],
        macro_f1=numbers[1],
        accuracy=numbers[2],
        class_f1=tuple(numbers[3 : 3 + num_classes]),
        confusion=tuple(tuple(matrix[row : row + num_classes]) for row in range(0, num_classes**2, num_classes)),
        attribute_macro_f1=dict(zip(attributes, numbers[3 + num_classes :], strict=False)),
    )


def _attribute_f1(logits: torch.Tensor, labels: torch.Tensor, by_class: Sequence[str]) -> torch.Tensor:
    classes = membership(by_class, logits.device)
    answers = (logits.softmax(dim=1) @ classes).argmax(dim=1)
    return macro_f1(answers, value_of_class(by_class, logits.device)[labels], classes.shape[1])
