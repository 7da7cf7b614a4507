"""What a search says of itself before it begins."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from search.announce import at_a_time, how_many, say_forecast
from search.machine.forecast import Forecast
from search.study import AskedStudy


@pytest.mark.parametrize(
    ("asked", "gpus", "fit", "words"),
    [
        ({}, 0, None, "At a time: 4 trials with 4 cores each"),
        ({}, 0, 1, "At a time: 1 trial with 16 cores"),
        ({"concurrency": 16}, 0, None, "At a time: 16 trials with 1 core each"),
        ({}, 1, 4, "At a time: 1 trial with 16 cores and 1 GPU"),
        ({"gpus_per_trial": "auto"}, 1, 3, "At a time: 3 trials with 5 cores and 1/3 of a GPU each"),
        ({"gpus_per_trial": 0.4}, 1, None, "At a time: 2 trials with 8 cores and 0.4 of a GPU each"),
    ],
)
def test_what_trials_have_of_the_machine_is_said(asked: dict[str, Any], gpus: int, fit: int | None, words: str) -> None:
    assert at_a_time(AskedStudy.of(**asked).settle(16, gpus, trials_that_fit=fit)) == words


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (math.inf, "Forecast: about 12 min (8 to 20)"),
        (3600.0, "Forecast: about 12 min (8 to 20)"),
        (900.0, "Forecast: about 12 min (8 to 20); the time budget may end it after 0:15:00"),
    ],
)
def test_a_forecast_minds_the_time_budget(budget: float, words: str) -> None:
    console = Console(file=io.StringIO(), width=200)
    say_forecast(Forecast(720, 480, 1200), budget, console)
    say_forecast(None, budget, console)
    assert console.file.getvalue() == f"{words}\n"  # type: ignore[attr-defined]


def test_a_search_that_fills_its_time_says_so(tmp_path: Path) -> None:
    asked = AskedStudy.of(storage=tmp_path / "runs", readme=tmp_path / "README.md", time_budget="15m")
    open_study = asked.settle(num_cpus=2, num_gpus=0)
    assert open_study.fills_its_budget
    assert how_many(40, open_study) == "as many trials as fit into the time,"
    said = asked.replace(trials=4).settle(num_cpus=2, num_gpus=0)
    assert not said.fills_its_budget
    assert how_many(4, said) == "4 trials"
    assert not asked.replace(time_budget=None).settle(num_cpus=2, num_gpus=0).fills_its_budget
