"""Why something failed, in a line: libraries say it in many."""

from __future__ import annotations


def reason_of(error: Exception) -> str:
    """The first line of what an exception says, or its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def typed_reason(error: Exception) -> str:
    """`reason_of` after the exception's type, which says what went wrong where the words alone do not."""
    name, reason = type(error).__name__, reason_of(error)
    return reason if reason == name else f"{name}: {reason}"
