"""Trainings that are fewer than fit side by side have the cores that the others leave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.retraining import trainings
from search.retraining.trainings import Job, JobList, run_jobs, spread_over_cores
from search.run_trials import Workload
from search.stop import StopRequest
from search.study import AskedStudy, SettledStudy
from tests.results.records.test_cost import a_trial
from tests.results.records.test_record import a_run
from trainables.config import TrialConfig


def jobs(count: int) -> list[Job]:
    return [Job(f"seed-{seed}", TrialConfig(backbone="resnet18"), {"seed": seed}) for seed in range(count)]


def on_cores(cores: int, **asked: Any) -> SettledStudy:
    return AskedStudy.of(**asked).settle(cores, 0)


def threads(count: int, study: SettledStudy) -> list[int]:
    """Of each of so many jobs."""
    given, study = spread_over_cores(jobs(count), study)
    return [dict(job.task).get("num_threads", study.cpus_per_trial) for job in given]


@pytest.mark.parametrize(
    ("cores", "count", "expected"),
    [
        (2, 1, [2]),
        (2, 2, [1, 1]),
        (2, 3, [1, 1, 2]),
        (2, 6, [1] * 6),
        (8, 3, [2, 2, 2]),
        (8, 10, [2] * 8 + [4, 4]),
        (8, 9, [2] * 8 + [8]),
    ],
)
def test_the_last_share_all_cores(cores: int, count: int, expected: list[int]) -> None:
    assert threads(count, on_cores(cores)) == expected


def test_what_a_user_says_of_cores_holds_for_the_last_too() -> None:
    study = on_cores(4, concurrency=2)
    assert threads(3, study) == [study.cpus_per_trial] * 3


def test_a_job_keeps_its_name_and_what_its_task_has_of_its_own() -> None:
    given, study = spread_over_cores(jobs(3), on_cores(2))
    assert [job.name for job in given] == ["seed-0", "seed-1", "seed-2"]
    assert [job.task["seed"] for job in given] == [0, 1, 2]
    assert study.concurrency == 2


def test_a_training_that_goes_on_after_a_kill_has_the_threads_that_it_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    handed_out: list[tuple[str, int, int]] = []

    def note(work: Workload, proposer: JobList, *_: Any) -> None:
        for name in work.waiting:
            handed_out.append(
                (name, proposer.suggest(name)["task"].get("num_threads", work.task.num_threads), work.num_trials)
            )

    ended = replace(a_trial(3, "finished"), trial_id="seed-0")
    monkeypatch.setattr(trainings, "run_trials", note)
    monkeypatch.setattr(trainings, "load_trials", lambda _: [ended])
    anything: Any = None
    task = replace(a_run().task, epochs=3)
    for spread in (True, False):
        run_jobs(jobs(3), task, on_cores(2), tmp_path, anything, StopRequest(), anything, spread=spread)
    assert handed_out == [("seed-1", 1, 3), ("seed-2", 2, 3), ("seed-1", 1, 3), ("seed-2", 1, 3)]


def test_trainings_of_another_length_are_done_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    handed_out: list[list[str]] = []
    forgotten: list[str] = []
    monkeypatch.setattr(trainings, "run_trials", lambda work, *_: handed_out.append(list(work.waiting)))
    monkeypatch.setattr(trainings.RunFolder, "forget_trial", lambda self, name: forgotten.append(name))
    ended = [replace(a_trial(epochs, "finished"), trial_id=f"seed-{n}") for n, epochs in enumerate((3, 4))]
    monkeypatch.setattr(trainings, "load_trials", lambda _: ended)
    anything: Any = None
    begun = replace(a_trial(2, "interrupted"), trial_id="seed-3")
    asked = [*jobs(2), *(Job(name, TrialConfig(backbone="resnet18"), {"epochs": 9}) for name in ("seed-2", "seed-3"))]
    task = replace(a_run().task, epochs=4)  # a search that went on has had longer trials than when seed-0 was trained
    run_jobs(asked, task, on_cores(2), tmp_path, anything, StopRequest(), anything)
    assert (forgotten, handed_out) == (["seed-0"], [["seed-0", "seed-2", "seed-3"]])
    ended.append(begun)
    run_jobs(asked, task, on_cores(2), tmp_path, anything, StopRequest(), anything)
    assert sorted(forgotten[1:]) == ["seed-0", "seed-3"], "it was begun for the former length, too"
    del ended[0]
    run_jobs(asked[1:], task, on_cores(2), tmp_path, anything, StopRequest(), anything)
    assert len(forgotten) == 3, "it goes on"


def test_a_training_that_was_interrupted_does_not_go_on_for_another_length(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    forgotten: list[str] = []
    monkeypatch.setattr(trainings, "run_trials", lambda *_: None)
    monkeypatch.setattr(trainings.RunFolder, "forget_trial", lambda self, name: forgotten.append(name))
    begun = [replace(a_trial(2, "interrupted"), trial_id="seed-0")]
    monkeypatch.setattr(trainings, "load_trials", lambda _: begun)
    anything: Any = None
    asked = [*jobs(1), Job("final", TrialConfig(backbone="resnet18"), {"last_epoch": 2})]

    def run(epochs: int) -> list[str]:
        forgotten.clear()
        task = replace(a_run().task, epochs=epochs)
        run_jobs(asked, task, on_cores(2), tmp_path, anything, StopRequest(), anything)
        return sorted(forgotten)

    assert run(4) == [], "nobody knows what it was begun for"
    assert run(4) == []
    begun.append(replace(a_trial(2, "finished"), trial_id="final"))
    assert run(8) == ["final", "seed-0"], "the schedule of what trains as many epochs is another, too"
    assert run(8) == []
