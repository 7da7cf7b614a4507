"""Candidates and their ranking: the default always comes along, the mean over seeds decides, not the best of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from results.records.trials import TrialHistory
from results.statistics.ranking import DEFAULT, Candidate, candidates, rank
from tests.records import a_report
from trainables.config import TrialConfig
from trainables.report import TrialStatus

DEFAULT_CONFIG = TrialConfig(backbone="test_resnet")


def a_trial(name: str, *scores: float, status: str = "finished", **config: Any) -> TrialHistory:
    reports = tuple(
        a_report(
            epoch,
            score,
            best_val_macro_f1=max(scores[:epoch]),
            best_epoch=scores.index(max(scores[:epoch])) + 1,
        )
        for epoch, score in enumerate(scores, start=1)
    )
    return TrialHistory(
        trial_id=name,
        config=replace(DEFAULT_CONFIG, **config),
        reports=reports,
        status=TrialStatus(status),
        reason=None,
    )


def test_finished_trials_come_before_stopped_ones_and_the_default_comes_along() -> None:
    trials = [
        a_trial("00000", 0.2, 0.3, lr=0.1),
        a_trial("00001", 0.9, status="stopped", lr=0.2),
        a_trial("00002", 0.5, 0.4, lr=0.3),
        a_trial("00003", status="failed", lr=0.4),
    ]
    listed, control = candidates(trials, DEFAULT_CONFIG, top_k=3)
    assert [candidate.name for candidate in listed] == ["00002", "00000", "00001", DEFAULT]
    assert control == Candidate(DEFAULT, DEFAULT_CONFIG, None)


def test_a_default_among_the_best_is_not_trained_twice() -> None:
    trials = [a_trial("00000", 0.5), a_trial("00001", 0.6, lr=0.1)]
    listed, control = candidates(trials, DEFAULT_CONFIG, top_k=2)
    assert [candidate.name for candidate in listed] == ["00001", "00000"]
    assert control is listed[1]


def test_a_default_that_was_tried_but_is_not_among_the_best_keeps_its_name() -> None:
    listed, control = candidates([a_trial("00000", 0.1), a_trial("00001", 0.6, lr=0.1)], DEFAULT_CONFIG, top_k=1)
    assert [candidate.name for candidate in listed] == ["00001", "00000"]
    assert control.search_score == 0.1


def test_the_same_configuration_counts_once() -> None:
    trials = [a_trial("00000", 0.5, lr=0.1), a_trial("00001", 0.6, lr=0.1), a_trial("00002", 0.4, lr=0.2)]
    listed, _ = candidates(trials, DEFAULT_CONFIG, top_k=2)
    assert [candidate.name for candidate in listed] == ["00001", "00002", DEFAULT]


def test_one_trial_can_be_asked_for_and_a_wrong_name_says_which_there_are() -> None:
    trials = [a_trial("00000", 0.5, lr=0.1), a_trial("00001", 0.6, lr=0.2)]
    listed, _ = candidates(trials, DEFAULT_CONFIG, top_k=3, only="00000")
    assert [candidate.name for candidate in listed] == ["00000", DEFAULT]
    with pytest.raises(ValueError, match=r"--trial 7: .* it has 00000, 00001"):
        candidates(trials, DEFAULT_CONFIG, top_k=3, only="7")


def test_a_search_without_a_score_has_nothing_to_train_again() -> None:
    with pytest.raises(ValueError, match="no trial of the search has a score"):
        candidates([a_trial("00000", status="failed")], DEFAULT_CONFIG, top_k=3)


def test_the_mean_over_seeds_decides_at_the_epoch_where_it_is_highest() -> None:
    lucky, steady = Candidate("lucky", DEFAULT_CONFIG, 0.9), Candidate("steady", DEFAULT_CONFIG, 0.5)
    ranking, failed = rank(
        [lucky, steady],
        {
            "lucky": [a_trial("a", 0.1, 0.9, 0.2), a_trial("b", 0.3, 0.1, 0.2)],
            "steady": [a_trial("c", 0.4, 0.6, 0.5), a_trial("d", 0.4, 0.5, 0.7)],
        },
    )
    assert not failed
    assert [ranked.candidate for ranked in ranking] == [steady, lucky]
    assert ranking[0].epoch == 3
    assert ranking[0].mean == pytest.approx(0.6)
    assert ranking[1].epoch == 2
    assert ranking[1].scores == (0.9, 0.1)
    assert ranking[1].std == pytest.approx(0.5657, abs=1e-4)


def test_a_candidate_with_a_failed_training_is_left_out_with_the_reason() -> None:
    one, other = Candidate("one", DEFAULT_CONFIG, 0.9), Candidate("other", DEFAULT_CONFIG, 0.5)
    broken = replace(a_trial("b", 0.3, status="failed"), reason="diverged")
    ranking, failed = rank([one, other], {"one": [a_trial("a", 0.1), broken], "other": [a_trial("c", 0.2)]})
    assert [ranked.candidate for ranked in ranking] == [other]
    assert failed == {"one": "diverged"}


def test_of_several_trainings_of_the_default_the_best_is_its_entry() -> None:
    trials = [a_trial("00000", 0.1), a_trial("00001", 0.6, lr=0.1), a_trial("00002", 0.3), a_trial("00003", 0.2)]
    _, control = candidates(trials, DEFAULT_CONFIG, top_k=1)
    assert control == Candidate("00002", DEFAULT_CONFIG, 0.3)


def test_of_equal_means_the_epoch_of_the_lowest_losses_is_taken() -> None:
    trainings = []
    for name in ("a", "b"):
        trial = a_trial(name, 0.5, 1.0, 1.0, 1.0)
        reports = [replace(each, val_loss=loss) for each, loss in zip(trial.reports, (9.0, 3.0, 1.0, 2.0), strict=True)]
        trainings.append(replace(trial, reports=tuple(reports)))
    [ranked], _ = rank([Candidate("one", DEFAULT_CONFIG, None)], {"one": trainings})
    assert ranked.epoch == 3
