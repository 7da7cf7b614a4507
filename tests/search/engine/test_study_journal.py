"""The study's file: what Optuna reads in it is what was told, whatever happens to the file meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from search.engine.study_journal import SearchTrial, StudyRecord, UnsyncedJournal, _frozen
from trainables.report import TrialStatus

WHEN = datetime(2026, 11, 22, 10, 0, 0)
RANGES = {
    "lr": FloatDistribution(1e-5, 1.0, log=True),
    "layers": IntDistribution(1, 9),
    "flag": CategoricalDistribution([None, True, 1, "one"]),
}


def a_trial(number: int, state: TrialStatus, values: dict[int, float], **attrs: Any) -> SearchTrial:
    params = {"lr": 10.0 ** -(number + 1), "layers": number + 1, "flag": (None, True, 1, "one")[number]}
    trial = SearchTrial(number, f"{number:05d}", dict(params), params, dict(RANGES), attrs, dict(values), {}, state)
    trial.started = WHEN
    trial.ended = None if state == TrialStatus.RUNNING else WHEN
    return trial


def trials() -> list[SearchTrial]:
    return [
        a_trial(0, TrialStatus.FINISHED, {1: 0.25, 2: 0.5}, best_value=0.5, stop_reason="finished"),
        a_trial(1, TrialStatus.STOPPED, {1: 0.125}, best_value=0.125),
        a_trial(2, TrialStatus.FAILED, {1: 0.5, 2: math.nan}),
        a_trial(3, TrialStatus.RUNNING, {1: math.inf}),
    ]


def comparable(trial: FrozenTrial) -> Any:
    shown = vars(trial) | {"_values": trial.values, "datetime_complete": trial.datetime_complete is not None}
    return {name: repr(value) for name, value in shown.items() if name != "_trial_id"}


def filled(path: Path | None, *, rewritten: bool) -> list[FrozenTrial]:
    record, known = StudyRecord(path, "study", "max"), trials()
    if rewritten:
        record.sync(known)
        return record.study().trials
    for number, trial in enumerate(known):  # each is new, reports its epochs, and ends
        running = a_trial(number, TrialStatus.RUNNING, {})
        record.write(running, [*known[:number], running])
        running.values.update(trial.values)
        for epoch in trial.values:
            record.report(running, epoch, [*known[:number], running])
        record.write(trial, known[: number + 1])
    return record.study().trials


@pytest.mark.parametrize("rewritten", [False, True])
def test_the_file_holds_what_optuna_would_have_put_there(rewritten: bool, tmp_path: Path) -> None:
    reference = optuna.create_study(storage=f"sqlite:///{tmp_path / 'reference.db'}", direction="maximize")
    for trial in trials():
        reference.add_trial(_frozen(trial))
    expected = [comparable(trial) for trial in reference.trials]
    found = filled(tmp_path / "study.journal", rewritten=rewritten)
    assert [comparable(trial) for trial in found] == expected
    assert found[0].params["flag"] is None
    assert found[1].params["flag"] is True


def delete(path: Path) -> None:
    path.unlink()


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def let_another_write(path: Path) -> None:
    with path.open("a") as file:
        file.write("what is no line of a journal\n")


@pytest.mark.parametrize("harm", [delete, tear, let_another_write])
def test_a_file_that_is_harmed_meanwhile_is_made_up_for(
    harm: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.engine.study_journal.RETRY_SECONDS", 0.0)
    path = tmp_path / "study.journal"
    record, known = StudyRecord(path, "study", "max"), trials()
    record.write(known[0], known[:1])
    harm(path)
    record.write(known[1], known[:2])  # fails, and says so
    assert record.stale
    record.write(known[2], known[:3])
    assert not record.stale
    assert [trial.number for trial in record.study().trials] == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "study.journal").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        UnsyncedJournal(tmp_path / "study.journal").append_logs([{"op_code": 0}])


def test_a_torn_last_line_hides_no_trial_before_it(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    record, known = StudyRecord(path, "study", "max"), trials()
    record.sync(known)
    tear(path)
    assert len(record.study().trials) == len(known) - 1
