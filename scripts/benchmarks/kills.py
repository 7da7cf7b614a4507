"""Kills searches at random moments, resumes each to its end, and compares with a search left alone.

    python scripts/benchmarks/kills.py --kills 30 --out DIR

Takes about half a minute a kill on two cores. Expected: every row reaches the trials asked for, repeats at most an
epoch or two a kill, leaves no trial RUNNING in its study, and ends with the very numbers of the search left alone.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import optuna
import psutil
import tyro
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from results.pages.markdown import render_markdown_table
from results.records.run_folder import RunFolder
from results.records.trials import REPEATED, TrialHistory, load_trials

KINDS = ("driver", "worker", "all")
"""What is killed by SIGKILL: the searching process, one process that trains, or both and all of Ray."""
SPARED = ("--space", "toy", "--image-size", "32", "--batch-size", "32", "--history", "none")


@dataclass(frozen=True)
class Outcome:
    """One killed and resumed search."""

    run: str
    kills: tuple[str, ...]
    asked: int
    reached: int
    repeated_epochs: int
    states: dict[str, int]
    running: int
    leftovers: int
    same_rungs: bool
    same_numbers: bool
    best: float


def main(
    kills: int = 30,
    runs: int = 6,
    trials: int = 8,
    epochs: int = 9,
    seed: int = 0,
    out: Path = Path("kills"),
) -> int:
    """Kill searches at random moments and resume each to its end.

    Args:
        kills: Kills in all, of the driver, a worker and everything in turn.
        runs: Searches to spread them over.
        trials: Trials of each search.
        epochs: Epochs of a trial.
        seed: Seed of the searches and of the moments.
        out: Folder for the runs and kills.md.
    """
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    flags = [*SPARED, "--trials", str(trials), "--epochs", str(epochs), "--seed", str(seed), "--concurrency", "1"]
    flags += ["--cpus-per-trial", "1", "--keep", "1"]
    started = time.monotonic()
    _wait(_start([*flags, "--name", "alone"], out))
    seconds = time.monotonic() - started
    alone = load_trials(out / "runs" / "alone")
    print(f"left alone: {seconds:.0f} s, best {_best(alone):.6f}", flush=True)
    outcomes = []
    for number in range(runs):
        share = kills // runs + (number < kills % runs)
        kinds = [KINDS[(number + index) % len(KINDS)] for index in range(share)]
        outcomes.append(_tortured(f"killed{number}", kinds, flags, alone, chance, seconds, out))
        print(outcomes[-1], flush=True)
    table = _table(outcomes, alone, seed)
    (out / "kills.md").write_text(table)
    print(table)
    return 0 if all(outcome.same_numbers and outcome.reached == outcome.asked for outcome in outcomes) else 1


def _tortured(
    name: str,
    kinds: Sequence[str],
    flags: Sequence[str],
    alone: Sequence[TrialHistory],
    chance: random.Random,
    seconds: float,
    out: Path,
) -> Outcome:
    run_dir = out / "runs" / name
    done: list[str] = []
    process = _start([*flags, "--name", name], out)
    for kind in kinds:
        moment = _moment(run_dir, chance, seconds / (len(kinds) + 1))
        time.sleep(moment)
        if process.poll() is not None:
            break
        done.append(_kill(kind, process))
        if kind != "worker":
            process.wait()
            process = _start(["--resume", name] if run_dir.exists() else [*flags, "--name", name], out)
    _wait(process)
    if any(not trial.status.is_over for trial in load_trials(run_dir)):
        _wait(_start(["--resume", name], out))
    trials, folder = load_trials(run_dir), RunFolder(run_dir)
    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(folder.study_journal))))
    states = Counter(trial.state.name for trial in study.trials)
    return Outcome(
        run=name,
        kills=tuple(done),
        asked=len(alone),
        reached=len(trials),
        repeated_epochs=sum(event.values["event"] == REPEATED for event in folder.events()),
        states=dict(states),
        running=states["RUNNING"],
        leftovers=len([path for path in folder.checkpoints.glob("*/*") if path.name != "best.pt"]),
        same_rungs=[len(trial.reports) for trial in trials] == [len(trial.reports) for trial in alone],
        same_numbers=_numbers(trials) == _numbers(alone),
        best=_best(trials),
    )


def _start(flags: Sequence[str], out: Path) -> subprocess.Popen[bytes]:
    places = ["--storage", str(out / "runs"), "--readme", str(out / "README.md")]
    log = (out / "log.txt").open("ab")
    command = [sys.executable, str(ROOT / "search" / "run.py"), *flags, *places]
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _wait(process: subprocess.Popen[bytes]) -> None:
    process.wait(timeout=1800)


def _moment(run_dir: Path, chance: random.Random, spread: float) -> float:
    """Seconds until the kill: most moments fall into the training, some into the start."""
    if chance.random() < 0.8:
        deadline = time.monotonic() + 120
        log = RunFolder(run_dir).trials_jsonl
        size = log.stat().st_size if log.exists() else 0
        while time.monotonic() < deadline and not (log.exists() and log.stat().st_size > size):
            time.sleep(0.05)
    return chance.uniform(0, spread)


def _kill(kind: str, process: subprocess.Popen[bytes]) -> str:
    if kind == "worker":
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            for worker in _workers(process.pid)[:1]:
                _kill_if_there(worker)
                return "worker"
            time.sleep(0.05)
        return "worker (the search had ended)"
    for child in _family(process.pid) if kind == "all" else []:
        _kill_if_there(child.pid)
    _kill_if_there(process.pid)
    return kind


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _workers(pid: int) -> list[int]:
    """Processes that train; Ray names them by the method of the trainable that they run."""
    return [child.pid for child in _family(pid) if "ImplicitFunc" in " ".join(_command(child))]


def _kill_if_there(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _numbers(trials: Sequence[TrialHistory]) -> list[tuple[float, ...]]:
    return [tuple(report.val_loss for report in trial.reports) for trial in trials]


def _best(trials: Sequence[TrialHistory]) -> float:
    return max(trial.best.val_macro_f1 for trial in trials if trial.best is not None)


def _table(outcomes: Sequence[Outcome], alone: Sequence[TrialHistory], seed: int) -> str:
    kills = sum(len(outcome.kills) for outcome in outcomes)
    head = ("run", "killed", "trials asked/reached", "epochs repeated", "study", "running", "leftovers")
    rows = [
        (
            outcome.run,
            ", ".join(outcome.kills),
            f"{outcome.asked}/{outcome.reached}",
            str(outcome.repeated_epochs),
            ", ".join(f"{count} {state}" for state, count in sorted(outcome.states.items())),
            *map(str, (outcome.running, outcome.leftovers, outcome.same_rungs, outcome.same_numbers)),
            f"{outcome.best:.6f}",
        )
        for outcome in outcomes
    ]
    lines = [
        f"{kills} kills in {len(outcomes)} searches of {len(alone)} trials, seed {seed}; the search left alone ended "
        f"with {_best(alone):.6f}.",
        "",
        render_markdown_table((*head, "same rungs", "same numbers", "best"), rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(tyro.cli(main, prog="scripts/benchmarks/kills.py"))
