"""Runs a thousand stub trials through the real search, and measures what all but the training costs.

    python scripts/benchmarks/scale.py --trials 1000

A stub reports made-up epochs at once, so what is left is searcher, scheduler, monitor, tuner and Ray. It takes three
minutes on two cores and ends with a table and a figure in runs/scale: trials over time, the driver's memory over time,
seconds of a suggestion over trials. Then a few real trials of the space toy, one after the other in one worker, say
what a trial costs beside its epochs.
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import psutil
import tyro
from rich.console import Console

from results.pages.figures import save_png
from results.records.record import TRIAL_ENDS
from results.records.run_folder import RunFolder
from scripts.benchmarks.scale_report import Measured, draw, render_table
from scripts.terminal import run_command
from trainables.atomic import write_whole
from trainables.errors import UserError
from trainables.strict_json import save_object

SAMPLE_SECONDS = 0.5
"""Time between two looks at the driver's memory."""
CLASSES = 18
"""Classes of the stubs, whose F1 each report holds: as many as in the competition the project began with."""


@dataclass(frozen=True, kw_only=True)
class ScaleConfig:
    """Run stub trials through the real search and measure all but the training."""

    trials: int = 1000
    """Stub trials, at least 10."""
    workers: int = 2
    """Trials at the same time, at least 1."""
    epochs: int = 27
    """Epochs of a stub that is not stopped, at least 1."""
    space: str = "efficientnet"
    """Space that proposes the configurations."""
    real_trials: int = 50
    """Real trials of the space toy of one epoch each, one after the other; 0 for none, else at least 3."""
    seed: int = 0
    """Seed of the proposals and of the made-up curves."""
    out: Annotated[Path, tyro.conf.arg(help_behavior_hint="(default: runs/scale)")] = ROOT / "runs" / "scale"
    """Folder of everything it makes."""

    def __post_init__(self) -> None:
        for name, low in (("trials", 10), ("workers", 1), ("epochs", 1), ("seed", 0), ("real_trials", 0)):
            if getattr(self, name) < low:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}: it must be at least {low}")
        if 0 < self.real_trials < 3:
            raise UserError(f"--real-trials is {self.real_trials}: it must be 0 or at least 3")


def stub_trial(params: Mapping[str, Any], task: Any, gpu_share: float, ends_at: float) -> None:
    """Reports made-up epochs as `train_trial` reports real ones, and trains nothing."""
    from ray import tune

    from trainables.classifier import split_params
    from trainables.report import EpochReport

    config, _ = split_params(params)
    num = len(task.classes)
    best, best_epoch = -math.inf, 0
    for epoch, value in enumerate(made_up_curve(config, task.epochs, task.seed), start=1):
        if value > best:
            best, best_epoch = value, epoch
        report = EpochReport(
            epoch=epoch,
            train_loss=1 - value,
            train_macro_f1=value,
            val_loss=1 - value,
            val_macro_f1=value,
            val_accuracy=value,
            class_f1=(value,) * num,
            best_val_macro_f1=best,
            best_epoch=best_epoch,
            lr=config["lr"],
            images_per_second=1000.0,
            seconds=0.001,
            peak_memory_bytes=10**9,
        )
        confusion = np.eye(num, dtype=int).tolist() if best_epoch == epoch else ()
        tune.report({**asdict(report), "training_iteration": epoch, "micro_batches": 1, "confusion": confusion})


def made_up_curve(config: Mapping[str, Any], epochs: int, seed: int) -> list[float]:
    """Macro-F1 after each epoch: rises, levels off, depends on learning rate and dropout, is noisy."""
    rng = np.random.default_rng([seed, zlib.crc32(repr(sorted(config.items())).encode())])
    cost = 0.1 * (math.log10(config["lr"]) + 3) ** 2 + (config["dropout"] - 0.2) ** 2
    rising = 1 - np.exp(-np.arange(1, epochs + 1) / 4)
    return np.clip(0.9 * math.exp(-cost) * rising + rng.normal(0, 0.01, epochs), 0, 1).tolist()


class Timed:
    """Stands before a searcher and notes how long its suggestions take."""

    def __init__(self, inner: Any, measured: Measured) -> None:
        self._inner = inner
        self._measured = measured

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Passes on, and takes the time."""
        started, cpu = time.perf_counter(), time.thread_time()
        try:
            return self._inner.suggest(trial_id)
        finally:
            self._measured.suggestions.append(time.perf_counter() - started)
            self._measured.suggestions_cpu.append(time.thread_time() - cpu)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Passes on."""
        self._inner.on_trial_result(trial_id, result)

    def on_trial_complete(self, *args: Any) -> None:
        """Passes on."""
        self._inner.on_trial_complete(*args)


class MemorySampler(threading.Thread):
    """Looks at this process's memory until it is stopped."""

    def __init__(self, measured: Measured, since: float) -> None:
        super().__init__(daemon=True)
        self._measured = measured
        self._since = since
        self._ended = threading.Event()

    def run(self) -> None:
        """Samples."""
        process = psutil.Process()
        while not self._ended.wait(SAMPLE_SECONDS):
            self._measured.memory.append((time.monotonic() - self._since, process.memory_info().rss / 1e6))

    def stop(self) -> None:
        """Ends it."""
        self._ended.set()
        self.join()


