"""Classes that are products of attributes: which value of an attribute each class has, and what that makes of answers.

Letters: `B` batch, `C` classes, `V` values of one attribute.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional


def attribute_values(by_class: Sequence[str]) -> tuple[str, ...]:
    """The different values of an attribute, in the order in which the classes first have them."""
    return tuple(dict.fromkeys(by_class))


def value_of_class(by_class: Sequence[str], device: torch.device | None = None) -> torch.Tensor:
    """For each class the place of its value in `attribute_values`: `(C,) int64`."""
    places = {value: place for place, value in enumerate(attribute_values(by_class))}
    return torch.tensor([places[value] for value in by_class], device=device)


def membership(by_class: Sequence[str], device: torch.device | None = None) -> torch.Tensor:
    """1 where a class has a value: `(C, V) float32`."""
    return functional.one_hot(value_of_class(by_class, device), len(attribute_values(by_class))).float()


def marginal_log_probs(logits: torch.Tensor, classes_of_value: torch.Tensor) -> torch.Tensor:
    """Log-probabilities `(B, V)` of an attribute's values: each the sum over the classes that have it.

    Args:
        logits: Of the classes, `(B, C) float32`.
        classes_of_value: Whether a value (row) is that of a class (column), `(V, C) bool`.
    """
    log_probs = functional.log_softmax(logits, dim=1).unsqueeze(1)
    return log_probs.masked_fill(~classes_of_value, -torch.inf).logsumexp(dim=2)
