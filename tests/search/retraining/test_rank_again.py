"""In a time budget rounds are trained while there is time, and what they came to outlives a kill."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from results.records.trials import TrialHistory
from results.statistics.ranking import Ranked
from search.retraining import finals
from search.retraining import rank_again as module
from search.retraining.durations import Durations, Plan
from search.retraining.plan import Retraining
from search.retraining.rank_again import rank_again
from search.retraining.replaced import EVERYONE
from search.retraining.settled import SETTLED, recall, remember
from search.retraining.summary import clear
from search.retraining.trainings import Job
from search.stop import StopRequest
from tests.saved_models import save_network
from tests.search.retraining.test_durations import EPOCHS, a_retraining, finals_of, trained
from trainables.report import TrialStatus


class Trainer:
    """Trains in no time; how good an epoch is, is made up."""

    def __init__(self, best_epoch: int, failing: str = "") -> None:
        self.best_epoch, self.failing = best_epoch, failing
        self.rounds: list[list[str]] = []

    def __call__(self, retraining: Retraining, jobs: Sequence[Job], *_: Any, **__: Any) -> dict[str, TrialHistory]:
        self.rounds.append([job.name for job in jobs])
        return {job.name: self.train(job) for job in jobs}

    def train(self, job: Job) -> TrialHistory:
        trial = trained(job.name, job.config.lr, 4.0)
        scored = ((each, 0.5 - 0.01 * abs(each.epoch - self.best_epoch)) for each in trial.reports)
        reports = tuple(replace(each, val_macro_f1=score, val_score=score) for each, score in scored)
        status = TrialStatus.FAILED if self.failing and job.name.startswith(self.failing) else trial.status
        return replace(trial, reports=reports, status=status)


def ranked(
    monkeypatch: pytest.MonkeyPatch, durations: Durations, trainer: Trainer
) -> tuple[tuple[Retraining, list[Any]] | None, str]:
    monkeypatch.setattr(module, "run", trainer)
    console = Console(width=250, record=True)
    console.quiet = False
    with console.capture() as said:
        found = rank_again(durations, StopRequest(), console)
    return found, said.get()


def in_time_for(rounds: int, epochs: int, retraining: Retraining, planned: Plan | None = None) -> Durations:
    """A budget that ends after so many rounds and final trainings of so many epochs."""
    durations = Durations(retraining, budget=900.0, planned=planned)
    need = rounds * durations.round_seconds(retraining.candidates) + finals_of(durations, epochs=epochs)
    return replace(durations, ends=time.monotonic() + need + 1)


def test_rounds_beyond_the_plan_are_trained_where_few_epochs_are_best(monkeypatch: pytest.MonkeyPatch) -> None:
    retraining = a_retraining(final_seeds=2, final_seeds_open=True)
    durations = in_time_for(1, EPOCHS // 2, retraining, Plan(retraining.candidates, 1, 1))
    found, said = ranked(monkeypatch, durations, trainer := Trainer(best_epoch=3))
    assert found is not None
    assert [len(names) for names in trainer.rounds] == [4, 4, 4], "time stands still here"
    assert found[0].seeds == [1, 2, 3] and found[0].final_seeds == 2
    assert {one.epoch for one in found[1]} == {3}
    for words in ("over 1 of 3 seeds,", "time for 3 of 3 seeds after all", "time for 2 of 2 final trainings after all"):
        assert words in said


def test_where_all_epochs_are_best_the_plan_stays_and_nothing_more_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    retraining = a_retraining(final_seeds=2, final_seeds_open=True)
    one_each = replace(retraining, final_seeds=1)
    ends = in_time_for(0, EPOCHS, one_each).ends
    durations = Durations(retraining, ends=ends, planned=Plan(retraining.candidates, 1, 1))
    found, said = ranked(monkeypatch, durations, Trainer(best_epoch=EPOCHS))
    assert found is not None
    assert (found[0].seeds, found[0].final_seeds) == ([1], 1)
    assert "There is time" not in said


def test_the_rounds_and_final_trainings_that_there_is_no_time_for_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    retraining = a_retraining(final_seeds=3, final_seeds_open=True)
    found, said = ranked(monkeypatch, Durations(retraining, ends=time.monotonic() + 1), Trainer(best_epoch=10))
    assert found is not None
    assert (found[0].seeds, found[0].final_seeds) == ([1], 1)
    assert "time for 1 of 3 seeds\n" in said and "time for 1 of 3 final trainings\n" in said
    only = Durations(retraining, ends=time.monotonic() + 1, ranks_only=True)
    assert "final trainings" not in ranked(monkeypatch, only, Trainer(best_epoch=10))[1]


def test_without_a_budget_all_seeds_are_trained_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found, said = ranked(monkeypatch, Durations(a_retraining()), trainer := Trainer(best_epoch=2))
    assert [len(names) for names in trainer.rounds] == [12]
    assert found is not None and found[0].seeds == [1, 2, 3]
    assert "There is time" not in said


def test_what_was_picked_comes_first_and_one_that_failed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    picked = Durations(a_retraining(pick="00002"), ends=time.monotonic() + 1)
    found, _ = ranked(monkeypatch, picked, Trainer(best_epoch=3))
    assert found is not None and found[1][0].candidate.name == "00002"
    found, said = ranked(monkeypatch, picked, Trainer(best_epoch=3, failing="00001"))
    assert found is not None and "00001" not in [one.candidate.name for one in found[1]]
    assert "00001 is left out" in said
    assert ranked(monkeypatch, picked, Trainer(best_epoch=3, failing="00002"))[0] is None


@pytest.mark.parametrize(
    ("pick", "there", "said_of"),
    [
        ("00002", "00001", "by that of 00002, and deletes"),
        ("00002", "00002", ""),
        (None, "00007", "by that of 00000 or 00001 or 00002 or default, and deletes"),
        (None, "00001", "by that of 00000, and deletes"),
        (None, "00000", ""),
        ("00002", None, ""),
    ],
)
def test_a_model_of_another_trial_is_named_once_before_it_is_replaced(
    pick: str | None, there: str | None, said_of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes on with the trial whose model is there, or with none there yet, has nothing to say."""
    if there is not None:
        save_network(tmp_path, record={"trial_id": there})
        save_network(tmp_path / EVERYONE, record={"trial_id": there})
    durations = Durations(replace(a_retraining(pick=pick), folder=tmp_path))
    _, said = ranked(monkeypatch, durations, Trainer(best_epoch=2))
    assert said.count("copy or rename the folder first") == bool(said_of)
    assert f"holds the model of {there}, test_efficientnet" in said if said_of else "holds the model" not in said
    assert said_of in said
    assert "holds the model" not in ranked(monkeypatch, replace(durations, ranks_only=True), Trainer(best_epoch=2))[1]


