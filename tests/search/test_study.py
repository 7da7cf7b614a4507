"""The settings of a search: settled from the machine, refused when they cannot be."""

from __future__ import annotations

import math
from typing import Any

import pytest

from search.flags import SearchFlags
from search.study import AskedStudy


def test_defaults_differ_with_and_without_a_gpu() -> None:
    cpu, gpu = AskedStudy().settle(2, 0), AskedStudy().settle(16, 2)
    assert (cpu.concurrency, cpu.cpus_per_trial, cpu.gpus_per_trial) == (2, 1, 0)
    assert (gpu.concurrency, gpu.cpus_per_trial, gpu.gpus_per_trial) == (2, 8, 1)
    assert cpu.image_size is not None
    assert gpu.image_size is not None
    assert cpu.image_size < gpu.image_size


def test_fractions_of_a_gpu_let_trials_share_it() -> None:
    assert AskedStudy.of(gpus_per_trial=0.25).settle(16, 1).concurrency == 4


@pytest.mark.parametrize(
    ("fit", "cores", "gpus", "share", "at_a_time"),
    [
        (None, 16, 1, 1, 1),  # the memory cannot be told
        (1, 16, 1, 1, 1),
        (2, 16, 1, 1 / 2, 2),
        (3, 16, 2, 1 / 3, 6),
        (40, 16, 1, 1 / 4, 4),  # taking turns gains no more
        (4, 3, 1, 1 / 3, 3),  # a trial needs a core
        (4, 2, 0, 0, 2),
    ],
)
def test_a_gpu_is_shared_by_as_many_trials_as_have_room_in_it(
    fit: int | None, cores: int, gpus: int, share: float, at_a_time: int
) -> None:
    study = AskedStudy.of(gpus_per_trial="auto").settle(cores, gpus, trials_that_fit=fit)
    assert study.gpus_per_trial == pytest.approx(share)
    assert study.concurrency == at_a_time


def test_auto_leaves_to_each_trial_what_the_ones_asked_for_do_not_need() -> None:
    assert AskedStudy.of(gpus_per_trial="auto", concurrency=2).settle(16, 1, trials_that_fit=4).gpus_per_trial == 0.5
    assert AskedStudy.of(gpus_per_trial="auto", cpus_per_trial=8).settle(16, 1, trials_that_fit=4).gpus_per_trial == 0.5


def test_what_fits_is_not_asked_for_before_it_is_known() -> None:
    assert AskedStudy.of(gpus_per_trial="auto", concurrency=2).settle(16, 1).gpus_per_trial == 0.5
    with pytest.raises(ValueError, match="--concurrency 2"):
        AskedStudy.of(gpus_per_trial="auto", concurrency=2).settle(16, 1, trials_that_fit=1)


def test_a_trial_that_has_a_part_of_a_gpu_is_on_one_gpu() -> None:
    assert AskedStudy.of(gpus_per_trial=0.4).settle(16, 2).concurrency == 4


def test_fewer_trials_run_at_a_time_where_memory_is_short_and_each_has_more_cores() -> None:
    short = AskedStudy().settle(8, 0, trials_that_fit=2)
    assert (short.concurrency, short.cpus_per_trial) == (2, 4)
    assert AskedStudy.of(concurrency=4).settle(8, 0, trials_that_fit=2).concurrency == 4  # who asks, gets


def test_cores_are_shared_out_between_the_trials_at_a_time() -> None:
    assert AskedStudy.of(concurrency=2).settle(16, 0).cpus_per_trial == 8
    assert AskedStudy.of(cpus_per_trial=8).settle(16, 0).concurrency == 2
    assert AskedStudy().settle(1, 0).concurrency == 1


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"gpus_per_trial": 1.0}, "this machine has 0 GPUs"),
        ({"cpus_per_trial": 3}, "this machine has 2 cores"),
        ({"concurrency": 3}, "needs more than the 2 cores"),
    ],
)
def test_more_than_there_is_is_refused(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AskedStudy.of(**wanted).settle(2, 0)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), (None, math.inf)])
def test_a_time_budget_is_read_in_its_unit(text: str | None, seconds: float) -> None:
    assert SearchFlags(time_budget=text).time_budget_seconds == seconds


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trials", 0),
        ("epochs", 0),
        ("image_size", 8),
        ("batch_size", 1),
        ("batch_size", 33),
        ("image_size", 4096),
        ("seed", -1),
        ("concurrency", 0),
        ("gpus_per_trial", -1.0),
        ("gpus_per_trial", 1.5),
        ("gpus_per_trial", 2.0),
        ("time_budget", "soon"),
        ("time_budget", "0"),
        ("val_share", 0.0),
        ("test_share", 0.9),
        ("name", "../up"),
        ("keep", -1),
        ("grace_period", 0),
        ("reduction_factor", 1.0),
        ("add_trials", 3),
    ],
)
def test_a_value_out_of_range_names_its_flag(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"--{field.replace('_', '-')}"):
        AskedStudy.of(**{field: value})


def test_a_space_of_one_configuration_is_one_trial() -> None:
    assert AskedStudy.of(space="baseline", trials=12).settle(2, 0, num_configs=1).trials == 1


def test_a_single_trial_has_all_cores() -> None:
    alone = AskedStudy.of(trials=1).settle(num_cpus=2, num_gpus=0)
    assert (alone.concurrency, alone.cpus_per_trial) == (1, 2)
    asked = AskedStudy.of(trials=1, concurrency=2).settle(num_cpus=2, num_gpus=0)
    assert (asked.concurrency, asked.cpus_per_trial) == (2, 1)
    assert AskedStudy.of(trials=1).settle(num_cpus=2, num_gpus=0, trials_that_fit=4).concurrency == 1


def test_a_run_of_before_that_gave_a_trial_several_gpus_goes_on_with_the_one_it_trained_on() -> None:
    assert AskedStudy.restored({"gpus_per_trial": 2.0}).machine.gpus_per_trial == 1
    assert AskedStudy.restored({"gpus_per_trial": "auto"}).machine.gpus_per_trial == "auto"
