"""A point of the front is named by its trial, or by what it may cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from results.records.front import cost_as_typed
from results.records.run_folder import load_run
from results.records.trials import load_trials
from results.statistics.ranking import Candidate, Ranked
from search.retraining.flags import RetrainFlags
from search.retraining.origin import Source
from search.retraining.pick import _as_shown, picked, picked_first, settled_pick
from search.study import AskedStudy
from tests.results.records.test_front import a_priced_run_dir
from trainables.config import TrialConfig
from trainables.data.manifest import DataConfig
from trainables.errors import UserError


def a_source(folder: Path, objective: str = "f1,ms") -> Source:
    run_dir = a_priced_run_dir(folder / "r", [0.8, 0.6, 0.5, 0.9], [8, 2, 4, 1], objective=objective)
    run = load_run(run_dir)
    return Source(
        name="a",
        started=run.started,
        space=run.space,
        run_dir=run_dir,
        run=run,
        trials=tuple(load_trials(run_dir)),
        default=TrialConfig(backbone="net0"),
        study=AskedStudy(),
        data=DataConfig(),
        task=run.task,
        split_hash=run.split_hash,
        weights=run.weights,
        facts={},
    )


def test_a_cost_is_typed_with_the_digits_that_are_shown() -> None:
    assert _as_shown(10.8499, "ms") == 10.8 and _as_shown(1234.4, "ms") == 1234
    assert _as_shown(4_148_123, "parameters") == 4_150_000
    assert cost_as_typed(10.8499, "ms") == "ms=10.8" and cost_as_typed(4_148_123, "parameters") == "parameters=4.15M"
    assert [_as_shown(count, "parameters") for count in (999_700, 1_234_567_890)] == [1_000_000, 1_230_000_000]


@pytest.mark.parametrize(
    ("words", "trial"),
    [("00001", "00001"), ("ms=7.9", "00001"), ("ms=100", "00000"), ("parameters=500k", "00001"), ("ms = 2", "00001")],
)
def test_a_point_is_named_by_its_trial_or_by_its_cost(words: str, trial: str, tmp_path: Path) -> None:
    assert picked(a_source(tmp_path), words).trial_id == trial


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("00002", "no such point; the front is 00001 net1, score 0.6000, 2 ms"),
        ("ms=1", "no point takes at most 1 ms; the front is 00001"),
        ("ms=fast", "number of milliseconds"),
        ("parameters=5X", "as in 5M"),
        ("size=3", "ms=10 or parameters=3M"),
    ],
)
def test_what_is_not_on_the_front_is_told_with_the_points_there_are(words: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        picked(a_source(tmp_path), words)


def test_a_search_for_the_score_alone_has_no_point_to_pick(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no Pareto front here.*--trial"):
        picked(a_source(tmp_path, "f1"), "00001")


def test_a_default_that_may_be_beyond_a_limit_is_not_picked_and_that_is_said(tmp_path: Path) -> None:
    source = replace(a_source(tmp_path), study=AskedStudy.of(max_ms=9.0))
    console = Console(width=300, quiet=False)
    with console.capture() as said:
        assert settled_pick(source, None, console) is None
        assert settled_pick(source, "ms=7.9", console) == "00001"
    assert not said.get()
    with console.capture() as said:
        assert settled_pick(replace(source, default_fits=False), None, console) == "00000"
    words = "net0, is compared, but cannot be picked: the record of a does not tell whether it is within --max-ms 9"
    assert words in said.get()


def test_a_picked_point_goes_before_what_ranks_above_it() -> None:
    dear, cheap = (Ranked(Candidate(name, TrialConfig(backbone=name), None), 1, (0.5,)) for name in ("dear", "cheap"))
    assert picked_first([dear, cheap], "cheap") == [cheap, dear]
    assert picked_first([dear], "cheap") == [], "its trainings failed"


def test_a_point_and_a_trial_contradict_each_other() -> None:
    with pytest.raises(UserError, match="--pick takes a point"):
        RetrainFlags(run="a", pick="00001", trial="00002")
