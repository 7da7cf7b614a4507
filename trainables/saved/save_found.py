"""Saves what a search found, in a process of its own: `python -m trainables.saved.save_found < what.json`.

The driver of a search does without torch, and this runs beside what else it writes at the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainables.config import TaskConfig, TrialConfig
from trainables.reason import typed_reason
from trainables.second_view import NONE

ROOT = Path(__file__).resolve().parents[2]
SAVING_SECONDS = 600
"""How long saving a model may take; it takes some seconds."""
GIVES_WAY = 10
"""Added to the niceness of a process that saves beside a training, whose first epoch took a quarter longer without."""


@dataclass(frozen=True, kw_only=True)
class FoundMember:
    """A trial that is to answer."""

    trial_id: str
    config: TrialConfig
    checkpoint: Path
    """Its folder, with the weights of its best epoch."""
    share: float
    """What its probabilities count; all members' add up to 1."""


def begin_saving(
    folder: Path,
    members: Sequence[FoundMember],
    task: TaskConfig,
    record: Mapping[str, Any],
    *,
    tau: float = 0.0,
    prior: Sequence[float] = (),
    second_view: str = NONE,
    beside_training: bool = False,
) -> subprocess.Popen[str]:
    """Begins to save trials as one model; `end_saving` waits for it.

    Args:
        folder: Where the model goes.
        members: The trials.
        task: Their task.
        record: What the model's description says of how it was made.
        tau: Power of the prior that probabilities are divided by; 0 for no decision rule.
        prior: Share of each class in what was trained on; needed where there is a rule.
        second_view: What they answer to beside the middle of a picture.
        beside_training: Whether the process takes only what a training beside it leaves of the cores.

    Raises:
        OSError: No process can be started.
    """
    what = {
        "folder": str(folder),
        "members": [{**asdict(member), "checkpoint": str(member.checkpoint)} for member in members],
        "task": asdict(task),
        "rule": {"tau": tau, "prior": list(prior)} if tau else None,
        "second_view": second_view,
        "record": dict(record),
        "gives_way": beside_training,
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        [sys.executable, "-m", "trainables.saved.save_found"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        start_new_session=True,  # Ctrl-C in a terminal is for the driver, which ends it if it is to end
    )
    assert process.stdin is not None
    with process.stdin as pipe:
        json.dump(what, pipe)
    process.stdin = None
    return process


def end_saving(process: subprocess.Popen[str]) -> None:
    """Waits until the model is there.

    Raises:
        OSError: It could not be saved; says why.
        subprocess.TimeoutExpired: It has not been saved in `SAVING_SECONDS`.
    """
    said = process.communicate(timeout=SAVING_SECONDS)[1].strip().splitlines()
    if process.returncode:
        raise OSError(said[-1] if said else f"its process ended with {process.returncode}")


def main() -> int:
    """Saves what stands on stdin; a failure is one line on stderr."""
    what = json.load(sys.stdin)
    if what["gives_way"]:
        os.nice(GIVES_WAY)
    try:
        _save(what)
    except Exception as error:
        print(typed_reason(error), file=sys.stderr)
        return 1
    return 0


def _save(what: Mapping[str, Any]) -> None:
    from trainables.parts.loading import use_task_parts
    from trainables.saved.final_model import save_trained, save_trained_together

    task, folder = TaskConfig.from_json(what["task"]), Path(what["folder"])
    use_task_parts(task.parts)
    members = [
        FoundMember(**{**each, "config": TrialConfig(**each["config"]), "checkpoint": Path(each["checkpoint"])})
        for each in what["members"]
    ]
    record, second_view = what["record"], what["second_view"]
    if len(members) == 1 and what["rule"] is None:
        save_trained(members[0].checkpoint, members[0].config, task, folder, record, second_view=second_view)
        return
    save_trained_together(members, what["rule"], task, folder, record, second_view=second_view)


if __name__ == "__main__":
    sys.exit(main())
