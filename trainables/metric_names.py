"""The metrics of a search as pages name them."""

from __future__ import annotations

WORDS = {
    "macro_f1": "macro-F1",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "weighted_f1": "weighted F1",
}


def in_words(metric: str) -> str:
    """A metric as pages name it; one of the user's own by the name of its function."""
    return WORDS.get(metric) or metric.partition(":")[2]