def run_stubs(config: ScaleConfig, run_dir: Path) -> Measured:
    """A whole search of stubs, then its record, table and report."""
    from results.export import export_best
    from results.pages.report import write_report
    from results.records.best import best_trial
    from results.records.trials import load_trials
    from search.engine.engine import build_engine
    from search.machine.ray_session import ray_session
    from search.run_trials import Workload, run_trials
    from search.stop import StopRequest
    from search.study import AskedStudy
    from search.tuner import trial_ids
    from spaces import get_space

    space = get_space(config.space)
    study = AskedStudy.of(
        space=config.space,
        trials=config.trials,
        epochs=config.epochs,
        concurrency=config.workers,
        cpus_per_trial=1,
        seed=config.seed,
        history="none",
    ).settle(max(config.workers, psutil.cpu_count() or 1), 0)
    run = _a_run(config, space, run_dir)
    run_dir.mkdir(parents=True)
    folder = RunFolder(run_dir)
    run.save(folder.run_json)
    stop = StopRequest()
    measured = Measured(trials=config.trials, workers=config.workers, epochs=config.epochs, hardware=run.hardware)
    engine = build_engine(space, study, run, folder)
    work = Workload(
        folder=folder,
        task=run.task,
        study=study,
        waiting=trial_ids([], config.trials),
        num_trials=config.trials,
        keep=study.keep,
    )
    with ray_session() as session, (run_dir / "said.txt").open("w") as said, Console(file=said) as console:
        session.start()
        sampler = MemorySampler(measured, since=time.monotonic())
        started = time.time()
        sampler.start()
        cpu = time.process_time()
        run_trials(work, Timed(engine.searcher, measured), engine.scheduler, session, stop, console, stub_trial)
        measured.driver_cpu_seconds = time.process_time() - cpu
        sampler.stop()
        engine.searcher.close("ended")
    if stop.reason is not None:
        raise RuntimeError(f"the search ended early: {stop.reason}")
    measured.finished = [
        event.time.timestamp() - started for event in folder.events() if event.values["event"] in TRIAL_ENDS
    ]
    measured.num_reports = len(folder.epochs())
    best = _timed(measured.after, "record", lambda: (load_trials(run_dir), best_trial(run_dir))[1])
    assert best is not None
    records = run_dir / "results" / "best"
    _timed(measured.after, "table", lambda: export_best(best, records_dir=records, readme=run_dir / "README.md"))
    _timed(measured.after, "report", lambda: write_report(run_dir))
    return measured


def run_real(config: ScaleConfig, folder: Path) -> tuple[list[float], list[float]]:
    """Real trials of the space toy in one worker.

    Returns:
        Of each beyond the first, seconds beside its epochs; and of all, the worker's largest memory in MB.
    """
    command = [sys.executable, str(ROOT / "search" / "run.py"), "--space", "toy", "--trials", str(config.real_trials)]
    command += ["--epochs", "1", "--image-size", "32", "--batch-size", "32", "--concurrency", "1"]
    command += ["--cpus-per-trial", "1", "--history", "none", "--seed", str(config.seed), "--name", "real"]
    command += ["--storage", str(folder), "--readme", str(folder / "README.md")]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    lines = RunFolder(folder / "real").epochs()
    ends = [(line.time.timestamp(), line.values["seconds"]) for line in lines]
    beside = [end - before - seconds for (before, _), (end, seconds) in itertools.pairwise(ends)]
    return beside, [line.values["peak_memory_bytes"] / 1e6 for line in lines]


def _a_run(config: ScaleConfig, space: Any, run_dir: Path) -> Any:
    """How a search of made-up pictures was started."""
    from results.records.record import SearchRun
    from search.machine.provenance import provenance
    from trainables.config import TaskConfig

    task = TaskConfig(
        cache_path=str(run_dir / "cache"),
        split_path=str(RunFolder(run_dir).split_csv),
        checkpoint_dir=str(RunFolder(run_dir).checkpoints),
        classes=tuple(f"class{number:02}" for number in range(CLASSES)),
        epochs=config.epochs,
        seed=config.seed,
        device="cpu",
    )
    return SearchRun(
        name=run_dir.name,
        space=space.name,
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        options={},
        task=task,
        data={"source": "made up", "layout": "none", "pictures": 18_000},
        split_hash="none",
        weights=dict.fromkeys(space.backbones, "random"),
        weights_note="",
        **provenance(),
        trials_asked=config.trials,
        points=[asdict(point) for point in space.starting_points],
        history="the starting points of the space",
    )


def _timed(seconds: dict[str, float], name: str, action: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    result = action()
    seconds[name] = round(time.perf_counter() - started, 3)
    return result


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and measures; a user's mistake is one message and exit code 2."""
    return run_command(ScaleConfig, measure, args, prog="scripts/benchmarks/scale.py", markers=())


def measure(config: ScaleConfig) -> None:
    """Measures, and writes the table, the figure and the numbers."""
    out = config.out.expanduser().resolve()
    run_dir = out / f"stubs-{datetime.now():%Y%m%d-%H%M%S}"
    measured = run_stubs(config, run_dir)
    if config.real_trials:
        measured.real_overheads, measured.worker_memory = run_real(config, run_dir)
    table = render_table(measured)
    print(table)
    save_object(out / "scale.json", asdict(measured))
    write_whole(out / "scale.md", table.encode())
    save_png(draw(measured), out / "scale.png")
    print(out / "scale.png")


if __name__ == "__main__":
    sys.exit(main())
