"""In which state an epoch leaves a trial."""

from __future__ import annotations

import pytest

from search.callbacks.listener import num_epochs, status_after
from search.stop import StopRequest
from tests.monitored import a_trial
from tests.records import a_report
from trainables.report import Epoch, TrialStatus


@pytest.mark.parametrize(("own", "epochs"), [({}, 6), ({"epochs": 9}, 9), ({"epochs": 9, "last_epoch": 4}, 4)])
def test_a_training_that_has_epochs_of_its_own_ends_with_them(own: dict[str, int], epochs: int) -> None:
    assert num_epochs({"task": own}, 6) == epochs
    assert num_epochs(a_trial().config, 6) == 6


@pytest.mark.parametrize(
    ("epoch", "is_last", "ended", "going_on", "status"),
    [
        (1, False, set(), set(), TrialStatus.RUNNING),
        (1, True, set(), set(), TrialStatus.STOPPED),
        (1, True, {"00000"}, set(), TrialStatus.INTERRUPTED),
        (3, True, {"00000"}, set(), TrialStatus.FINISHED),  # the search ended it, but there was nothing left to do
        (3, False, set(), set(), TrialStatus.FINISHED),
        (3, False, set(), {"00000"}, TrialStatus.RUNNING),  # beyond its length, as no other has room
        (5, True, set(), {"00000"}, TrialStatus.FINISHED),
    ],
)
def test_a_state_is_told_from_the_epoch_and_from_who_ended_the_trial(
    epoch: int, is_last: bool, ended: set[str], going_on: set[str], status: TrialStatus
) -> None:
    stop = StopRequest(None)
    stop.ended |= ended
    stop.going_on |= going_on
    assert status_after(Epoch(report=a_report(epoch), is_last=is_last), a_trial().config, 3, stop) == status


@pytest.mark.parametrize(
    ("is_last", "status"), [(True, TrialStatus.FINISHED), (False, TrialStatus.RUNNING)], ids=["over", "not yet"]
)
def test_a_trial_that_is_past_its_best_is_finished_with_its_last_epoch(is_last: bool, status: TrialStatus) -> None:
    stop = StopRequest(None)
    stop.past_their_best.add(a_trial().config["trial_id"])
    assert status_after(Epoch(report=a_report(2), is_last=is_last), a_trial().config, 3, stop) == status
