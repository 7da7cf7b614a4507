"""Measures whole searches against a plain script and against the bare arithmetic of the network, in one run.

    python scripts/benchmark_throughput.py

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

ROOT = Path(__file__).resolve().parents[1]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import tyro
from matplotlib.figure import Figure

from results.atomic import write_whole
from results.collect import load_run, load_trials
from results.figures import save_png
from results.strict_json import save_object
from scripts.epoch_costs import AUGMENTATIONS, COPIES, FLOOR, FLOOR_VAL, VAL, Costs, measure_epochs
from scripts.terminal import run_command
from search.study import num_cores

SPACE = '''"""What the throughput benchmark searches."""

from trainables.config import TrialConfig


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
LIBRARIES_IN_WORDS = "torch, timm and ray"
TARGET_NO_AUGMENTATION, TARGET_DEFAULT = 0.9, 0.8
"""Least share of the floor's speed that training and validation keep."""
TARGET_START_SECONDS = 3.0
"""Most that a start with a warm cache may take beyond importing the libraries in the driver and in a worker."""
TARGET_CACHE = 400
"""Least pictures of 384x512 that a core decodes a second."""


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
    return run_command(ThroughputConfig, measure, args, prog="benchmark_throughput.py", markers=())


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
            seconds = run_plain(config, run_dir / "split.csv", out, workers)
            found.setdefault(_plain(workers), []).append(seconds)
            print(f"{_plain(workers)}: {seconds:.1f} s", flush=True)
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
        "config": {**asdict(config), "data": config.data and config.data.name, "out": None},
        "images_per_epoch": images,
        "facts": load_run(run_dir).data,
        "searches": {kind: [asdict(search) for search in found[kind]] for kind in ("cold", "warm")},
        "plain": {_plain(workers): found[_plain(workers)] for workers in config.workers},
        "imports": found["imports"],
        "costs": costs,
    }
    save_object(out / f"{config.name}.json", json.loads(json.dumps(numbers, default=str)))
    text = render(config, numbers)
    write_whole(out / f"{config.name}.md", text.encode())
    save_png(draw(config, numbers), out / f"{config.name}.png")
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
    lines = [json.loads(line) for line in (run_dir / "trials.jsonl").read_text().splitlines()]
    events = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]
    reported = [(datetime.fromisoformat(line["time"]).timestamp(), line) for line in lines]
    first_started = min(datetime.fromisoformat(event["time"]).timestamp() for event in events)
    first_step = min(moment - line["seconds"] for moment, line in reported)
    last_report = max(moment for moment, _ in reported)
    slots = _concurrency(config)
    epochs = sum(line["seconds"] for _, line in reported) / slots
    training = sum(_train_seconds(line, config, run_dir) for _, line in reported) / slots
    prepared = (run_dir / "split.csv").stat().st_mtime
    decoding = duplicates = 0.0
    for folder in {path.parent for path in cache.glob("*/meta.json")} - known:
        decoding = json.loads((folder / "meta.json").read_text())["seconds"]
        duplicates = (folder / "duplicates.json").stat().st_mtime - (folder / "meta.json").stat().st_mtime
    phases = {
        "imports, data, run folder": prepared - began - decoding - duplicates,
        "cache": decoding,
        "duplicates": duplicates,
        "Ray": first_started - prepared,
        "worker: imports, network": first_step - first_started,
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
        *(sys.executable, str(ROOT / "scripts" / "plain_trial.py"), "--split", str(split)),
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


def render(config: ThroughputConfig, numbers: Mapping[str, Any]) -> str:
    """The numbers as Markdown: whole searches, the steady state, where the time goes, start and cache."""
    costs, images, facts = numbers["costs"], numbers["images_per_epoch"], numbers["facts"]
    cold, warm = numbers["searches"]["cold"], numbers["searches"]["warm"]
    floor = floor_seconds(config, costs)
    total = images * config.trials * config.epochs
    lines = [
        f"{facts['pictures']:,} pictures ({facts['sides']['train']['pictures']:,} to train on, "
        f"{facts['sides']['val']['pictures']:,} to validate on), {config.backbone} at {config.image_size} px from "
        f"random weights, batches of {config.batch_size}, {config.trials} trials of {config.epochs} epochs, "
        f"{_concurrency(config)} at a time with one thread each; {numbers['machine']}, {numbers['when']}, "
        f"n = {len(cold)} turns, as median [lowest, highest].",
        "",
        "| whole search, from the start of the process to its end | seconds | images/s | as fast as plain |",
        "|---|---|---|---|",
    ]
    plain_name, plain = min(numbers["plain"].items(), key=lambda pair: median(pair[1]))
    rows = [*numbers["plain"].items()]
    rows += [(f"**ours, {kind}**", [search["seconds"] for search in numbers["searches"][kind]]) for kind in KINDS]
    rows.append(("arithmetic alone (epochs of the floor, nothing else)", floor))
    for what, seconds in rows:
        ratios = [base / one for base, one in zip(plain, seconds, strict=True)]
        lines.append(f"| {what} | {_spread(seconds)} | {total / median(seconds):,.0f} | {_spread(ratios, 2)} |")
    verdicts = []
    if config.target:
        against = numbers["plain"].get(_plain(0), plain)
        ratio = median(base / search["seconds"] for base, search in zip(against, cold, strict=True))
        verdicts.append((f"from cold, times as fast as {_plain(0)}", ratio, config.target, ratio >= config.target))
    lines += ["", f"The faster of the plain scripts is {plain_name}; ratios are to it.", ""]
    lines += ["| steady state, processor seconds an epoch | training | share of the floor, with validation |"]
    lines += ["|---|---|---|", f"| {FLOOR} | {_spread(costs[FLOOR], 3)} | 1 |"]
    for name in AUGMENTATIONS:
        shares = steady_shares(costs, name)
        lines.append(f"| {name} | {_spread(costs[name], 3)} | {_spread(shares, 3)} |")
        least = {"no augmentation": TARGET_NO_AUGMENTATION, "default": TARGET_DEFAULT}.get(name)
        if least:
            share = median(shares)
            verdicts.append((f"steady state, {name}, of the floor", share, least, share >= least))
    lines += [
        "",
        f"Validation takes {_spread(costs[VAL], 3)} s an epoch (floor {_spread(costs[FLOOR_VAL], 3)}); "
        f"batches without a network {_spread(costs[COPIES], 3)}.",
        "",
        "| where a search's time goes, seconds | " + " | ".join(KINDS) + " |",
        "|---|" + "---|" * len(KINDS),
    ]
    for phase in cold[0]["phases"]:
        cells = [_spread([search["phases"][phase] for search in numbers["searches"][kind]]) for kind in KINDS]
        lines.append(f"| {phase} | " + " | ".join(cells) + " |")
    beyond = [search["first_step"] - 2 * one for search, one in zip(warm, numbers["imports"], strict=True)]
    least = median(beyond)
    verdicts.append(("warm start beyond two imports, s", least, TARGET_START_SECONDS, least <= TARGET_START_SECONDS))
    lines += [
        "",
        f"With the cache there the first training step comes after {_spread([s['first_step'] for s in warm])} s; "
        f"importing {LIBRARIES_IN_WORDS} takes {_spread(numbers['imports'])} s.",
    ]
    speeds = [
        facts["pictures"] / max(search["phases"]["cache"], 1e-9) / num_cores()
        for search in cold
        if search["phases"]["cache"]
    ]
    if speeds:
        lines.append(f"The cache decoded {_spread(speeds, 0)} pictures a second and core.")
        if config.pictures == "drawn" and config.data is None:
            speed = median(speeds)
            verdicts.append(("cache, pictures a second and core", speed, TARGET_CACHE, speed >= TARGET_CACHE))
    lines += ["", "| target | measured | wanted | |", "|---|---|---|---|"]
    for what, got, wanted, reached in verdicts:
        lines.append(f"| {what} | {got:.3g} | {wanted:g} | {'reached' if reached else '**missed**'} |")
    return "\n".join(lines) + "\n"


KINDS = ("cold", "warm")


def floor_seconds(config: ThroughputConfig, costs: Costs) -> list[float]:
    """What all epochs of all trials take where there is nothing but the network's arithmetic."""
    rounds = config.epochs * config.trials / _concurrency(config)
    return [rounds * (train + val) for train, val in zip(costs[FLOOR], costs[FLOOR_VAL], strict=True)]


def steady_shares(costs: Costs, name: str) -> list[float]:
    """Speed of the train loop's epochs with this augmentation, validation included, as share of the floor's."""
    parts = zip(costs[FLOOR], costs[FLOOR_VAL], costs[name], costs[VAL], strict=True)
    return [(floor + floor_val) / (train + val) for floor, floor_val, train, val in parts]


def draw(config: ThroughputConfig, numbers: Mapping[str, Any]) -> Figure:
    """Whole searches as bars; ours with what they consist of, training divided by what the parts of an epoch cost."""
    costs = {part: median(values) for part, values in numbers["costs"].items()}
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    names = [*numbers["plain"], *(f"ours, {kind}" for kind in KINDS), "arithmetic alone"]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    for row, seconds in enumerate(numbers["plain"].values()):
        axes.barh(row, median(seconds), color="0.75")
    colours = iter(COLOURS)
    chosen: dict[str, str] = {}
    for row, kind in enumerate(KINDS, start=len(numbers["plain"])):
        left = 0.0
        for phase, seconds in divided_phases(numbers["searches"][kind], costs).items():
            if phase not in chosen:
                chosen[phase] = next(colours)
            label = phase if kind == KINDS[0] else None
            axes.barh(row, seconds, left=left, color=chosen[phase], label=label)
            left += seconds
    axes.barh(len(names) - 1, median(floor_seconds(config, numbers["costs"])), color=chosen["arithmetic"])
    axes.set_xlabel("seconds")
    axes.set_title(f"{config.backbone} at {config.image_size} px, {config.trials} trials of {config.epochs} epochs")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7, frameon=False)
    return figure


