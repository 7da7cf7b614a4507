"""What a re-training takes is told by the search's epochs, and a time budget leaves out what it has no room for."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import pytest
from rich.console import Console

from results.records.trials import TrialHistory
from results.statistics.ranking import Candidate
from search.machine.provenance import provenance
from search.retraining.durations import ROUND_SECONDS, Durations, fit_into_time
from search.retraining.plan import Retraining
from search.study import AskedStudy
from tests.results.records.test_cost import a_trial
from tests.results.records.test_record import a_run
from trainables.config import TrialConfig
from trainables.errors import UserError

EPOCHS, BESIDE, EPOCH_SECONDS = 10, 2, 4.0
ROUND = ROUND_SECONDS + 4 * EPOCHS * EPOCH_SECONDS / BESIDE
"""Seconds of one training of each of four candidates."""


def config(lr: float) -> TrialConfig:
    return TrialConfig(backbone="resnet18", lr=lr)


def trained(name: str, lr: float, seconds: float) -> TrialHistory:
    return replace(a_trial(EPOCHS, "finished", seconds=seconds), trial_id=name, config=config(lr))


def a_retraining(
    folds: int | None = None, pick: str | None = None, hardware: str | None = None, **more: Any
) -> Retraining:
    """Three trials and the default, over three seeds; 60 train, 30 val and 30 test pictures."""
    options = {"concurrency": BESIDE}
    run = a_run(options=options, hardware=provenance()["hardware"] if hardware is None else hardware)
    run = replace(run, task=replace(run.task, epochs=EPOCHS))
    trials = tuple(trained(f"0000{number}", 1e-3 * (number + 1), EPOCH_SECONDS) for number in range(3))
    listed = [Candidate(trial.trial_id, trial.config, 0.5) for trial in trials]
    control = Candidate("default", config(0.5), None)
    sides = ["train"] * 60 + ["val"] * 30 + ["test"] * 30
    study: Any = AskedStudy.of(concurrency=BESIDE).settle(BESIDE, 0)
    return Retraining(
        source=SimpleNamespace(run=run, trials=trials),  # type: ignore[arg-type]
        candidates=[*listed, control],
        control=control,
        task=run.task,
        split=SimpleNamespace(table=pandas.DataFrame({"split": sides})),  # type: ignore[arg-type]
        study=study,
        session=SimpleNamespace(),  # type: ignore[arg-type]
        folder=Path("retrained"),
        seeds=[1, 2, 3],
        folds=folds,
        pick=pick,
        **more,
    )


def fitted(seconds: float, **changes: Any) -> tuple[Retraining, str]:
    console = Console(width=200, record=True, quiet=False)
    with console.capture() as said:
        durations = Durations(a_retraining(**changes), ends=time.monotonic() + seconds)
        retraining = fit_into_time(durations, console).retraining
    return retraining, said.get()


def test_an_epoch_is_as_long_as_it_was_in_the_search_or_as_those_alike() -> None:
    retraining = a_retraining()
    slow = trained("00003", 0.4, 9.0)
    cut_short = replace(slow.reports[-1], epoch=99, seconds=1.0, trained_share=0.1)
    slow = replace(slow, reports=(*slow.reports, cut_short))
    source = SimpleNamespace(run=retraining.source.run, trials=(*retraining.source.trials, slow))
    durations = Durations(replace(retraining, source=source))  # type: ignore[arg-type]
    assert durations.epoch_seconds(Candidate("00000", config(1e-3), 0.5)) == EPOCH_SECONDS
    assert durations.epoch_seconds(Candidate("00003", config(0.4), 0.5)) == 9.0
    untried = Candidate("default", config(0.5), None)
    assert durations.epoch_seconds(untried) == pytest.approx((3 * EPOCH_SECONDS + 9.0) / 4)
    cut = replace(slow, config=config(0.7), reports=(cut_short,))
    source = SimpleNamespace(run=retraining.source.run, trials=(*retraining.source.trials, cut))
    durations = Durations(replace(retraining, source=source))  # type: ignore[arg-type]
    assert durations.epoch_seconds(Candidate("00004", config(0.7), 0.5)) == EPOCH_SECONDS, "of others like it"


def test_the_forecast_counts_every_training_once() -> None:
    durations = Durations(a_retraining())
    candidates = durations.retraining.candidates
    assert durations.round_seconds(candidates) == pytest.approx(ROUND)
    finals = durations.final_seconds(candidates)
    picture = EPOCH_SECONDS / BESIDE / (60 + 30 / 6)  # an evaluated one takes a sixth
    assert finals == pytest.approx(4 + ROUND_SECONDS + 2 * 90 * picture * EPOCHS)
    more = replace(durations.retraining, final_seeds=3)
    assert Durations(more).final_seconds(candidates) == pytest.approx(4 + ROUND_SECONDS + 3 * 2 * 90 * picture * EPOCHS)
    everyone = Durations(durations.retraining, everyone=True).final_seconds(candidates)
    alone = 2**0.5  # one training at a time takes so many times its share of the machine
    assert everyone == pytest.approx(finals + ROUND_SECONDS + alone * 120 * picture * EPOCHS)


def test_without_a_budget_nothing_is_left_out_and_the_time_is_said() -> None:
    retraining, said = fitted(float("inf"))
    assert len(retraining.candidates) == 4
    assert retraining.seeds == [1, 2, 3]
    assert said.startswith("Forecast: about 6 min (4 to 9)"), said


@pytest.mark.parametrize(
    ("rounds", "names", "seeds"),
    [
        (3.0, ["00000", "00001", "00002", "default"], [1, 2, 3]),
        (2.0, ["00000", "00001", "00002", "default"], [1, 2]),
        (1.6, ["00000", "00001", "default"], [1, 2]),  # the third of a round is alone
        (1.0, ["00000", "default"], [1, 2]),
        (0.5, ["00000", "default"], [1]),
    ],
)
def test_a_budget_leaves_out_seeds_and_then_the_last_of_the_search(
    rounds: float, names: list[str], seeds: list[int]
) -> None:
    whole = Durations(a_retraining())
    finals = whole.total_seconds(whole.retraining.candidates, 0)
    retraining, said = fitted(finals + rounds * ROUND + ROUND_SECONDS + 1)
    assert [candidate.name for candidate in retraining.candidates] == names
    assert retraining.seeds == seeds
    assert ("The time budget has room for less" in said) == (len(seeds) < 3)


@pytest.mark.parametrize("left_open", [True, False])
def test_at_last_a_budget_leaves_out_final_trainings_where_nobody_said_how_many(left_open: bool) -> None:
    several: dict[str, Any] = {"final_seeds": 3, "final_seeds_open": left_open}
    whole = Durations(a_retraining(**several))
    least = whole.total_seconds(whole.retraining.candidates[:1] + whole.retraining.candidates[-1:], 1)
    retraining, said = fitted(least + 1, **several)
    assert (retraining.final_seeds, len(retraining.candidates), retraining.seeds) == (3, 2, [1])
    retraining, said = fitted(least - ROUND_SECONDS, **several)
    assert retraining.final_seeds == (2 if left_open else 3)
    assert ("2 of 3 final trainings" in said) is left_open


def test_final_trainings_are_as_many_as_the_pace_of_the_rounds_leaves_time_for() -> None:
    retraining = a_retraining(final_seeds=3, final_seeds_open=True)
    finals = Durations(retraining).final_seconds(retraining.candidates)
    enough, short = (Durations(retraining, ends=time.monotonic() + finals + more) for more in (1.0, -1.0))
    assert (enough.final_seeds_in_time([]), short.final_seeds_in_time([])) == (3, 2)
    assert replace(short, ends=time.monotonic()).final_seeds_in_time([]) == 1
    slow = [trained("00000", 1e-3, 3 * EPOCH_SECONDS)]
    assert enough.pace_of(slow) > 1.4
    assert enough.final_seeds_in_time(slow) < 3
    assert Durations(retraining).final_seeds_in_time([]) == 3, "there is no budget"
    asked = replace(retraining, final_seeds_open=False)
    assert Durations(asked, ends=time.monotonic()).final_seeds_in_time([]) == 3


def test_one_training_at_a_time_takes_less_than_two_that_share_the_cores() -> None:
    retraining = a_retraining(final_seeds=2, final_seeds_open=True)
    alone = Durations(replace(retraining, candidates=retraining.candidates[:1]))
    both = Durations(replace(retraining, candidates=retraining.candidates[:2]))
    one, two = (each.round_seconds(each.retraining.candidates) - ROUND_SECONDS for each in (alone, both))
    assert two / one == pytest.approx(2**0.5)
    took = one / EPOCHS  # as was told for all cores
    assert alone.pace_of([trained("00000", 1e-3, took)]) == pytest.approx(1.0)
    assert both.pace_of([trained("00000", 1e-3, EPOCH_SECONDS)]) == pytest.approx(1.0)


def test_the_pick_and_the_folds_stay() -> None:
    whole = Durations(a_retraining())
    least = whole.total_seconds(whole.retraining.candidates, 0) + ROUND / 2 + ROUND_SECONDS
    picked, _ = fitted(least, pick="00002")
    assert [candidate.name for candidate in picked.candidates] == ["00000", "00002", "default"]
    folded, _ = fitted(whole.total_seconds(whole.retraining.candidates[:2], 3), folds=3)
    assert folded.seeds == [1, 2, 3]
    assert len(folded.candidates) == 2


def test_what_cannot_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(UserError, match=r"00000 and default alone take about 0:\d\d:\d\d .* longer --time-budget"):
        fitted(20)


def test_another_machine_tells_nothing_of_this_one() -> None:
    retraining, said = fitted(20, hardware="a machine that nobody has")
    assert len(retraining.candidates) == 4
    assert said == ""


def test_trainings_that_are_slower_than_told_leave_out_later_seeds() -> None:
    durations = Durations(a_retraining())
    candidates = durations.retraining.candidates
    as_told = [trained(f"{one.name}-seed-1", one.config.lr, EPOCH_SECONDS) for one in candidates]
    left = durations.round_seconds(candidates) + durations.final_seconds(candidates)
    durations = replace(durations, ends=time.monotonic() + left + 5)
    assert durations.have_time_for_round(as_told)
    slower = [trained(f"{one.name}-seed-1", one.config.lr, 1.5 * EPOCH_SECONDS) for one in candidates]
    assert not durations.have_time_for_round(slower)
    assert durations.pace_of(slower) == pytest.approx(1.5)


def test_the_default_alone_is_trained_once_more_and_not_twice() -> None:
    durations = Durations(a_retraining())
    both = durations.final_seconds(durations.retraining.candidates[:2])
    alone = durations.final_seconds(durations.retraining.candidates[:1])
    fixed = 4 + ROUND_SECONDS
    assert both - fixed == pytest.approx(2**0.5 * (alone - fixed))


def test_a_last_training_that_has_all_cores_is_no_measure_of_those_side_by_side() -> None:
    retraining = a_retraining()
    three = Durations(replace(retraining, candidates=retraining.candidates[:3]))
    candidates, two = three.retraining.candidates, replace(three, retraining=replace(retraining, candidates=[]))
    pair, alone = (two.round_seconds(candidates[:count]) - ROUND_SECONDS for count in (2, 1))
    assert three.round_seconds(candidates) == pytest.approx(ROUND_SECONDS + pair + alone)
    seconds = [EPOCH_SECONDS, EPOCH_SECONDS, alone / EPOCHS]
    done = [trained(one.name, one.config.lr, took) for one, took in zip(candidates, seconds, strict=True)]
    assert three.pace_of(done) == pytest.approx(1.0)
    assert three.pace_of(done[2:]) == 1.0, "it says nothing of the others"