def test_a_pick_replaces_a_model_with_a_word_before_its_first_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_network(tmp_path, record={"trial_id": "00001"})
    durations = Durations(replace(a_retraining(pick="00002"), folder=tmp_path))
    found, said = ranked(monkeypatch, durations, Trainer(best_epoch=2, failing="00002"))
    assert found is None and "by that of 00002" in said


def test_the_same_command_goes_on_with_what_the_ranking_came_to(tmp_path: Path) -> None:
    retraining = a_retraining(final_seeds=3, final_seeds_open=True)
    asked = Durations(replace(retraining, folder=tmp_path), budget=900.0, ends=time.monotonic() + 900)
    console = Console(quiet=True)
    assert recall(asked, console) is None
    came_to = replace(asked.retraining, candidates=retraining.candidates[1:], seeds=[1], final_seeds=2)
    remember(asked, came_to, [Ranked(candidate, 3, (0.5,)) for candidate in retraining.candidates[2:]])
    known = recall(replace(asked, ends=time.monotonic() + 9), console)
    assert known is not None and not known.have_end
    names = [candidate.name for candidate in known.retraining.candidates]
    assert (names, known.retraining.seeds, known.retraining.final_seeds) == (["00002", "default"], [1], 2), (
        "00001 failed"
    )
    for other in (
        replace(asked, budget=1800.0),
        replace(asked, everyone=True),
        replace(asked, ranks_only=True),
        Durations(asked.retraining),
        replace(asked, retraining=replace(asked.retraining, seeds=[4, 5, 6])),
        replace(asked, retraining=replace(asked.retraining, final_seeds=1)),
        replace(asked, retraining=replace(asked.retraining, final_seeds_open=False)),
    ):
        assert recall(other, console) is None, "another command settles for itself"
    (tmp_path / SETTLED).write_text("torn")
    assert recall(asked, console) is None
    clear(tmp_path)
    assert not (tmp_path / SETTLED).exists()


def test_without_a_budget_nothing_needs_to_be_remembered(tmp_path: Path) -> None:
    whole = Durations(replace(a_retraining(), folder=tmp_path))
    remember(whole, whole.retraining, [])
    assert not (tmp_path / SETTLED).exists()


def test_long_final_trainings_begin_first_whatever_is_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    retraining = a_retraining(final_seeds=2)
    first, control = retraining.candidates[0], retraining.control
    begun: list[str] = []
    monkeypatch.setattr(finals, "train_jobs", lambda _, jobs, *__: begun.extend(job.name for job in jobs) or True)
    ranking = [Ranked(first, 4, (0.5,)), Ranked(control, 3, (0.4,))]
    seconds = {first: 12.0, control: 30.0}
    jobs = finals.train_finals(
        retraining, ranking, lambda ranked: seconds[ranked.candidate], StopRequest(), Console(quiet=True)
    )
    assert [name.split("-")[0] for name in begun] == ["default", "default", "00000", "00000"]
    assert jobs is not None and [each[0].name.split("-")[0] for each in jobs] == ["00000", "default"], "the pick first"
