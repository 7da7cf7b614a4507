"""Saves what a search found, in a process of its own: `python -m trainables.saved.save_found < what.json`.

The driver of a search does without torch, and this runs beside what else it writes at the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainables.config import TaskConfig, TrialConfig
from trainables.reason import typed_reason

ROOT = Path(__file__).resolve().parents[2]
SAVING_SECONDS = 600
"""How long saving a model may take; it takes some seconds."""


def begin_saving(
    folder: Path, checkpoint: Path, config: TrialConfig, task: TaskConfig, record: Mapping[str, Any]
) -> subprocess.Popen[str]:
    """Begins to save a trial's best weights as a model; `end_saving` waits for it.

    Args:
        folder: Where the model goes.
        checkpoint: The trial's folder.
        config: What it trained.
        task: Its task.
        record: What the model's description says of how it was made.

    Raises:
        OSError: No process can be started.
    """
    what = {
        "folder": str(folder),
        "checkpoint": str(checkpoint),
        "config": asdict(config),
        "task": asdict(task),
        "record": dict(record),
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        [sys.executable, "-m", "trainables.saved.save_found"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
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
    from trainables.saved.final_model import save_trained

    config, task = TrialConfig(**what["config"]), TaskConfig.from_json(what["task"])
    try:
        save_trained(Path(what["checkpoint"]), config, task, Path(what["folder"]), what["record"])
    except Exception as error:
        print(typed_reason(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
