"""Which trials no rung stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.engine.engine import MOST_SPARED, spared_trials
from search.study import AskedStudy
from tests.records import a_run


@pytest.mark.parametrize(
    ("objective", "networks", "points", "spared"),
    [("f1", 3, 5, 2), ("f1", 3, 1, 1), ("f1,ms", 3, 5, 3), ("f1,ms", 1, 5, 2), ("f1,parameters", 9, 9, MOST_SPARED)],
)
def test_what_begins_at_once_is_not_stopped_nor_for_a_front_the_first_of_each_network(
    objective: str, networks: int, points: int, spared: int, tmp_path: Path
) -> None:
    run = a_run(
        options={"objective": objective},
        weights={f"net{number}": "random" for number in range(networks)},
        points=[{"backbone": "net0"}] * points,
    )
    study = AskedStudy.of(storage=tmp_path, objective=objective).settle(2, 0)
    assert spared_trials(run, study) == [f"{number:05d}" for number in range(spared)]
