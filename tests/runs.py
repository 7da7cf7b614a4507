"""Run folders as a search leaves them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from results.records.run_folder import RunFolder
from tests.records import a_report, a_run, a_task
from trainables.config import TrialConfig

STARTED = datetime.fromisoformat("2026-10-24T14:03:00+09:00")

HOLDING = """
import signal, sys, time
from pathlib import Path
from search.hold import hold
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    end = time.monotonic() + 60
    while time.monotonic() < end and not heard: time.sleep(.05)
    time.sleep(float(sys.argv[2]))
print(len(heard), flush=True)
"""
"""A process that is at a run, as a search of a shell, until it is interrupted and more: folder, seconds more."""


def at(seconds: float) -> str:
    """The time so many seconds after the start."""
    return (STARTED + timedelta(seconds=seconds)).isoformat()


def a_line(trial: int, epoch: int, score: float, *, after: float = 0, status: str = "running") -> dict[str, Any]:
    """The line of an epoch of two classes, which does not say which is the best: that of the highest score is."""
    report = a_report(epoch, score, class_f1=(score, score))
    config = {"config": asdict(TrialConfig(backbone=f"net{trial}"))} if epoch == 1 else {}
    said = {**report.to_json(), "best_epoch": 0, "highest_epoch": 0}
    return {"trial_id": f"{trial:05}", "time": at(after), "status": status, **said, **config}


def an_event(trial: int, event: str, *, after: float = 0, **more: Any) -> dict[str, Any]:
    """The line of an event."""
    return {"trial_id": f"{trial:05}", "time": at(after), "event": event, "reason": None, **more}


def a_run_dir(
    folder: Path, lines: Iterable[dict[str, Any]] = (), events: Iterable[dict[str, Any]] | None = None
) -> Path:
    """Makes the folder of a run with these lines in its logs."""
    run = a_run(started=at(0), task=a_task(seed=7))
    files = RunFolder(folder)
    run.save(files.run_json)
    files.trials_jsonl.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if events is not None:
        files.events_jsonl.write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder
