"""An epoch's outcome as Ray hands it on is read by one function, nested or flat."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest
from ray.tune.utils.util import flatten_dict

from tests.records import a_report
from trainables.report import METRIC, Epoch, Failure, NotBegun, TrialStatus, as_good, outcome_of

REPORT = a_report(2, 0.5, attribute_macro_f1={"shape": 0.25, "colour": 0.75})
RESULT = {**asdict(REPORT), "training_iteration": 2, "micro_batches": 4, "resident_bytes": 9, "confusion": [[1, 0]]}


def test_an_epoch_is_read_with_all_that_comes_with_it() -> None:
    epoch = outcome_of({**RESULT, "done": True})
    assert epoch == Epoch(report=REPORT, micro_batches=4, resident_bytes=9, confusion=[[1, 0]], is_last=True)


def test_a_flat_result_says_the_same() -> None:
    flat = flatten_dict(RESULT)
    assert "attribute_macro_f1" not in flat
    assert outcome_of(flat) == outcome_of(RESULT)


def test_a_failure_and_a_trial_that_had_no_time_are_no_epochs() -> None:
    failure = outcome_of({METRIC: math.nan, "failure": "RuntimeError: no", "traceback": "..."})
    assert failure == Failure(reason="RuntimeError: no", traceback="...")
    assert outcome_of({METRIC: math.nan, "not_begun": True}) == NotBegun()


def test_a_result_that_is_none_of_the_three_is_an_error() -> None:
    with pytest.raises(TypeError, match="epoch"):
        outcome_of({METRIC: 0.5})


def test_two_pictures_behind_the_highest_is_as_good_however_it_is_rounded_and_three_are_not() -> None:
    for pictures in range(3, 120):
        for right in range(3, pictures + 1):
            assert as_good((right - 2) / pictures, right / pictures, pictures)
            assert not as_good((right - 3) / pictures, right / pictures, pictures)


def test_states_have_the_words_of_the_files_and_three_of_them_are_ends() -> None:
    assert [str(status) for status in TrialStatus if status.is_over] == ["finished", "stopped", "failed"]
    assert [str(status) for status in TrialStatus if not status.is_over] == ["running", "interrupted"]