COLOURS = (
    *("#4c78a8", "#72b7b2", "#54a24b", "#eeca3b", "#f58518", "#1a3a5c"),
    *("#b279a2", "#ff9da6", "#9d755d", "#e45756", "#bab0ac", "#79706e"),
)


def divided_phases(searches: Sequence[Mapping[str, Any]], costs: Mapping[str, float]) -> dict[str, float]:
    """The phases of a search, medians over turns; training as arithmetic, copies, augmentation and the rest."""
    phases = {name: median(search["phases"][name] for search in searches) for name in searches[0]["phases"]}
    training = phases.pop("training")
    default = costs["default"]
    arithmetic = min(1.0, costs[FLOOR] / default)
    copies = min(1.0 - arithmetic, costs[COPIES] / default)
    augmentation = min(1.0 - arithmetic - copies, max(0.0, costs["default"] - costs["no augmentation"]) / default)
    divided = {}
    for name, seconds in phases.items():
        if name == "validation":
            divided |= {"arithmetic": training * arithmetic, "copies": training * copies}
            divided |= {"augmentation": training * augmentation}
            divided |= {"clipping, metrics, schedule": training * (1 - arithmetic - copies - augmentation)}
        divided[name] = max(0.0, seconds)
    return divided


def _train_seconds(line: Mapping[str, Any], config: ThroughputConfig, run_dir: Path) -> float:
    num_images = load_run(run_dir).data["sides"]["train"]["pictures"]
    trained = max(1, num_images // config.batch_size) * min(config.batch_size, num_images // 2 * 2)
    return trained / line["images_per_second"]


def _refuse_other_work(config: ThroughputConfig, epochs: int, what: str) -> None:
    if epochs != config.trials * config.epochs:
        raise ValueError(
            f"{what} trained {epochs} epochs where {config.trials * config.epochs} were asked for, so nothing can be "
            f"compared: see {config.out}"
        )


def _draw(pictures: str, out: Path) -> Path:
    from trainables.data.demo import make_demo_data

    return make_demo_data(out / pictures, people=PEOPLE[pictures], height=HEIGHTS[pictures])


def _seconds(command: Sequence[str], out: Path) -> float:
    """Runs a command in a folder that is not the project's, and says how long it took."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    with (out / "log.txt").open("w") as log:
        done = subprocess.run(command, cwd=out, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise ValueError(f"{' '.join(command[:2])} ended with exit code {done.returncode}: see {out / 'log.txt'}")
    return seconds


def _concurrency(config: ThroughputConfig) -> int:
    return config.concurrency or num_cores()


def _plain(workers: int) -> str:
    return f"plain, {workers} DataLoader workers" if workers != 1 else "plain, 1 DataLoader worker"


def _machine() -> str:
    from trainables.hardware import hardware_in_words

    return hardware_in_words()


def _spread(values: Sequence[float], digits: int = 1) -> str:
    middle, low, high = (f"{value:,.{digits}f}" for value in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} [{low}, {high}]"


if __name__ == "__main__":
    sys.exit(main())
