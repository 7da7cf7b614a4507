"""Measures whole searches against a plain script and against the bare arithmetic of the network, in one run.

    python scripts/benchmarks/throughput.py

The same pictures, sides, network, batches, trials and epochs, in turns: the plain script that the documentation of Ray
and PyTorch suggests (`plain_trial.py`), a search of ours from an empty cache, and one with the cache there, each from
the start of its process to its end. Nobody stops a trial early, so all train as much. Between them the parts of an
epoch are measured, the bare arithmetic first (`epoch_costs.py`). At the defaults it takes about five minutes on two
cores and ends with a table and a figure in runs/throughput.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro

from results.pages.figures import save_png
from results.records.run_folder import RunFolder, load_run
from results.records.trials import is_mark, load_trials
from scripts.benchmarks.epoch_costs import measure_epochs
from scripts.benchmarks.throughput_report import draw, plain_name, render
from scripts.terminal import run_command
from search.study import num_cores
from trainables.atomic import write_whole
from trainables.errors import UserError
from trainables.strict_json import save_object

SPACE = '''"""What the throughput benchmark searches."""

from trainables.config import TrialConfig
from trainables.errors import UserError


def space(trial):
    return TrialConfig(
        backbone="{backbone}",
        lr=trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-4, 1e-1, log=True),
        label_smoothing=trial.suggest_float("label_smoothing", 0.0, 0.2),
        dropout=trial.suggest_float("dropout", 0.0, 0.5),
    )
'''
"""A space of one's own, with the numbers that the plain script searches."""
HEIGHTS = {"demo": 256, "drawn": 512}
PEOPLE = {"demo": 120, "drawn": 120}
LIBRARIES = "import ray.tune, timm, torch"


@dataclass(frozen=True, kw_only=True)
class ThroughputConfig:
    """Measure whole searches against a plain script and the bare arithmetic."""

    pictures: Literal["demo", "drawn"] = "demo"
    """The built-in set, or the same people drawn as JPEGs of 384x512."""
    data: Path | None = None
    """Pictures of your own in their place, as search/run.py takes them."""
    backbone: str = "mobilenetv3_small_050"
    """timm name; it starts at random."""
    image_size: int = 64
    """Side of the square picture the network sees, in pixels."""
    batch_size: int = 32
    """Pictures in a training batch."""
    trials: int = 6
    """Trials of each search."""
    epochs: int = 4
    """Epochs of each trial."""
    concurrency: Annotated[int | None, tyro.conf.arg(help_behavior_hint="(default: one a core)")] = None
    """Trials at the same time, one core each."""
    repeats: int = 2
    """Turns."""
    workers: tuple[int, ...] = (0, 1)
    """DataLoader processes of the plain script's loaders; a run of it for each."""
    seconds: float = 5.0
    """Least length of a measurement of an epoch's part."""
    target: Annotated[float | None, tyro.conf.arg(help_behavior_hint="(default: none)")] = None
    """How many times as fast as the plain script a search from cold is meant to be."""
    out: Annotated[Path, tyro.conf.arg(help_behavior_hint="(default: runs/throughput)")] = ROOT / "runs" / "throughput"
    """Folder of everything it makes."""
    name: str = "throughput"
    """Of the table and the figure in that folder."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """A whole search, by the clock."""

    seconds: float
    """From the start of the process to its end."""
    first_step: float
    """Seconds until the first training step."""
    phases: Mapping[str, float]
    """What came after what, in seconds that add up to `seconds`."""
    images_per_second: float
    """Of the epochs' training, as trials reported it: median over all but each trial's first."""


def main(args: Sequence[str] | None = None) -> int:
    """Parses the command line and measures; a user's mistake is one message and exit code 2."""
    return run_command(ThroughputConfig, measure, args, prog="throughput.py", markers=())


def measure(config: ThroughputConfig) -> int:
    """Runs everything in turns, then writes numbers, table and figure."""
    out = config.out.expanduser().resolve()
    out.mkdir(parents=True, exist_ok=True)
    data = config.data.expanduser().resolve() if config.data else _draw(config.pictures, out)
    (out / "space.py").write_text(SPACE.format(backbone=config.backbone))
    found: dict[str, list[Any]] = {"cold": [], "warm": [], "imports": [], "costs": []}
    for repeat in range(config.repeats):
        shutil.rmtree(out / "cache", ignore_errors=True)
        for kind in ("cold", "warm"):
            found[kind].append(run_search(config, data, out, f"{kind}-{repeat}"))
            print(f"ours, {kind}: {found[kind][-1].seconds:.1f} s", flush=True)
        run_dir = out / "runs" / f"warm-{repeat}"
        for workers in config.workers:
            seconds = run_plain(config, RunFolder(run_dir).split_csv, out, workers)
            found.setdefault(plain_name(workers), []).append(seconds)
            print(f"{plain_name(workers)}: {seconds:.1f} s", flush=True)
        found["imports"].append(_seconds([sys.executable, "-c", LIBRARIES], out))
        task = load_run(run_dir).task
        costs, images = measure_epochs(
            task, config.backbone, processes=_concurrency(config), repeats=1, seconds=config.seconds
        )
        found["costs"].append(costs)
        print({part: round(values[0], 3) for part, values in costs.items()}, flush=True)
    costs = {part: [value for one in found["costs"] for value in one[part]] for part in found["costs"][0]}
    numbers = {
        "machine": _machine(),
        "when": f"{datetime.now():%Y-%m-%d}",
        "cores": num_cores(),
        "config": {
            **asdict(config),
            "concurrency": _concurrency(config),
            "data": config.data and config.data.name,
            "out": None,
        },
        "images_per_epoch": images,
        "facts": load_run(run_dir).portable().data,
        "searches": {kind: [asdict(search) for search in found[kind]] for kind in ("cold", "warm")},
        "plain": {plain_name(workers): found[plain_name(workers)] for workers in config.workers},
        "imports": found["imports"],
        "costs": costs,
    }
    save_object(out / f"{config.name}.json", json.loads(json.dumps(numbers, default=str)))
    text = render(numbers)
    write_whole(out / f"{config.name}.md", text.encode())
    save_png(draw(numbers), out / f"{config.name}.png")
    print(text)
    return 0


