"""Why something failed, in a line: libraries say it in many."""

from __future__ import annotations


def reason_of(error: Exception) -> str:
    """The first line of what an exception says, or its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
