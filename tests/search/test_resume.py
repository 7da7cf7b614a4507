"""A run goes on as it began."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.resume import refuse_other_device
from search.study import AskedStudy
from tests.records import a_run


@pytest.mark.parametrize(
    ("began", "gpus", "says"),
    [("cuda", 0, "begun on a GPU, and there is none"), ("cpu", 1, "go on with it by --gpus-per-trial 0")],
)
def test_a_run_does_not_change_between_devices(began: str, gpus: int, says: str) -> None:
    run = a_run()
    run = replace(run, task=replace(run.task, device=began))
    with pytest.raises(ValueError, match=says):
        refuse_other_device(run, AskedStudy().settle(4, gpus))
    refuse_other_device(run, AskedStudy().settle(4, 1 - gpus))
