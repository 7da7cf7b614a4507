"""Seconds an epoch takes on a machine that others use too, by how trials' processes are started.

A trial's process is started with the niceness and the environment that Ray gives it (`before`) and that a search gives
it (`after`), trains real epochs of the built-in pictures, and is timed alone and beside processes that compute without
end. Two trials at a time have a core each, one has both.

    python scripts/benchmarks/busy.py

Takes about five minutes on two cores, most of it for `before` beside others, and prints a Markdown table. An epoch has
175 pictures to train on and 175 to validate on. How it stands with a machine that others use while it measures: an idle
one is measured best, but the ratios hold.
"""

from __future__ import annotations

import json
import math
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

from rich.console import Console

from results.pages.markdown import render_markdown_table
from scripts.terminal import run_command
from search.flags import SplitFlags, at_least
from search.machine.cluster import WORKER_ENVIRONMENT, WORKER_NICENESS
from search.study import num_cores
from trainables.machine.allocator import ENVIRONMENT

RAYS_NICENESS = 15
"""What Ray adds to the niceness of the driver, unless it is told otherwise."""
ENDLESS = "while True: pass"
"""A process that computes without end, as any other user's would."""


@dataclass(frozen=True, kw_only=True)
class BusyConfig:
    """Time epochs alone and beside processes that compute without end."""

    backbone: str = "mobilenetv3_small_050"
    """timm name of the network."""
    image_size: int = 64
    """Side of the pictures, in pixels."""
    batch_size: int = 32
    """Pictures in a batch."""
    seconds: float = 8.0
    """Least length of a measurement; at least one epoch is trained."""
    most_seconds: float = 60.0
    """After which an epoch is given up that has not ended: the table then says that it takes longer."""
    most_busy: int = 2
    """Measured beside 0, 1, ... up to so many busy processes."""
    openmp: tuple[str, ...] = ()
    """More ways to start a trial's process, each a niceness and variables, as in: 0,GOMP_SPINCOUNT=1000."""

    def __post_init__(self) -> None:
        at_least("most_busy", self.most_busy, 0)


@dataclass(frozen=True)
class Way:
    """How a trial's process is started."""

    name: str
    niceness: int
    variables: Mapping[str, str]


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and measures."""
    return run_command(BusyConfig, measure, args, prog="scripts/benchmarks/busy.py")


def measure(config: BusyConfig) -> None:
    """Measures every way in every setting and prints a table of seconds an epoch."""
    ways = [
        Way("before", RAYS_NICENESS, {}),
        Way("after", WORKER_NICENESS, WORKER_ENVIRONMENT),
        *map(_way, config.openmp),
    ]
    cores = num_cores()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        task = _task(config, Path(folder))
        for trials in dict.fromkeys((1, cores)):
            for way in ways:
                row = [f"{trials} with {cores // trials} threads", way.name]
                for busy in range(config.most_busy + 1):
                    seconds = epoch_seconds(task, config, way, trials, cores // trials, busy)
                    row.append(f"{seconds:.2f}" if seconds < config.most_seconds else f"over {config.most_seconds:.0f}")
                    print("measured:", *row, flush=True)
                rows.append(row)
    heads = [
        "trials at a time",
        "started",
        *(f"beside {busy}" if busy else "alone" for busy in range(config.most_busy + 1)),
    ]
    print(render_markdown_table(heads, rows))


def epoch_seconds(
    task: Mapping[str, object], config: BusyConfig, way: Way, trials: int, threads: int, busy: int
) -> float:
    """Seconds an epoch, the mean over the trials; infinite if one has not ended in time."""
    words = json.dumps(
        {"task": {**task, "num_threads": threads}, "backbone": config.backbone, "seconds": config.seconds}
    )
    program = "import sys; from scripts.benchmarks.busy import work; work(sys.argv[1])"
    environment = {name: value for name, value in os.environ.items() if "OMP" not in name}
    environment |= {**ENVIRONMENT, **way.variables, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
    command = ["nice", "-n", str(way.niceness), sys.executable, "-c", program, words]
    workers = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(trials)
    ]
    try:
        for worker in workers:
            _line(worker)  # it has trained its first epoch
        with _others(busy):
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.write("go\n")
                worker.stdin.flush()
            ends = time.monotonic() + config.most_seconds + config.seconds
            return sum(float(_line(worker, ends)) for worker in workers) / trials
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def work(words: str) -> None:
    """What a trial's process does: an epoch to warm up, then, when it is told to, epochs until the time is over."""
    import torch

    from trainables.config import TaskConfig, TrialConfig
    from trainables.data.batches import load_data
    from trainables.machine.allocator import keep_freed_memory
    from trainables.training.loop import fit, steps_per_epoch
    from trainables.training.state import TrainState

    asked = json.loads(words)
    task = TaskConfig.from_json(asked["task"])
    torch.set_num_threads(task.num_threads)
    keep_freed_memory()
    data = load_data(task, torch.device("cpu"))
    config = TrialConfig(backbone=asked["backbone"])
    epochs = fit(TrainState.start(config, task, steps_per_epoch(task, len(data.train))), data)
    next(epochs)
    print("ready", flush=True)
    sys.stdin.readline()
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < asked["seconds"]:
        next(epochs)
        done += 1
    print((time.perf_counter() - started) / done, flush=True)
    sys.stdin.readline()  # the others are still at it, and an idle thread of ours may disturb them as it would a search


def _task(config: BusyConfig, folder: Path) -> dict[str, object]:
    """Fields of a task on the built-in pictures, which are drawn and decoded in the folder."""
    from search.prepare import prepare_data
    from trainables.data.manifest import DataConfig

    prepared = prepare_data(
        DataConfig(),
        SplitFlags(),
        seed=0,
        image_size=config.image_size,
        cache_path=folder,
        console=Console(stderr=True),
    )
    prepared.split.save(folder / "split.csv")
    return {
        "cache_path": str(prepared.cache.path),
        "split_path": str(folder / "split.csv"),
        "checkpoint_dir": str(folder),
        "classes": prepared.manifest.classes,
        "image_size": config.image_size,
        "batch_size": config.batch_size,
        "train_on": ("test",),  # the smaller sides: an epoch of what was before takes a minute beside others
        "epochs": 10_000,
        "device": "cpu",
    }


def _way(words: str) -> Way:
    niceness, *variables = words.split(",")
    return Way(words, int(niceness), dict(variable.split("=", 1) for variable in variables))


def _line(worker: subprocess.Popen[str], ends: float = math.inf) -> str:
    """What a process says next; inf if that is nothing before `ends`, by `time.monotonic`."""
    assert worker.stdout is not None
    left = None if math.isinf(ends) else max(0.0, ends - time.monotonic())
    if not select.select([worker.stdout], [], [], left)[0]:
        return "inf"
    line = worker.stdout.readline()
    if not line:
        raise RuntimeError("a trial's process has ended early; its words are above")
    return line


@contextmanager
def _others(number: int) -> Iterator[None]:
    """While inside, so many other processes compute without end."""
    others = [subprocess.Popen([sys.executable, "-c", ENDLESS]) for _ in range(number)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


if __name__ == "__main__":
    sys.exit(main())
