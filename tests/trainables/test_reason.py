"""A reason is one line, and never empty."""

from __future__ import annotations

import pytest

from trainables.reason import reason_of, typed_reason


@pytest.mark.parametrize(
    ("error", "reason", "typed"),
    [
        (ValueError("\n no pictures\nat all"), "no pictures", "ValueError: no pictures"),
        (KeyError("lr"), "'lr'", "KeyError: 'lr'"),
        (RuntimeError(), "RuntimeError", "RuntimeError"),
    ],
    ids=["several lines", "a word", "nothing said"],
)
def test_the_first_line_that_says_something(error: Exception, reason: str, typed: str) -> None:
    assert (reason_of(error), typed_reason(error)) == (reason, typed)
