"""What a search cost: counted from its trials, and silent about what is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from results.records.cost import cost_in_words, search_cost
from results.records.trials import TrialHistory
from tests.results.records.test_record import a_record, a_run
from trainables.config import TrialConfig
from trainables.report import EpochReport, TrialStatus

REPORT = EpochReport(
    epoch=1,
    train_loss=1.0,
    train_macro_f1=0.5,
    val_loss=1.0,
    val_macro_f1=0.5,
    val_accuracy=0.5,
    class_f1=(0.5, 0.5),
    best_val_macro_f1=0.5,
    best_epoch=1,
    lr=0.1,
    images_per_second=10.0,
    seconds=2.0,
    peak_memory_bytes=1,
    energy_joules=30.0,
)


def a_trial(epochs: int, status: str, **changes: Any) -> TrialHistory:
    reports = tuple(replace(REPORT, epoch=epoch, **changes) for epoch in range(1, epochs + 1))
    return TrialHistory(
        trial_id=status,
        config=TrialConfig(backbone="resnet18"),
        reports=reports,
        status=TrialStatus(status),
        reason=None,
    )


def run_of(epochs: int, pictures: int, batch_size: int) -> Any:
    run = a_run(data={"sides": {"train": {"pictures": pictures}}})
    return replace(run, task=replace(run.task, epochs=epochs, batch_size=batch_size))


def test_epochs_time_pictures_and_energy_of_all_trials_are_added_up() -> None:
    trials = [a_trial(9, "finished"), a_trial(3, "stopped"), a_trial(1, "failed"), a_trial(2, "interrupted")]
    cost = search_cost(run_of(9, 100, 32), trials)
    assert cost.epochs == 15
    assert cost.epochs_saved == 6  # of the stopped one alone: a failed one would not have gone on
    assert cost.device_seconds == 30
    assert cost.images_trained == 15 * 96
    assert cost.energy_joules == 450


def test_what_is_not_known_is_none_and_not_guessed() -> None:
    half_told = [a_trial(2, "finished"), a_trial(1, "stopped", energy_joules=None)]
    assert search_cost(run_of(2, 100, 32), half_told).energy_joules is None
    assert search_cost(run_of(2, 100, 32), []).energy_joules is None
    assert search_cost(a_run(data={}), half_told).images_trained is None


def test_the_last_line_of_a_search_says_what_is_known() -> None:
    record = a_record(
        wall_seconds=192.4,
        device_seconds=301.0,
        search_epochs=52,
        epochs_saved=20,
        images_trained=12_480,
        energy_joules=7200.0,
    )
    assert cost_in_words(record) == (
        "Cost: 0:03:12 in all, 0:05:01 of training, trials added up, 12,480 pictures trained, "
        "52 epochs, 20 more saved by ASHA, 2.0 Wh"
    )
    older = cost_in_words(a_record(wall_seconds=192.4, device_seconds=301.0))
    assert older == "Cost: 0:03:12 in all, 0:05:01 of training, trials added up, energy unknown"
