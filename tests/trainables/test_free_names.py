from __future__ import annotations

from itertools import islice

from trainables.free_names import numbered


def test_names_go_on_with_numbers_before_their_ending() -> None:
    assert list(islice(numbered("answers", ".csv"), 3)) == ["answers.csv", "answers-2.csv", "answers-3.csv"]
    assert list(islice(numbered("run"), 2)) == ["run", "run-2"]
