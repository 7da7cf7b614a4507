"""Compares searches on learning curves, in virtual time: regret over epochs for ours, Ray's and random.

    python scripts/benchmarks/regret.py --runs 2
    python scripts/benchmarks/regret.py --lcbench DIR

The first takes about ten minutes on one core and ends with a table and a picture in runs/benchmark; five runs a policy
on all eight LCBench tasks take about half an hour. Stopped and started again, it goes on where it was.

A search is driven as Ray Tune drives it: four workers, each epoch one unit of time on one of them. Regret is 0 for the
best of 600 random configurations at full length and 1 for their median, so a search can fall below 0. Every run has a
seed of its own. The history that a run may use are the searches without history on all *other* tasks.
"""

from __future__ import annotations

import functools
import heapq
import json
import logging
import math
import os
import sys
import warnings
import zlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol, cast

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the matrices are small: more threads only wait for each other
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import optuna
import tyro
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from results.pages.markdown import render_markdown_table
from scripts.benchmarks.curve_family import CurveTask, suggest_config
from search.engine.history import build_portfolio
from search.engine.scheduler import build_scheduler
from search.engine.searcher import build_searcher
from search.flags import help_default
from spaces.sampling import RecordedTrial, at_share, config_of
from trainables.errors import UserError

METRIC = "value"
MARKS = (150, 375, 750, 1500)
WORKERS = 4
REFERENCE_CONFIGS = 600
PORTFOLIO_SIZE = 8
LCBENCH_TASKS = ("3945", "167190", "168331", "189906", "126026", "34539", "7593", "167104")
"""Tasks to develop on; the other tasks of LCBench are for judging."""
SYNTHETIC_TASKS = 8
LCBENCH_INPUTS = (
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "num_layers",
    "max_units",
    "max_dropout",
)
LCBENCH_METRIC = 3
"""Column of val_balanced_accuracy in the surrogate's output."""
POLICIES = {
    "random": "random, Ray's ASHA(3, 3)",
    "ray-1-4": "Ray's OptunaSearch, ASHA(1, 4)",
    "ray-3-3": "Ray's OptunaSearch, ASHA(3, 3)",
    "ours": "ours, no history",
    "ours-history": "ours, history of the other tasks",
}
Trials = list[tuple[dict[str, Any], list[float]]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare searches on learning curves, in virtual time."""

    lcbench: Annotated[Path | None, help_default("made-up curves")] = None
    """Folder of the LCBench surrogate (model.onnx, config_space.json, encoding.json); needs onnxruntime."""
    synthetic: bool = False
    """Use the made-up curves although --lcbench is given."""
    runs: int = 5
    """Runs of each policy on each task."""
    epochs: int = 1500
    """Epochs that a search may spend, all trials together."""
    tasks: tuple[str, ...] = ()
    """Tasks by name; by default all of the family."""
    policies: tuple[str, ...] = tuple(POLICIES)
    """Policies to compare."""
    out: Path = ROOT / "runs" / "benchmark"
    """Folder for runs.jsonl, table.md and regret.png."""


class Task(Protocol):
    """A data set with a search space and a learning curve for each configuration."""

    @property
    def name(self) -> str:
        """Unique name."""

    @property
    def epochs(self) -> int:
        """Length of a curve."""

    def space(self, trial: Any) -> dict[str, Any]:
        """The define-by-run space."""

    def curve(self, config: Mapping[str, Any]) -> list[float]:
        """The metric after each epoch."""


@dataclass(frozen=True)
class SyntheticTask:
    """A made-up data set."""

    seed: int

    @property
    def name(self) -> str:
        """Unique name."""
        return f"synthetic-{self.seed}"

    @property
    def epochs(self) -> int:
        """Length of a curve."""
        return CurveTask(self.seed).epochs

    def space(self, trial: Any) -> dict[str, Any]:
        """The define-by-run space."""
        return suggest_config(trial)

    def curve(self, config: Mapping[str, Any]) -> list[float]:
        """The metric after each epoch."""
        return CurveTask(self.seed).curve(config)


@dataclass(frozen=True)
class LCBenchTask:
    """A data set of LCBench: curves of a neural network on tabular data, as a surrogate recalls them."""

    folder: Path
    name: str
    epochs: int = 52

    def space(self, trial: Any) -> dict[str, Any]:
        """The define-by-run space."""
        config = {}
        for name, entry in _lcbench_space(self.folder).items():
            suggest = trial.suggest_int if entry["type"] == "uniform_int" else trial.suggest_float
            config[name] = suggest(name, entry["lower"], entry["upper"], log=entry["log"])
        return config

    def curve(self, config: Mapping[str, Any]) -> list[float]:
        """Validation balanced accuracy after each epoch."""
        return self.outputs(config)[:, LCBENCH_METRIC].tolist()

    def outputs(self, config: Mapping[str, Any]) -> np.ndarray:
        """All that the surrogate says, `(epochs, 6)`; the seconds since the start come first."""
        code = json.loads((self.folder / "encoding.json").read_text())["OpenML_task_id"][self.name]
        inputs = [[epoch, *(config[name] for name in LCBENCH_INPUTS)] for epoch in range(1, self.epochs + 1)]
        feed = {
            "x_cat": np.full((self.epochs, 1), code, dtype=np.int32),
            "x_cont": np.array(inputs, dtype=np.float32),
        }
        return _lcbench_session(self.folder).run(None, feed)[0]


@functools.cache
def _lcbench_space(folder: Path) -> dict[str, Any]:
    entries = json.loads((folder / "config_space.json").read_text())["hyperparameters"]
    by_name = {entry["name"]: entry for entry in entries}
    return {name: by_name[name] for name in LCBENCH_INPUTS}


@functools.cache
def _lcbench_session(folder: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), options)


class RandomSearcher:
    """Draws every configuration at random."""

    def __init__(self, space: Callable[[Any], Any], seed: int) -> None:
        self._space = space
        self._rng = np.random.default_rng(seed)

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """A random configuration."""
        return random_config(self._space, self._rng)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Learns nothing."""

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Learns nothing."""


def random_config(space: Callable[[Any], Any], rng: np.random.Generator) -> dict[str, Any]:
    """Runs a space on random values."""
    return config_of(space, RecordedTrial(lambda name, distribution: at_share(distribution, rng.random())))


def build_policy(policy: str, task: Task, seed: int, histories: Sequence[Trials]) -> tuple[Any, Any]:
    """Searcher and scheduler of a policy."""
    goal: dict[str, Any] = {"metric": METRIC, "mode": "max"}
    if policy.startswith("ours"):
        points = build_portfolio(histories, PORTFOLIO_SIZE) if policy == "ours-history" else []
        searcher = build_searcher(task.space, **goal, max_epochs=task.epochs, seed=seed, points=points)
        return searcher, build_scheduler(**goal, max_epochs=task.epochs)
    grace, factor = (1, 4) if policy == "ray-1-4" else (3, 3)
    asha = ASHAScheduler(**goal, max_t=task.epochs, grace_period=grace, reduction_factor=factor)
    if policy == "random":
        return RandomSearcher(task.space, seed), asha
    return OptunaSearch(task.space, **goal, seed=seed), asha


@dataclass
class _FakeTrial:
    """What a scheduler needs of a Ray trial, and where it stands."""

    trial_id: str
    config: dict[str, Any]
    curve: list[float]
    values: list[float] = field(default_factory=list)


def simulate(task: Task, searcher: Any, scheduler: Any, epochs: int) -> tuple[np.ndarray, Trials]:
    """Searches in virtual time, as Ray Tune would.

    Returns:
        The best value so far after each epoch spent, `(epochs,)`, -inf before the first; and all trials.
    """
    best = np.full(epochs, -math.inf)
    trials: list[_FakeTrial] = []
    waiting: list[tuple[int, int, _FakeTrial]] = []

    def start(time: int, worker: int) -> None:
        trial_id = f"{len(trials):05d}"
        config = searcher.suggest(trial_id)
        trials.append(_FakeTrial(trial_id, config, task.curve(config)))
        scheduler.on_trial_add(None, trials[-1])
        heapq.heappush(waiting, (time + 1, worker, trials[-1]))

    for worker in range(WORKERS):
        start(0, worker)
    for spent in range(epochs):
        time, worker, trial = heapq.heappop(waiting)
        value = trial.curve[len(trial.values)]
        trial.values.append(value)
        best[spent] = np.nanmax([best[spent - 1] if spent else -math.inf, value])
        result = {"training_iteration": len(trial.values), METRIC: value}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # Ray's ASHA takes percentiles of nothing but NaN
            ends = scheduler.on_trial_result(None, trial, result) == "STOP" or len(trial.values) == len(trial.curve)
            if ends:
                scheduler.on_trial_complete(None, trial, result)
        if ends:
            searcher.on_trial_complete(trial.trial_id, result)
            start(time, worker)
        else:
            searcher.on_trial_result(trial.trial_id, result)
            heapq.heappush(waiting, (time + 1, worker, trial))
    return best, [(trial.config, trial.values) for trial in trials if trial.values]


@functools.cache
def reference(task: Task) -> tuple[float, float]:
    """Best and median of 600 random configurations at full length."""
    rng = np.random.default_rng(zlib.crc32(task.name.encode()))
    reached = [np.nanmax([0.0, *task.curve(random_config(task.space, rng))]) for _ in range(REFERENCE_CONFIGS)]
    return float(np.max(reached)), float(np.median(reached))


def regret(task: Task, best: np.ndarray) -> np.ndarray:
    """Best values so far as regret: 0 the best random configuration, 1 the median one."""
    top, median = reference(cast(Hashable, task))
    return (top - best) / (top - median)


def run_all(options: Options, tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Runs what is not in runs.jsonl yet; searches without history come first, the others learn from them."""
    path = options.out / "runs.jsonl"
    done = {
        (line["policy"], line["task"], line["run"]): line
        for line in (json.loads(text) for text in (path.read_text().splitlines() if path.exists() else []))
        if line["epochs"] == options.epochs
    }
    wanted = sorted(
        (
            (run, policy == "ours-history", policy, task.name)
            for run in range(options.runs)
            for policy in options.policies
            for task in tasks
        ),
    )
    by_name = {task.name: task for task in tasks}
    for run, _, policy, name in wanted:
        if (policy, name, run) in done:
            continue
        histories = [
            done["ours", other, run]["trials"] for other in by_name if other != name and ("ours", other, run) in done
        ]
        task, seed = by_name[name], zlib.crc32(f"{policy} {name} {run}".encode())
        best, trials = simulate(task, *build_policy(policy, task, seed, histories), options.epochs)
        line = {
            "policy": policy,
            "task": name,
            "run": run,
            "epochs": options.epochs,
            "regret": [round(float(value), 5) for value in regret(task, best)],
            "trials": trials if policy == "ours" else [],
        }
        done[policy, name, run] = line
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(name, policy, run, _at_marks(np.array([line["regret"]]))[0], flush=True)
    return [done[policy, name, run] for run, _, policy, name in wanted]


def _at_marks(curves: np.ndarray) -> np.ndarray:
    """Columns of `curves (runs, epochs)` at the epochs that the table shows."""
    return curves[:, [min(mark, curves.shape[1]) - 1 for mark in MARKS]]


def regrets_of(lines: Sequence[Mapping[str, Any]], policy: str) -> np.ndarray:
    """Regret of a policy, `(runs, epochs)`."""
    return np.array([line["regret"] for line in lines if line["policy"] == policy])


def half_interval(curves: np.ndarray) -> np.ndarray:
    """Half the width of the 95 % interval of the mean over runs, `(epochs,)`; NaN for a single run."""
    if len(curves) < 2:
        return np.full(curves.shape[1], math.nan)
    with np.errstate(invalid="ignore"):  # before the first epoch of a search its regret is infinite
        return 1.96 * curves.std(axis=0, ddof=1) / math.sqrt(len(curves))


def render_table(lines: Sequence[Mapping[str, Any]], policies: Sequence[str]) -> str:
    """The Markdown table: mean regret with the half-width of its 95 % interval."""
    runs = len(regrets_of(lines, policies[0]))
    rows = []
    for policy in policies:
        curves = _at_marks(regrets_of(lines, policy))
        cells = [
            f"{mean:.3f} ± {half:.3f}" for mean, half in zip(curves.mean(axis=0), half_interval(curves), strict=True)
        ]
        rows.append((POLICIES[policy], *cells))
    header = (f"search ({runs} runs each)", *(f"{mark} epochs" for mark in MARKS))
    return render_markdown_table(header, rows) + "\n"


def draw_figure(lines: Sequence[Mapping[str, Any]], policies: Sequence[str], path: Path) -> None:
    """Mean regret over epochs with 95 % intervals, as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), dpi=120)
    for policy in policies:
        curves = regrets_of(lines, policy)
        epochs = np.arange(1, curves.shape[1] + 1)
        shown = epochs >= 20  # before that one cannot see the rest for the height of the start
        mean, half = curves.mean(axis=0), np.nan_to_num(half_interval(curves))
        (line,) = axes.plot(epochs[shown], mean[shown], label=POLICIES[policy])
        axes.fill_between(epochs[shown], (mean - half)[shown], (mean + half)[shown], alpha=0.15, color=line.get_color())
    axes.set_xscale("log")
    axes.set_xlabel("epochs spent, all trials together")
    axes.set_ylabel("regret (0: best of 600 random, 1: median)")
    axes.axhline(0, color="gray", linewidth=0.8)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def build_tasks(options: Options) -> list[Task]:
    """The tasks that the options ask for."""
    if options.synthetic or options.lcbench is None:
        tasks: list[Task] = [SyntheticTask(seed) for seed in range(SYNTHETIC_TASKS)]
    elif (options.lcbench / "model.onnx").is_file():
        tasks = [LCBenchTask(options.lcbench, name) for name in LCBENCH_TASKS]
    else:
        raise ValueError(f"--lcbench {options.lcbench}: there is no model.onnx, so it is not the LCBench surrogate")
    if options.tasks:
        unknown = set(options.tasks) - {task.name for task in tasks}
        if unknown:
            raise UserError(f"tasks has {', '.join(sorted(unknown))}: must be of {', '.join(t.name for t in tasks)}")
        tasks = [task for task in tasks if task.name in options.tasks]
    return tasks


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the comparison and writes its table and picture."""
    config = (tyro.conf.FlagCreatePairsOff,)
    options = tyro.cli(Options, prog="scripts/benchmarks/regret.py", args=arguments, config=config)
    unknown = set(options.policies) - set(POLICIES)
    if unknown:
        print(f"error: policies has {', '.join(sorted(unknown))}: must be of {', '.join(POLICIES)}", file=sys.stderr)
        return 2
    if "ours-history" in options.policies and "ours" not in options.policies:
        print("error: policies has ours-history without ours: its history is what ours found", file=sys.stderr)
        return 2
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        lines = run_all(options, build_tasks(options))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    table = render_table(lines, options.policies)
    (options.out / "table.md").write_text(table)
    draw_figure(lines, options.policies, options.out / "regret.png")
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
