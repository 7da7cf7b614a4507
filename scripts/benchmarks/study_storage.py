"""CPU seconds that the study's file costs a search, for three ways to write it.

Each way is told what a searcher tells it: a trial when it starts, each of its epochs, and how it ended.

    python scripts/benchmarks/study_storage.py

On two busy cores, 1,000 trials of 20 parameters and 9 epochs, one run, reading included: `StudyRecord` 2.0 s of CPU
(7 s by the clock), Optuna's own journal file with its locks and fsync 5.2 s (22 s), a study in memory that is copied
at the end 52 s (122 s). Rows written by SQL of our own, as earlier versions did: 6.4 s (14 s).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from search.engine.study_journal import SearchTrial, StudyRecord

PARAMS = 20
NAME = "study"
RANGES: dict[str, BaseDistribution] = {f"knob_{number:02d}": FloatDistribution(0.0, 1.0) for number in range(PARAMS)}


def _params(number: int) -> dict[str, float]:
    return {name: (number * PARAMS + place) % 997 / 997 for place, name in enumerate(RANGES)}


def _tell(storage: BaseStorage, num_trials: int, num_epochs: int) -> None:
    study_id = storage.create_new_study([StudyDirection.MAXIMIZE], NAME)
    for number in range(num_trials):
        new = create_trial(state=TrialState.RUNNING, params=_params(number), distributions=RANGES)
        trial_id = storage.create_new_trial(study_id, new)
        for epoch in range(1, num_epochs + 1):
            storage.set_trial_intermediate_value(trial_id, epoch, epoch / 10)
        for key, value in _facts(number, num_epochs).items():
            storage.set_trial_user_attr(trial_id, key, value)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [num_epochs / 10])


def _facts(number: int, num_epochs: int) -> dict[str, Any]:
    return {
        "trial_id": f"{number:05d}",
        "stop_reason": "finished",
        "epochs": num_epochs,
        "seconds": 9.0,
        "best_epoch": num_epochs,
        "best_value": num_epochs / 10,
    }


def journal(folder: Path, num_trials: int, num_epochs: int) -> optuna.Study:
    """A journal file as Optuna writes it: locked, and on the disk after each operation."""
    path = folder / "study.journal"
    _tell(JournalStorage(JournalFileBackend(str(path))), num_trials, num_epochs)
    return optuna.load_study(study_name=NAME, storage=JournalStorage(JournalFileBackend(str(path))))


def copied(folder: Path, num_trials: int, num_epochs: int) -> optuna.Study:
    """A study in memory that is copied into an SQLite file once, at the end."""
    memory, file = InMemoryStorage(), f"sqlite:///{folder / 'copied.db'}"
    _tell(memory, num_trials, num_epochs)
    optuna.copy_study(from_study_name=NAME, from_storage=memory, to_storage=file)
    return optuna.load_study(study_name=NAME, storage=file)


def record(folder: Path, num_trials: int, num_epochs: int) -> optuna.Study:
    """What searches use: `StudyRecord`, a journal without locks that does not wait for the disk."""
    study = StudyRecord(folder / "study.journal", NAME, "max")
    trials: list[SearchTrial] = []
    for number in range(num_trials):
        params = _params(number)
        trial = SearchTrial(number, f"{number:05d}", params, params, RANGES)
        trials.append(trial)
        study.write(trial, trials)
        for epoch in range(1, num_epochs + 1):
            trial.values[epoch] = epoch / 10
            study.report(trial, epoch, trials)
        trial.user_attrs |= _facts(number, num_epochs)
        trial.state = "finished"
        study.write(trial, trials)
    return study.study()


def main(arguments: list[str] | None = None) -> None:
    """Prints a table: CPU and wall seconds of each way, its reading included."""
    parser = argparse.ArgumentParser(description="CPU seconds that the study's file costs a search, by way to write it")
    parser.add_argument("--trials", type=int, default=1000, help="trials of the search")
    parser.add_argument("--epochs", type=int, default=9, help="epochs of each trial")
    asked = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ways: dict[str, Callable[[Path, int, int], optuna.Study]] = {
        "StudyRecord": record,
        "JournalFileBackend": journal,
        "InMemoryStorage, copy_study at the end": copied,
    }
    print(f"{'way':40} {'cpu s':>8} {'wall s':>8}")
    for words, way in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            cpu, wall = time.process_time(), time.perf_counter()
            study = way(Path(folder), asked.trials, asked.epochs)
            if len(study.trials) != asked.trials:
                raise RuntimeError(f"{words}: {len(study.trials)} trials were read, {asked.trials} were told")
            print(f"{words:40} {time.process_time() - cpu:8.1f} {time.perf_counter() - wall:8.1f}", flush=True)


if __name__ == "__main__":
    main()
