"""Trials that Ray gives up without a word, as it does where the thread of the trial before has not ended in time."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.search import ConcurrencyLimiter, Searcher
from rich.console import Console

from results.records.run_folder import RunFolder
from results.records.trials import load_trials
from search.callbacks.lost_trials import LostTrials
from search.machine.ray_session import ray_session
from search.run_trials import Workload, run_trials
from search.stop import StopRequest
from search.study import AskedStudy
from search.tuner import MAX_LOSSES, NamedSearcher, trial_ids
from tests.conftest import TOY
from tests.records import a_report, a_task
from trainables.report import TrialStatus


class Proposer:
    """Proposes the same configuration always."""

    def suggest(self, trial_id: str) -> dict[str, Any]:
        return asdict(TOY)

    def on_trial_result(self, *_: Any) -> None:
        """Nothing."""

    def on_trial_complete(self, *_: Any) -> None:
        """Nothing."""


def slow_to_end(params: Mapping[str, Any], task: Any, gpu_share: float, ends_at: float) -> None:
    """One epoch, after which the thread takes its time."""
    from ray import tune

    try:
        tune.report({**asdict(a_report(1)), "training_iteration": 1})
    finally:
        time.sleep(1)


@pytest.mark.slow
@pytest.mark.long
def test_all_trials_are_trained_although_no_process_is_free_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_FUNCTION_THREAD_TIMEOUT_S", "0")
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    task = replace(a_task(epochs=1), checkpoint_dir=str(folder.checkpoints))
    study = AskedStudy.of(concurrency=1, cache_dir=tmp_path).settle(1, 0)
    names = trial_ids([], 3)
    work = Workload(folder=folder, task=task, study=study, waiting=names, num_trials=3, keep=0)
    stop = StopRequest(150)
    with ray_session() as session:
        run_trials(work, Proposer(), None, session, stop, Console(file=io.StringIO()), trainable=slow_to_end)
    assert stop.reason is None
    assert [(trial.trial_id, trial.status) for trial in load_trials(folder.path)] == [
        (name, TrialStatus.FINISHED) for name in names
    ]


def lost(number: int) -> Any:
    return SimpleNamespace(trial_id=f"ray{number}", status=Trial.ERROR)


def test_what_ray_ended_without_a_word_is_handed_out_again_and_makes_room() -> None:
    searcher = NamedSearcher(Proposer(), StopRequest(None), trial_ids([], 2))
    limited = ConcurrencyLimiter(searcher, max_concurrent=1)
    callback = LostTrials(searcher, limited)
    first = limited.suggest("ray0")
    assert limited.suggest("ray1") is None
    running = SimpleNamespace(trial_id="ray0", status=Trial.RUNNING)
    callback.on_step_end(1, [running])
    assert limited.suggest("ray1") is None
    callback.on_step_end(2, [lost(0)])
    callback.on_step_end(3, [lost(0)])  # once is enough
    assert limited.suggest("ray1") == first


def test_a_search_whose_trials_never_begin_ends() -> None:
    stop = StopRequest(None)
    searcher = NamedSearcher(Proposer(), stop, trial_ids([], 1))
    limited = ConcurrencyLimiter(searcher, max_concurrent=1)
    for number in range(MAX_LOSSES):
        assert stop.reason is None
        limited.suggest(f"ray{number}")
        LostTrials(searcher, limited).on_step_end(number, [lost(number)])
    assert stop.reason is not None and "00000" in stop.reason
    assert searcher.suggest("ray99") == Searcher.FINISHED
