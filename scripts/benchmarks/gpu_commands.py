"""The commands themselves on a GPU: a search that is killed, resumed and trained again, and pictures that are answered.

Trials share the GPU as Ray assigns it. So what measurements in a process of their own do without is done once: the
limits of shared memory, the start of CUDA in each worker, checkpoints that go on, the model's way to disk and back.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from results.records.run_folder import RunFolder
from results.records.trials import REPEATED, load_trials
from search.flags import ROOT
from trainables.data.demo.draw import make_demo_data
from trainables.report import TrialStatus

NAME, TRIALS, EPOCHS = "check", 4, 6
KILLED_AFTER = 3
"""Epochs of all trials together."""
COMMAND_SECONDS = 240.0
"""After which a command is given up."""


def run_commands(folder: Path, gpus_per_trial: float) -> dict[str, Any]:
    """Runs them in a folder.

    Args:
        folder: Empty; pictures, runs and cache go there.
        gpus_per_trial: 0 for cores alone.

    Returns:
        `seconds` of each command, `trials` that came to their end, `repeated` epochs after the kill, and `others`, how
        many of these came to other numbers. Or `failed`: the first that went wrong, with its last words.
    """
    pictures = make_demo_data(folder / "pictures", people=120, eval_people=2)
    run = RunFolder(folder / "runs" / NAME)
    share = ["--gpus-per-trial", f"{gpus_per_trial:g}", "--cache-dir", "cache"]
    search = ["--space", "toy", "--data", pictures, "--weights", "none", "--history", "none", "--name", NAME]
    search += ["--image-size", "64", "--batch-size", "32", "--trials", TRIALS, "--epochs", EPOCHS]
    steps: dict[str, tuple[list[Any], Callable[[], bool] | None]] = {
        "search, killed": (["search/run.py", *search, *share], lambda: _num_epochs(run) >= KILLED_AFTER),
        "resume": (["search/run.py", "--resume", NAME], None),
        "retrain": (["scripts/retrain.py", "--run", NAME, "--top-k", "1", "--seeds", "1", *share], None),
        "predict": (["scripts/predict.py", run.path, "--data", pictures / "eval" / "images"], None),
    }
    seconds: dict[str, float] = {}
    for name, (words, enough) in steps.items():
        began = time.monotonic()
        if failure := _run(words, folder, enough):
            return {"failed": f"{name}: {failure}", "seconds": seconds}
        seconds[name] = time.monotonic() - began
    trials = load_trials(run.path)
    lines = [(line.trial_id, line.values["epoch"]) for line in run.epochs()]
    return {
        "seconds": seconds,
        "trials": sum(trial.status in (TrialStatus.FINISHED, TrialStatus.STOPPED) for trial in trials),
        "repeated": sum(event.values["event"] == REPEATED for event in run.events()),
        "others": len(lines) - len(set(lines)),  # which have a second line
    }


def _num_epochs(run: RunFolder) -> int:
    return len(run.epochs()) if run.trials_jsonl.is_file() else 0


def _run(words: Sequence[Any], folder: Path, enough: Callable[[], bool] | None) -> str:
    """Runs a command to its end, or to a SIGKILL once there is enough; why that did not come, or nothing."""
    script, *flags = map(str, words)
    log = folder / "said.txt"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / script), *flags],
            cwd=folder,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    ends = time.monotonic() + COMMAND_SECONDS
    try:
        while process.poll() is None and time.monotonic() < ends and not (enough is not None and enough()):
            time.sleep(0.1)
    finally:
        if (code := process.poll()) is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if (code == 0) if enough is None else (code is None and enough()):
        return ""
    last = " ".join(log.read_text(errors="replace").split())[-300:]
    return f"it had not ended after {COMMAND_SECONDS:.0f} s: {last}" if code is None else f"exit code {code}: {last}"
