"""What trials took is noted when they end, for the search after this one."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search.callbacks.trial_facts import Remember
from tests.records import a_report
from trainables.config import TaskConfig
from trainables.networks.known_costs import TrialFacts, TrialSetting, recall_trial

GB = 10**9


def a_trial(**config: Any) -> Any:
    return SimpleNamespace(config={"backbone": "test_resnet", "formulation": "joint", **config, "trial_id": "00000"})


def result(peak: int, **more: Any) -> dict[str, Any]:
    report = a_report(1, images_per_second=50.0, peak_memory_bytes=peak)
    return {**asdict(report), "micro_batches": 1, "resident_bytes": None, **more}


def recalled(task: TaskConfig, folder: Path) -> TrialFacts | None:
    return recall_trial(
        TrialSetting("test_resnet", task.image_size, task.batch_size, task.device, task.num_threads), folder
    )


def run(task: TaskConfig, folder: Path, trial: Any, *results: dict[str, Any]) -> TrialFacts | None:
    remember = Remember(task, folder)
    for epoch in results:
        remember.on_trial_result(0, [], trial, epoch)
    assert recalled(task, folder) is None  # not before its end
    remember.on_trial_complete(0, [], trial)
    return recalled(task, folder)


def test_memory_is_the_highest_peak_beside_the_pictures_that_lie_on_the_gpu(task: TaskConfig, tmp_path: Path) -> None:
    epochs = [result(peak, resident_bytes=GB) for peak in (3 * GB, 5 * GB, 4 * GB)]
    epochs[-1]["images_per_second"] = 60.0
    assert run(replace(task, device="cuda"), tmp_path, a_trial(), *epochs) == TrialFacts(60.0, 4 * GB)


def test_on_a_cpu_the_speed_alone_is_kept(task: TaskConfig, tmp_path: Path) -> None:
    assert run(task, tmp_path, a_trial(), result(GB)) == TrialFacts(50.0, None)


def test_a_training_with_threads_of_its_own_is_remembered_by_these(task: TaskConfig, tmp_path: Path) -> None:
    remember = Remember(task, tmp_path)
    alone = a_trial(task={"num_threads": task.num_threads + 1})
    remember.on_trial_result(0, [], alone, result(GB))
    remember.on_trial_complete(0, [], alone)
    assert recalled(task, tmp_path) is None
    assert recalled(replace(task, num_threads=task.num_threads + 1), tmp_path) == TrialFacts(50.0, None)


@pytest.mark.parametrize(
    ("config", "epoch"),
    [
        ({}, result(GB, micro_batches=4)),
        ({}, result(GB, failure="RuntimeError: no")),
        ({}, result(GB, trained_share=0.1)),
        ({"formulation": "separate"}, result(GB)),
        ({"frozen_share": 0.4}, result(GB)),  # of three epochs the first trains the classifier alone
    ],
    ids=["in parts", "failed", "cut short", "several networks", "frozen"],
)
def test_what_does_not_stand_for_the_others_is_not_kept(
    config: dict[str, Any], epoch: dict[str, Any], task: TaskConfig, tmp_path: Path
) -> None:
    assert run(task, tmp_path, a_trial(**config), epoch) is None


def test_trials_that_share_a_gpu_are_remembered_as_such(task: TaskConfig, tmp_path: Path) -> None:
    on_a_gpu = replace(task, device="cuda")
    remember = Remember(on_a_gpu, tmp_path, sharers=2)
    remember.on_trial_result(0, [], a_trial(), result(GB))
    remember.on_trial_complete(0, [], a_trial())
    assert recalled(on_a_gpu, tmp_path) is None
    assert recall_trial(TrialSetting.of("test_resnet", on_a_gpu, sharers=2), tmp_path) is not None


def test_a_cache_that_cannot_be_written_costs_nothing(task: TaskConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    remember = Remember(task, tmp_path / "file")
    remember.on_trial_result(0, [], a_trial(), result(GB))
    remember.on_trial_complete(0, [], a_trial())
