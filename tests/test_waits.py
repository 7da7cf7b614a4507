"""Every wait has a limit: locks of others, pipes, processes. Nothing that is derived holds up a search."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from search.engine import history
from search.engine.history import HistoryTrial, append_trials
from search.engine.searcher import build_searcher
from search.machine import provenance
from search.prepare import _DecodingWatch
from trainables.data import cache
from trainables.data.demo import draw
from trainables.errors import UserError
from trainables.networks import known_costs
from trainables.saved import save_found

LOCKING = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("locked", flush=True)
time.sleep(120)
"""


@contextmanager
def locked_by_another(lock: Path) -> Iterator[None]:
    """While inside, another program holds the lock."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    other = subprocess.Popen([sys.executable, "-c", LOCKING, str(lock)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "locked\n"
        yield
    finally:
        other.kill()
        other.communicate()


def test_a_history_that_another_program_holds_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "LOCK_SECONDS", 0.2)
    path = tmp_path / "history.jsonl"
    trial = HistoryTrial(study="a", space="toy", config={}, values=[0.5])
    with locked_by_another(tmp_path / "history.jsonl.lock"), pytest.raises(OSError, match="could not be acquired"):
        append_trials(path, [trial])
    assert append_trials(path, [trial]) == 1


def test_facts_that_another_program_holds_are_found_out_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_costs, "LOCK_SECONDS", 0.2)
    with locked_by_another(tmp_path / f"{known_costs.FACTS_FILE}.lock"):
        assert known_costs.known_fact(tmp_path, "a key", lambda: 7, lambda known: known is not None) == 7
    assert not (tmp_path / known_costs.FACTS_FILE).exists()


def test_pictures_that_another_program_decodes_are_waited_for_and_said_once_until_the_budget_ends(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "WAIT_SECONDS", 0.01)
    paths = [str(pictures / "p00_0.png")]
    lock, console, left = tmp_path / f"{cache._key(paths, 32)}.lock", Console(record=True), iter([9.0, 5.0, 0.0])
    watch = _DecodingWatch(console, lambda: next(left))
    with locked_by_another(lock), pytest.raises(UserError, match="decoding the same pictures, and the time budget has"):
        cache.build_cache(paths, 32, tmp_path, on_wait=watch.waits)
    assert console.export_text().count("waiting for it") == 1
    cache.build_cache(paths, 32, tmp_path, on_wait=watch.waits)  # nobody decodes them any more


def test_demo_pictures_that_another_program_draws_for_ever_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draw, "LOCK_SECONDS", 0.2)
    with locked_by_another(tmp_path / ".demo.lock"), pytest.raises(UserError, match="end it and try again"):
        draw.make_demo_data(tmp_path / "demo")


def test_a_git_that_does_not_answer_is_a_commit_that_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(provenance, "GIT_SECONDS", 0.2)
    assert provenance.provenance()["commit"] is None


def test_a_model_that_is_saved_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(save_found, "SAVING_SECONDS", 0.2)
    process = subprocess.Popen(["sleep", "60"], stderr=subprocess.PIPE, text=True)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            save_found.end_saving(process)
    finally:
        process.kill()
        process.communicate()


STUDY_SPOILERS = {
    "locked": "import fcntl; f = open(path, 'r+'); fcntl.flock(f, fcntl.LOCK_EX); fcntl.lockf(f, fcntl.LOCK_EX)",
    "optuna's lock": "import os; os.symlink(path, path + '.lock')",
    "truncated": "open(path, 'w').close()",
    "overwritten": "open(path, 'w').write('something else')",
    "deleted": "import os; os.unlink(path)",
    "a folder": "import os; os.unlink(path); os.mkdir(path)",
    "a pipe": "import os; os.unlink(path); os.mkfifo(path)",
}


@pytest.mark.parametrize("how", STUDY_SPOILERS)
def test_another_program_at_the_study_holds_up_nothing(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study.journal"
    goal: dict[str, Any] = {"metric": "score", "mode": "max", "max_epochs": 1, "seed": 0}
    searcher = build_searcher(lambda trial: {"x": trial.suggest_float("x", 0, 1)}, **goal, storage=path)
    searcher.suggest("0")
    code = f"import sys, time\npath = sys.argv[1]\n{STUDY_SPOILERS[how]}\nprint('done', flush=True)\ntime.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "done\n"
        started = time.monotonic()
        for number in range(4):
            searcher.suggest(str(number))
            searcher.on_trial_complete(str(number), {"training_iteration": 1, "score": number / 10})
        assert time.monotonic() - started < 5
    finally:
        other.kill()
        other.communicate()
    if how == "a folder":
        path.rmdir()  # which the search does not delete: it may be somebody's
    elif how == "optuna's lock":
        Path(f"{path}.lock").unlink()  # which keeps Optuna's own readers out, as it should
    assert [trial.value for trial in searcher.study.trials] == [0.0, 0.1, 0.2, 0.3]


def test_a_gpus_driver_that_does_not_answer_does_not_hold_up_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from trainables.machine import epoch_meter

    monkeypatch.setattr(epoch_meter, "JOIN_SECONDS", 0.2)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: time.sleep(20))
    monkeypatch.setattr(epoch_meter, "SAMPLE_SECONDS", 0.01)
    started = time.monotonic()
    with epoch_meter.Watch(torch.device("cuda", 0)):
        time.sleep(0.1)
    assert time.monotonic() - started < 5


def test_an_image_says_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(provenance.COMMIT, "0123456789")
    assert provenance.provenance()["commit"] == "0123456789"
