"""What fits: said before the search, left out loudly, an error when nothing is left."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.machine import memory_needs as fit
from search.machine.free_memory import device_memory
from search.machine.memory_needs import (
    CPU_FACTOR,
    CPU_PROCESS_BYTES,
    facts_of,
    largest_trial,
    leave_out_too_large,
    long_first,
    most_networks,
    room_for,
    sharing_bytes,
    trial_bytes,
    trials_that_fit,
)
from search.study import AskedStudy, SettledStudy
from tests.records import a_run
from trainables.config import TaskConfig
from trainables.networks.known_costs import TrialFacts, TrialSetting, model_facts, remember_trial

SMALL, LARGE = "test_resnet", "resnet18"


def left_in(backbones: tuple[str, ...], study: SettledStudy, memory: int | None, num_networks: int = 1) -> Any:
    return leave_out_too_large(backbones, facts_of(backbones, study), study, memory, num_networks)


def at_a_time(study: SettledStudy, backbones: tuple[str, ...], *more: Any) -> int | None:
    return trials_that_fit(study, facts_of(backbones, study), *more)


@pytest.fixture
def study(tmp_path: Path) -> SettledStudy:
    return AskedStudy.of(image_size=64, batch_size=32, concurrency=2, cache_dir=tmp_path).settle(4, 0)


def between(study: SettledStudy) -> int:
    """Memory in which two trials of the small network fit, and none of the large one."""
    needed = [trial_bytes(model_facts(name, 64, study.cache_path), 32, gpu=False) for name in (SMALL, LARGE)]
    return sum(needed)


def test_everything_is_kept_where_there_is_room_or_nothing_is_known(study: SettledStudy) -> None:
    for memory in (10**12, None):
        assert left_in((LARGE, SMALL), study, memory) == ((LARGE, SMALL), "")


def test_what_cannot_fit_as_often_as_trials_run_is_left_out_loudly(study: SettledStudy) -> None:
    kept, note = left_in((LARGE, SMALL), study, between(study))
    assert kept == (SMALL,)
    assert re.fullmatch(r"resnet18 needs about \S+ GB, a trial can have \S+ GB: left out of the search", note)


def test_a_network_for_each_attribute_needs_as_much_more(study: SettledStudy) -> None:
    assert left_in((LARGE, SMALL), study, between(study), num_networks=1)[0] == (SMALL,)
    facts = model_facts(SMALL, 64, study.cache_path)
    needed = trial_bytes(facts, 32, 3, gpu=False)
    assert needed - trial_bytes(facts, 32, gpu=False) == round(CPU_FACTOR * 2 * facts.training_bytes(32))
    assert left_in((SMALL,), study, 2 * needed, num_networks=3)[0] == (SMALL,)
    with pytest.raises(ValueError, match="no backbone fits"):
        left_in((SMALL,), study, 2 * needed - 2, num_networks=3)


def test_a_search_says_what_its_largest_trial_needs(task: TaskConfig, study: SettledStudy) -> None:
    task = replace(task, attributes={"a": ("x", "x", "y"), "b": ("x", "y", "y")})
    run = a_run(task=task, weights={SMALL: "random", LARGE: "random"}, options={"formulation": "joint"})
    facts = facts_of((SMALL, LARGE), study).known
    joint = largest_trial(run, facts)
    assert re.fullmatch(r"Largest trial: resnet18, 11\.2 M parameters, about \S+ GB of memory", joint)
    separate = largest_trial(replace(run, options={"formulation": "separate"}), facts)
    assert separate.startswith("Largest trial: 2 x resnet18, 2 x 11.2 M parameters, about ")
    assert float(separate.split()[-4]) > float(joint.split()[-4])


def test_a_backbone_that_cannot_be_run_at_the_size_is_left_out(tmp_path: Path) -> None:
    study = AskedStudy.of(image_size=16, batch_size=4, cache_dir=tmp_path).settle(1, 0)
    kept, note = left_in((SMALL, "swin_tiny_patch4_window7_224.nothing"), study, None)
    assert kept == (SMALL,)
    assert "cannot be run at 16 px" in note


def test_nothing_that_fits_is_an_error_that_names_the_ways_out(study: SettledStudy) -> None:
    with pytest.raises(ValueError, match=r"no backbone fits: .*--batch-size, --image-size or --concurrency"):
        left_in((LARGE, SMALL), study, CPU_PROCESS_BYTES)


def test_on_a_gpu_a_trial_may_go_on_in_parts_and_shares_it_with_few(tmp_path: Path) -> None:
    whole = AskedStudy.of(image_size=64, batch_size=64, cache_dir=tmp_path).settle(8, 2)
    shared = AskedStudy.of(image_size=64, batch_size=64, gpus_per_trial=0.5, cache_dir=tmp_path).settle(8, 2)
    needed = trial_bytes(model_facts(LARGE, 64, tmp_path), 16, gpu=True)
    assert left_in((LARGE,), whole, needed + 1)[0] == (LARGE,)
    assert left_in((LARGE,), shared, 2 * needed + 2)[0] == (LARGE,)
    with pytest.raises(ValueError, match="no backbone fits"):
        left_in((LARGE,), shared, 2 * needed - 2)


def test_the_memory_of_a_cluster_is_not_that_of_this_machine(study: SettledStudy, tmp_path: Path) -> None:
    found = device_memory(study)
    assert found is not None and found > 10**8
    assert device_memory(AskedStudy.of(address="10.0.0.7:6379", cache_dir=tmp_path).settle(2, 0)) is None


def test_room_is_for_the_largest_trial_that_can_be_there_at_all() -> None:
    assert room_for([2, 5, 3], 11) == 2
    assert room_for([2, 5, 30], 11) == 2  # the last is left out of the search, not a reason to run one at a time
    assert room_for([30], 11) == 1
    assert room_for([], 11) == 1


def test_a_trial_that_shares_a_gpu_is_given_its_context_and_its_pictures_beside_its_network() -> None:
    assert sharing_bytes(4 * 10**9, 10**9) == fit.CONTEXT_BYTES + round(fit.PACKING_FACTOR * 4 * 10**9) + 10**9


def test_without_a_gpu_as_many_trials_fit_as_their_estimates_do(study: SettledStudy) -> None:
    needed = trial_bytes(model_facts(LARGE, 64, study.cache_path), 32, gpu=False)
    free = 3 * needed + 1
    assert at_a_time(study, (LARGE, SMALL, "no_such_network"), 100, 1, free) == 3
    assert at_a_time(study, (LARGE,), 100, most_networks(("joint", "separate"), ("mask", "age")), free) == 2
    assert at_a_time(study, (LARGE,), 100, most_networks(("joint", "heads"), ("mask", "age")), free) == 3


def test_on_a_gpu_what_trials_took_counts_for_more_than_the_estimate(
    tmp_path: Path,
) -> None:
    study = AskedStudy.of(image_size=56, batch_size=32, cache_dir=tmp_path).settle(8, 1)
    pictures = 1000 * 3 * 64 * 64
    estimate = model_facts(SMALL, 56, tmp_path).training_bytes(32, "bfloat16")
    free = 4 * sharing_bytes(estimate, pictures)
    assert at_a_time(study, (SMALL,), 1000, 1, free) == 4
    took = 2 * sharing_bytes(estimate, pictures) - fit.CONTEXT_BYTES - pictures
    setting = TrialSetting(SMALL, 56, 32, "cuda", study.cpus_per_trial or 1)
    remember_trial(setting, tmp_path, TrialFacts(100.0, round(took / fit.PACKING_FACTOR)))
    assert at_a_time(study, (SMALL,), 1000, 1, free) == 2


def test_on_a_gpu_more_trials_fit_in_half_the_bytes(tmp_path: Path) -> None:
    facts = model_facts(LARGE, 224, tmp_path)
    needed = [trial_bytes(facts, 32, gpu=True, precision=name) for name in ("float16", "bfloat16", "float32")]
    assert needed[0] == needed[1] < needed[2]


def test_on_a_cluster_nobody_can_tell_what_fits(tmp_path: Path) -> None:
    study = AskedStudy.of(address="10.0.0.7:6379", cache_dir=tmp_path).settle(8, 1)
    assert at_a_time(study, (SMALL,), 1000, 1, device_memory(study)) is None


def test_long_trials_come_first_after_the_default(study: SettledStudy) -> None:
    points = [{"backbone": SMALL, "lr": lr} for lr in (1, 2)] + [{"backbone": LARGE, "lr": lr} for lr in (3, 4)]
    assert [point["lr"] for point in long_first(points, facts_of((SMALL, LARGE), study).known)] == [1, 3, 4, 2]