def run_search(config: ThroughputConfig, data: Path, out: Path, name: str) -> Search:
    """A search of ours in a process of its own, with what was when."""
    run_dir = out / "runs" / name
    shutil.rmtree(run_dir, ignore_errors=True)
    cache = out / "cache"
    known = {path.parent for path in cache.glob("*/meta.json")}
    command = [
        *(sys.executable, str(ROOT / "search" / "run.py"), "--space", f"{out / 'space.py'}:space"),
        *("--data", str(data), "--trials", str(config.trials), "--epochs", str(config.epochs)),
        *("--grace-period", str(config.epochs), "--image-size", str(config.image_size)),
        *("--batch-size", str(config.batch_size), "--concurrency", str(_concurrency(config)), "--cpus-per-trial", "1"),
        *("--weights", "none", "--history", "none", "--allow-leak", "--cache-dir", str(cache)),
        *("--storage", str(out / "runs"), "--readme", str(out / "README.md"), "--name", name),
    ]
    began = time.time()
    _seconds(command, out)
    ended = time.time()
    trials = load_trials(run_dir)
    _refuse_other_work(config, sum(len(trial.reports) for trial in trials), "a search of ours")
    folder = RunFolder(run_dir)
    reported = [(line.time.timestamp(), line.values) for line in folder.epochs()]
    first_started = min(event.time.timestamp() for event in folder.events() if not is_mark(event))
    first_step = min(moment - line["seconds"] for moment, line in reported)
    last_report = max(moment for moment, _ in reported)
    slots = _concurrency(config)
    epochs = sum(line["seconds"] for _, line in reported) / slots
    training = sum(_train_seconds(line, config, run_dir) for _, line in reported) / slots
    prepared = folder.split_csv.stat().st_mtime
    decoding = duplicates = 0.0
    for made in {path.parent for path in cache.glob("*/meta.json")} - known:
        decoding = json.loads((made / "meta.json").read_text())["seconds"]
        duplicates = (made / "duplicates.json").stat().st_mtime - (made / "meta.json").stat().st_mtime
    phases = {
        "imports, data, Ray": prepared - began - decoding - duplicates,
        "cache": decoding,
        "duplicates": duplicates,
        "workers: imports": first_started - prepared,
        "network": first_step - first_started,
        "training": training,
        "validation": epochs - training,
        "checkpoints, reports, waiting": last_report - first_step - epochs,
        "record, table, report": ended - last_report,
    }
    later = [line["images_per_second"] for _, line in reported if line["epoch"] > 1 or config.epochs == 1]
    return Search(seconds=ended - began, first_step=first_step - began, phases=phases, images_per_second=median(later))


def run_plain(config: ThroughputConfig, split: Path, out: Path, workers: int) -> float:
    """The plain script on the same sides in a process of its own; its seconds."""
    storage = out / "plain"
    command = [
        *(sys.executable, str(ROOT / "scripts" / "benchmarks" / "plain_trial.py"), "--split", str(split)),
        *("--backbone", config.backbone, "--image-size", str(config.image_size)),
        *("--batch-size", str(config.batch_size), "--epochs", str(config.epochs), "--trials", str(config.trials)),
        *("--grace-period", str(config.epochs), "--concurrency", str(_concurrency(config))),
        *("--workers", str(workers), "--storage", str(storage)),
    ]
    seconds = _seconds(command, out)
    shutil.rmtree(storage, ignore_errors=True)
    said = re.search(r"epochs trained: (\d+)", (out / "log.txt").read_text())
    _refuse_other_work(config, int(said[1]) if said else 0, "the plain script")
    return seconds


def _train_seconds(line: Mapping[str, Any], config: ThroughputConfig, run_dir: Path) -> float:
    num_images = load_run(run_dir).data["sides"]["train"]["pictures"]
    trained = max(1, num_images // config.batch_size) * min(config.batch_size, num_images // 2 * 2)
    return trained / line["images_per_second"]


def _refuse_other_work(config: ThroughputConfig, epochs: int, what: str) -> None:
    if epochs != config.trials * config.epochs:
        raise UserError(
            f"{what} trained {epochs} epochs where {config.trials * config.epochs} were asked for, so nothing can be "
            f"compared: see {config.out}"
        )


def _draw(pictures: str, out: Path) -> Path:
    from trainables.data.demo.draw import make_demo_data

    return make_demo_data(out / pictures, people=PEOPLE[pictures], height=HEIGHTS[pictures])


def _seconds(command: Sequence[str], out: Path) -> float:
    """Runs a command in a folder that is not the project's, and says how long it took."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    with (out / "log.txt").open("w") as log:
        done = subprocess.run(command, cwd=out, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise UserError(f"{' '.join(command[:2])} ended with exit code {done.returncode}: see {out / 'log.txt'}")
    return seconds


def _concurrency(config: ThroughputConfig) -> int:
    return config.concurrency or num_cores()


def _machine() -> str:
    from trainables.machine.hardware import hardware_in_words

    return hardware_in_words()


if __name__ == "__main__":
    sys.exit(main())
