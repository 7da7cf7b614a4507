"""Which trials no rung stops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from search.engine.engine import spared_trials
from search.study import AskedStudy
from tests.records import a_run


@pytest.mark.parametrize(
    ("objective", "backbones", "spared"),
    [
        ("f1", "abcde", [0, 1]),
        ("f1", "a", [0]),
        ("f1,ms", "aaabbc", [0, 1, 3, 5]),
        ("f1,parameters", "abcdefghi", range(9)),
    ],
)
def test_what_begins_at_once_is_not_stopped_nor_for_a_front_the_first_of_each_network(
    objective: str, backbones: str, spared: Sequence[int], tmp_path: Path
) -> None:
    run = a_run(options={"objective": objective}, points=[{"backbone": backbone} for backbone in backbones])
    study = AskedStudy.of(storage=tmp_path, objective=objective).settle(2, 0)
    assert spared_trials(run, study) == [f"{number:05d}" for number in spared]
