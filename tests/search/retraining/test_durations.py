"""What a re-training takes is told by the search's epochs, and a time budget leaves out what it has no room for."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import pytest
from rich.console import Console

from results.records.trials import TrialHistory
from results.statistics.ranking import Candidate, Ranked
from search.machine.provenance import provenance
from search.retraining.durations import ROUND_SECONDS, Durations, Plan, fit_into_time
from search.retraining.plan import Retraining, ranking_jobs
from search.study import AskedStudy
from tests.results.records.test_cost import a_trial
from tests.results.records.test_record import a_run
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.networks.known_costs import EVALUATION_SPEED

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
    study: Any = AskedStudy().settle(BESIDE, 0)
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


def planned(seconds: float, **changes: Any) -> tuple[Durations, str]:
    console = Console(width=200, record=True, quiet=False)
    with console.capture() as said:
        durations = fit_into_time(Durations(a_retraining(**changes), ends=time.monotonic() + seconds), console)
    return durations, said.get()


def finals_of(durations: Durations, candidates: Sequence[Candidate] | None = None, epochs: int = EPOCHS) -> float:
    retraining = durations.retraining
    durations = replace(durations, retraining=replace(retraining, task=replace(retraining.task, epochs=epochs)))
    return durations.final_seconds(candidates or retraining.candidates, retraining.final_seeds)


def total_of(durations: Durations, num_rounds: int, candidates: Sequence[Candidate] | None = None) -> float:
    retraining = durations.retraining
    return durations.total_seconds(Plan(candidates or retraining.candidates, num_rounds, retraining.final_seeds))


def ranked_at(retraining: Retraining, epoch: int, default_epoch: int) -> list[Ranked]:
    """A ranking with the first candidate as its pick, then the default."""
    first, control = retraining.candidates[0], retraining.control
    return [Ranked(first, epoch, (0.6,)), Ranked(control, default_epoch, (0.5,))]


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
    other = replace(config(0.7), backbone="resnet50")
    source = SimpleNamespace(run=retraining.source.run, trials=(*retraining.source.trials, replace(cut, config=other)))
    durations = Durations(replace(retraining, source=source))  # type: ignore[arg-type]
    rest = 0.9 * 60 / cut_short.images_per_second
    assert durations.epoch_seconds(Candidate("00004", other, 0.5)) == pytest.approx(1 + rest), "no other is like it"


def test_the_forecast_counts_every_training_once() -> None:
    durations = Durations(a_retraining())
    candidates = durations.retraining.candidates
    assert durations.round_seconds(candidates) == pytest.approx(ROUND)
    finals = finals_of(durations)
    picture = EPOCH_SECONDS / BESIDE / (60 + 30 / EVALUATION_SPEED)
    assert finals == pytest.approx(4 + ROUND_SECONDS + 2 * 90 * picture * EPOCHS)
    more = replace(durations.retraining, final_seeds=3)
    assert finals_of(Durations(more)) == pytest.approx(4 + ROUND_SECONDS + 3 * 2 * 90 * picture * EPOCHS)
    everyone = finals_of(Durations(durations.retraining, everyone=True))
    alone = 2**0.5  # one training at a time takes so many times its share of the machine
    assert everyone == pytest.approx(finals + ROUND_SECONDS + alone * 120 * picture * EPOCHS)


def test_without_a_budget_nothing_is_left_out_and_the_time_is_said() -> None:
    durations, said = planned(float("inf"))
    assert durations.planned is None
    assert len(durations.retraining.candidates) == 4
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
    durations, said = planned(total_of(whole, 0) + rounds * ROUND + ROUND_SECONDS + 1)
    assert [candidate.name for candidate in durations.retraining.candidates] == names
    assert durations.retraining.seeds == [1, 2, 3], "those left out come back where the first take less"
    assert (durations.planned and durations.planned.num_rounds) == (None if len(seeds) == 3 else len(seeds))
    assert (f"The time budget has room for less: {len(seeds)} of 3 seeds" in said) == (len(seeds) < 3)


@pytest.mark.parametrize("left_open", [True, False])
def test_at_last_a_budget_leaves_out_final_trainings_where_nobody_said_how_many(left_open: bool) -> None:
    several: dict[str, Any] = {"final_seeds": 3, "final_seeds_open": left_open}
    whole = Durations(a_retraining(**several))
    pair = [whole.retraining.candidates[0], whole.retraining.control]
    least = total_of(whole, 1, pair)
    durations, said = planned(least + 1, **several)
    assert durations.planned == Plan(pair, 1, 3)
    durations, said = planned(least - ROUND_SECONDS, **several)
    assert durations.planned == Plan(pair, 1, 2 if left_open else 3)
    assert ("2 of 3 final trainings" in said) is left_open
    assert durations.retraining.final_seeds == 3, "they come back where those before them take less"


def test_final_trainings_are_as_many_as_the_pace_of_the_rounds_leaves_time_for() -> None:
    retraining = a_retraining(final_seeds=3, final_seeds_open=True)
    ranking = ranked_at(retraining, EPOCHS, EPOCHS)
    finals = finals_of(Durations(retraining))
    enough, short = (Durations(retraining, ends=time.monotonic() + finals + more) for more in (1.0, -1.0))
    assert (enough.final_seeds_in_time([], ranking), short.final_seeds_in_time([], ranking)) == (3, 2)
    assert replace(short, ends=time.monotonic()).final_seeds_in_time([], ranking) == 1
    slow = [trained("00000", 1e-3, 3 * EPOCH_SECONDS)]
    assert enough.pace_of(slow) > 1.4
    assert enough.final_seeds_in_time(slow, ranking) < 3
    assert Durations(retraining).final_seeds_in_time([], ranking) == 3, "there is no budget"
    asked = replace(retraining, final_seeds_open=False)
    assert Durations(asked, ends=time.monotonic()).final_seeds_in_time([], ranking) == 3


def test_once_the_epochs_are_known_final_trainings_that_had_no_room_come_back() -> None:
    asked = {"final_seeds": 3, "final_seeds_open": True}
    whole = Durations(a_retraining(**asked))
    least = total_of(whole, 1, [whole.retraining.candidates[0], whole.retraining.control])
    durations, said = planned(least - ROUND_SECONDS, **asked)
    assert "2 of 3 final trainings" in said
    retraining = durations.retraining
    after_a_round = replace(durations, ends=time.monotonic() + finals_of(durations) - ROUND_SECONDS)
    assert after_a_round.final_seeds_in_time([], ranked_at(retraining, EPOCHS, EPOCHS)) == 2
    assert after_a_round.final_seeds_in_time([], ranked_at(retraining, EPOCHS // 2, EPOCHS // 2)) == 3
    short = replace(durations, ends=time.monotonic() + finals_of(durations, epochs=2) + 1)
    assert short.final_seeds_in_time([], ranked_at(retraining, 2, 2)) == 3
    assert short.final_seeds_in_time([], ranked_at(retraining, 2, EPOCHS)) == 1, "the default is trained as well"
    alone = [ranked_at(retraining, EPOCHS, 2)[1]]
    assert short.final_seeds_in_time([], alone) == 3, "of the default that is the pick there is one"


def test_folds_are_trained_in_one_go_so_no_core_waits_for_the_longest_of_each() -> None:
    slow = trained("00003", 0.4, 4 * EPOCH_SECONDS)
    source = SimpleNamespace(run=a_retraining().source.run, trials=(*a_retraining().source.trials, slow))
    pair = [Candidate("00003", slow.config, 0.5), Candidate("00000", config(1e-3), 0.5)]
    changes: dict[str, Any] = {"source": source, "candidates": pair}
    seeds, folds = (Durations(replace(a_retraining(folds=number), **changes), ends=1e9) for number in (None, 3))
    plan = Plan(pair, 3, 1)
    last = seeds.total_seconds(Plan(pair, 0, 1))
    assert seeds.total_seconds(plan) - last == pytest.approx(3 * (ROUND_SECONDS + EPOCHS * 4 * EPOCH_SECONDS))
    in_one_go = EPOCHS * EPOCH_SECONDS * 2 * 4  # two slow ones on a core, one slow and three fast ones on the other
    assert folds.total_seconds(plan) - last == pytest.approx(3 * ROUND_SECONDS + in_one_go)


@pytest.mark.parametrize("final_seeds", [2, 3])
def test_final_trainings_of_unequal_length_take_as_long_as_the_cores_of_the_longest(final_seeds: int) -> None:
    """One core trains long ones while the other has nothing left: a sum over both would promise too much."""
    asked = {"final_seeds": final_seeds, "final_seeds_open": True}
    durations = Durations(a_retraining(**asked))
    ranking = ranked_at(durations.retraining, 2, EPOCHS)
    one = (finals_of(durations) - ROUND_SECONDS - 4) / final_seeds / EPOCHS  # seconds of an epoch of both side by side
    need = ROUND_SECONDS + 4 + one * {2: EPOCHS + 2, 3: 2 * EPOCHS}[final_seeds]
    enough, short = (replace(durations, ends=time.monotonic() + need + more) for more in (1.0, -1.0))
    assert enough.final_seeds_in_time([], ranking) == final_seeds
    assert short.final_seeds_in_time([], ranking) == final_seeds - 1


def test_a_round_that_had_no_room_comes_back_where_the_final_trainings_are_short() -> None:
    retraining = a_retraining(final_seeds_open=True)
    durations = Durations(retraining)
    need = durations.round_seconds(retraining.candidates) + finals_of(durations, epochs=EPOCHS // 2)
    in_time = replace(durations, ends=time.monotonic() + need + 1)
    assert in_time.have_time_for_round([], ranked_at(retraining, 2, 3), 1)
    assert not in_time.have_time_for_round([], ranked_at(retraining, 2, EPOCHS), 1), "the default has many"
    assert not in_time.have_time_for_round([], [], 1), "nothing tells how many"
    short = replace(durations, ends=time.monotonic() + need - 1)
    assert not short.have_time_for_round([], ranked_at(retraining, 2, 3), 1), "another round may find half of all best"
    fixed = replace(in_time, retraining=replace(retraining, final_seeds_open=False))
    assert not fixed.have_time_for_round([], ranked_at(retraining, 2, 3), 1), "none can be left out after the round"


def test_a_round_of_the_plan_needs_the_final_trainings_of_the_plan_alone() -> None:
    retraining = a_retraining(final_seeds=3, final_seeds_open=True)
    pair = [retraining.candidates[0], retraining.control]
    listed = replace(retraining, candidates=pair)
    durations = Durations(listed, planned=Plan(pair, 2, 2))
    need = durations.round_seconds(pair) + durations.final_seconds(pair, 2)
    durations = replace(durations, ends=time.monotonic() + need + 1)
    ranking = ranked_at(listed, EPOCHS, EPOCHS)
    assert durations.have_time_for_round([], ranking, 1)
    assert not durations.have_time_for_round([], ranking, 2), "beyond the plan all come first"


def test_one_training_at_a_time_takes_less_than_two_that_share_the_cores() -> None:
    retraining = a_retraining(final_seeds=2, final_seeds_open=True)
    alone = Durations(replace(retraining, candidates=retraining.candidates[:1]))
    both = Durations(replace(retraining, candidates=retraining.candidates[:2]))
    one, two = (each.round_seconds(each.retraining.candidates) - ROUND_SECONDS for each in (alone, both))
    assert two / one == pytest.approx(2**0.5)
    took = one / EPOCHS  # as was told for all cores
    assert alone.pace_of([trained("00000", 1e-3, took)]) == pytest.approx(1.0)
    assert both.pace_of([trained("00000", 1e-3, EPOCH_SECONDS)]) == pytest.approx(1.0)


def test_a_training_that_is_alone_does_not_spread_over_places_that_are_not_its_own() -> None:
    retraining = a_retraining()
    apart: Any = AskedStudy.of(concurrency=BESIDE).settle(BESIDE, 0)  # as where each has a GPU
    durations = Durations(replace(retraining, study=apart))
    one, two = (durations.round_seconds(durations.retraining.candidates[:count]) - ROUND_SECONDS for count in (1, 2))
    assert one == pytest.approx(two), "one takes as long as two side by side"


def test_the_pick_and_the_folds_stay() -> None:
    whole = Durations(a_retraining())
    least = total_of(whole, 0) + ROUND / 2 + ROUND_SECONDS
    picked, _ = planned(least, pick="00002")
    assert [candidate.name for candidate in picked.retraining.candidates] == ["00000", "00002", "default"]
    folded, _ = planned(total_of(whole, 3, whole.retraining.candidates[:2]), folds=3)
    assert folded.planned is not None
    assert (folded.planned.num_rounds, len(folded.retraining.candidates)) == (3, 2)


def test_what_cannot_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(UserError, match=r"00000 and default alone take about 0:\d\d:\d\d .* longer --time-budget"):
        planned(20)


def test_another_machine_tells_nothing_of_this_one() -> None:
    durations, said = planned(20, hardware="a machine that nobody has")
    assert len(durations.retraining.candidates) == 4
    assert said.startswith("How long trainings take on this machine is not known before the first seed")
    assert planned(math.inf, hardware="a machine that nobody has")[1] == "", "there is no budget"
    durations, said = planned(20, hardware="a machine that nobody has", folds=3)
    assert durations.planned is None and "the time budget cannot be kept with --folds" in said


def test_a_gpu_tells_nothing_of_the_cores_beside_it() -> None:
    durations = Durations(a_retraining())
    assert durations.are_known
    task = replace(durations.retraining.task, device="cuda")
    assert not replace(durations, retraining=replace(durations.retraining, task=task)).are_known


def test_trainings_that_are_slower_than_told_leave_out_later_seeds() -> None:
    durations = Durations(a_retraining())
    candidates = durations.retraining.candidates
    as_told = [trained(f"{one.name}-seed-1", one.config.lr, EPOCH_SECONDS) for one in candidates]
    left = durations.round_seconds(candidates) + finals_of(durations)
    durations = replace(durations, ends=time.monotonic() + left + 5)
    ranking = ranked_at(durations.retraining, EPOCHS, EPOCHS)
    assert durations.have_time_for_round(as_told, ranking, 1)
    slower = [trained(f"{one.name}-seed-1", one.config.lr, 1.5 * EPOCH_SECONDS) for one in candidates]
    assert not durations.have_time_for_round(slower, ranking, 1)
    assert durations.pace_of(slower) == pytest.approx(1.5)


def test_the_default_alone_is_trained_once_more_and_not_twice() -> None:
    durations = Durations(a_retraining())
    both, alone = (finals_of(durations, durations.retraining.candidates[:count]) for count in (2, 1))
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


def test_what_an_earlier_command_has_done_takes_no_time() -> None:
    anew = Durations(a_retraining(), ends=time.monotonic() + 1)
    listed = anew.retraining.candidates
    first, second = ([ranking_jobs(anew.retraining, one)[number].name for one in listed] for number in range(2))
    again = replace(anew, done=frozenset([*first, second[0]]))
    assert again.left_of_round(listed, 0) == [] and again.left_of_round(listed, 1) == list(listed[1:])
    left = again.round_seconds(listed[1:])
    assert total_of(again, 2) == pytest.approx(total_of(anew, 2) - 2 * ROUND + left)
    ranking = ranked_at(anew.retraining, 3, 3)
    assert again.have_time_for_round([], ranking, 0), "there is nothing to do"
    assert not again.have_time_for_round([], ranking, 1)
