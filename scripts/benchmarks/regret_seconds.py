"""Compares searches by regret over seconds, in virtual time, where an epoch of one network costs 30 of another's.

    python scripts/benchmarks/regret_seconds.py
    python scripts/benchmarks/regret_seconds.py --lcbench DIR --fold held-out

Tasks and regret are those of `scripts/benchmarks/regret.py`: 0 for the best of 600 random configurations at full
length, 1 for their median. Time is counted in full trainings, the median of what random configurations take. A search
knows its budget, which four workers share, so each budget is a search of its own. Every policy has the same seeds.

Syne Tune's policies need its package, which is no dependency of the project: `pip install --target DIR syne-tune`, and
DIR in PYTHONPATH.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import json
import logging
import math
import sys
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated, Any

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by path: put the repository root where Python put this file's folder
    sys.path[0] = str(ROOT)

import numpy as np
import optuna
import tyro
from ray.tune.search.optuna import OptunaSearch

from results.pages.markdown import render_markdown_table
from scripts.benchmarks import regret as epochs_regret
from scripts.benchmarks.curve_family import COSTS, CurveTask
from scripts.benchmarks.regret import LCBENCH_TASKS, METRIC, WORKERS, LCBenchTask, SyntheticTask, random_config
from scripts.benchmarks.syne_tune_policy import SyneTunePolicy
from search.engine import sampler
from search.engine.costs import EpochCosts
from search.engine.scheduler import build_scheduler
from search.engine.searcher import build_searcher
from search.flags import help_default
from trainables.errors import UserError

FOLD_TASKS = 8
FIRST_EPOCHS = 5
"""As in `search/tuner.py`: latest trials by which it is told whether there is time to begin another."""
LEAST_SHARE = 0.2
"""Of the mean: the surrogate's seconds are not monotone, and no epoch is for nothing."""
POLICIES = {
    "random": "random, Ray's ASHA(3, 3)",
    "ray-3-3": "Ray's OptunaSearch, ASHA(3, 3)",
    "tpe": "Optuna's TPE (multivariate), our rungs",
    "gp": "Optuna's GP, our rungs",
    "syne-cqr": "Syne Tune's ASHA-CQR",
    "syne-bohb": "Syne Tune's BOHB",
    "ours-epochs": "ours, as without a time budget",
    "ours": "ours, by gain per second",
}
SYNE_TUNE = {"syne-cqr": "ASHACQR", "syne-bohb": "BOHB"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare searches by regret over seconds, in virtual time."""

    lcbench: Annotated[Path | None, help_default("made-up curves")] = None
    """Folder of the LCBench surrogate (model.onnx, config_space.json, encoding.json); needs onnxruntime."""
    fold: str = "development"
    """Tasks: development, or held-out, on which nothing was tried before."""
    tasks: tuple[str, ...] = ()
    """Tasks by name; by default all eight of the fold."""
    runs: int = 1
    """Runs of each policy on each task, with a seed each."""
    budgets: tuple[int, ...] = (2, 6)
    """Full trainings that a search has the time of; each is a search of its own."""
    policies: tuple[str, ...] = tuple(policy for policy in POLICIES if policy not in SYNE_TUNE)
    """Policies to compare."""
    quick: bool = False
    """Let our policies begin with 128 candidates in the place of 460: half of the processor's time."""
    out: Path = ROOT / "runs" / "benchmark-seconds"
    """Folder for runs.jsonl and table.md; what is there is not run again."""


@dataclass
class Run:
    """A trial of the simulation: what a scheduler needs of a Ray trial, and where it stands."""

    trial_id: str
    config: dict[str, Any]
    curve: list[float]
    seconds: list[float]
    values: list[float] = field(default_factory=list)

    @property
    def next_seconds(self) -> float:
        """Of the epoch that comes."""
        return self.seconds[len(self.values)]


@dataclass
class Simulation:
    """Ray Tune with a time budget, as `search/tuner.py` drives it, on a clock of its own.

    Args:
        task: What is searched on.
        searcher: Proposes.
        scheduler: Stops.
        budget: Seconds that each worker has.
    """

    task: Any
    searcher: Any
    scheduler: Any
    budget: float
    trials: dict[str, Run] = field(default_factory=dict)
    busy: float = 0.0
    """Seconds of epochs that ended within the budget, all workers together."""
    _first: list[float] = field(default_factory=list)
    _waiting: list[tuple[float, int, str]] = field(default_factory=list)

    def run(self) -> Simulation:
        """Searches until the time is over."""
        for worker in range(WORKERS):
            self._next(0.0, worker)
        while self._waiting:
            now, worker, trial_id = heapq.heappop(self._waiting)
            trial = self.trials[trial_id]
            self.busy += trial.next_seconds
            if not trial.values:
                self._first.append(trial.next_seconds)
            if self._ends_with(trial):
                self._next(now, worker)
            elif now + trial.next_seconds <= self.budget:
                heapq.heappush(self._waiting, (now + trial.next_seconds, worker, trial_id))
            else:
                self._next(now, worker)
        return self

    def best(self, count: int = 1) -> float:
        """Mean of the best values of the best few trials."""
        finite = [[value for value in run.values if math.isfinite(value)] for run in self.trials.values()]
        values = [max(reached, default=0.0) for reached in finite]
        return float(np.mean(sorted(values)[-count:])) if values else 0.0

    def _ends_with(self, trial: Run) -> bool:
        """Whether a trial ends with the epoch that it has just trained."""
        value = trial.curve[len(trial.values)]
        seconds = trial.next_seconds
        trial.values.append(value)
        result = {"training_iteration": len(trial.values), METRIC: value, "seconds": seconds}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # Ray's ASHA takes percentiles of nothing but NaN
            stops = self.scheduler.on_trial_result(None, trial, result) == "STOP"
            ends = stops or len(trial.values) == len(trial.curve)
            if ends:
                self.scheduler.on_trial_complete(None, trial, result)
        if ends:
            self.searcher.on_trial_complete(trial.trial_id, result)
        else:
            self.searcher.on_trial_result(trial.trial_id, result)
        return ends

    def _next(self, now: float, worker: int) -> None:
        """Gives a worker what it does next, if anything fits."""
        left = self.budget - now
        can_begin = not self._first or median(self._first[-FIRST_EPOCHS:]) <= left
        if not can_begin:
            return
        trial_id = f"{len(self.trials):05d}"
        config = self.searcher.suggest(trial_id)
        trial = Run(trial_id, config, self.task.curve(config), seconds_of(self.task, config))
        self.trials[trial_id] = trial
        self.scheduler.on_trial_add(None, trial)
        if now + trial.next_seconds <= self.budget:
            heapq.heappush(self._waiting, (now + trial.next_seconds, worker, trial.trial_id))


def seconds_of(task: Any, config: Mapping[str, Any]) -> list[float]:
    """Seconds of each epoch of a configuration."""
    if isinstance(task, SyntheticTask):
        return CurveTask(task.seed).seconds(config)
    total = np.maximum.accumulate(np.maximum(task.outputs(config)[:, 0], 0.0))
    return np.maximum(np.diff(total, prepend=0.0), LEAST_SHARE * total[-1] / len(total)).tolist()


@functools.cache
def full_training(task: Any) -> float:
    """Seconds of a full training: the median over 200 random configurations."""
    rng = np.random.default_rng(zlib.crc32(task.name.encode()))
    return median(sum(seconds_of(task, random_config(task.space, rng))) for _ in range(200))


def simulation(policy: str, task: Any, seed: int, budget: float) -> Simulation:
    """The search of a policy."""
    goal: dict[str, Any] = {"metric": METRIC, "mode": "max"}
    if policy in SYNE_TUNE:
        syne = SyneTunePolicy(SYNE_TUNE[policy], task, METRIC, seed)
        return Simulation(task, syne, syne, budget)
    if policy in ("random", "ray-3-3"):
        return Simulation(task, *epochs_regret.build_policy(policy, task, seed, []), budget)
    scheduler = build_scheduler(**goal, max_epochs=task.epochs)
    if policy in ("tpe", "gp"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            samplers: dict[str, Callable[[], Any]] = {
                "tpe": lambda: optuna.samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed),
                "gp": lambda: optuna.samplers.GPSampler(seed=seed),
            }
            return Simulation(task, OptunaSearch(task.space, **goal, sampler=samplers[policy]()), scheduler, budget)
    networks = COSTS if isinstance(task, SyntheticTask) else {}
    costs = None if policy == "ours-epochs" else EpochCosts(networks)
    searcher = build_searcher(task.space, **goal, max_epochs=task.epochs, seed=seed, costs=costs)
    return Simulation(task, searcher, scheduler, budget)


def build_tasks(options: Options) -> list[Any]:
    """The tasks of a fold.

    Raises:
        UserError: There is no such fold, task or surrogate.
    """
    if options.fold not in ("development", "held-out"):
        raise UserError(f"--fold {options.fold}: must be development or held-out")
    held_out = options.fold == "held-out"
    tasks = _fold(options, held_out)
    if unknown := set(options.tasks) - {task.name for task in tasks}:
        known = ", ".join(task.name for task in tasks)
        raise UserError(f"--tasks {', '.join(sorted(unknown))}: must be of {known}")
    return [task for task in tasks if task.name in options.tasks or not options.tasks]


def _fold(options: Options, held_out: bool) -> list[Any]:
    if options.lcbench is None:
        return [SyntheticTask(100 * held_out + seed) for seed in range(FOLD_TASKS)]
    if not (options.lcbench / "model.onnx").is_file():
        raise UserError(f"--lcbench {options.lcbench}: there is no model.onnx, so it is not the LCBench surrogate")
    entries = json.loads((options.lcbench / "config_space.json").read_text())["hyperparameters"]
    names = next(entry["choices"] for entry in entries if entry["name"] == "OpenML_task_id")
    others = [name for name in names if name not in LCBENCH_TASKS][::2]
    return [LCBenchTask(options.lcbench, name) for name in (others if held_out else LCBENCH_TASKS)[:FOLD_TASKS]]


def run_one(policy: str, task: Any, run: int, budgets: Sequence[int]) -> dict[str, Any]:
    """One run of a policy on a task, with every budget."""
    line: dict[str, Any] = {"policy": policy, "task": task.name, "run": run}
    best, middle = epochs_regret.reference(task)
    for budget in budgets:
        seed = zlib.crc32(f"{task.name} {run} {budget}".encode()) % 2**31
        seconds = budget * full_training(task) / WORKERS
        done = simulation(policy, task, seed, seconds).run()
        line[str(budget)] = {
            "regret": (best - done.best()) / (best - middle),
            "regret_of_three": (best - done.best(3)) / (best - middle),
            "idle": 1 - done.busy / seconds / WORKERS,
            "trials": len(done.trials),
        }
    return line


def render_table(lines: Sequence[Mapping[str, Any]], policies: Sequence[str], budgets: Sequence[int]) -> str:
    """The Markdown table: means with the half-width of their 95 % interval, and the share of time without use."""
    rows = []
    for policy in policies:
        of = [line for line in lines if line["policy"] == policy]
        if not of:
            continue
        cells = [_mean(of, budget, name) for budget in budgets for name in ("regret", "regret_of_three")]
        idle = " / ".join(f"{np.mean([line[str(budget)]['idle'] for line in of]):.3f}" for budget in budgets)
        rows.append((POLICIES[policy], str(len(of)), *cells, idle))
    header = ["search", "n"]
    for budget in budgets:
        header += [f"{budget} trainings' time", "mean of its best three"]
    return render_markdown_table((*header, "idle"), rows) + "\n"


def _mean(lines: Sequence[Mapping[str, Any]], budget: int, name: str) -> str:
    values = np.array([line[str(budget)][name] for line in lines])
    half = 1.96 * values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{values.mean():.3f} ± {half:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the comparison and writes its table."""
    options = tyro.cli(Options, prog="scripts/benchmarks/regret_seconds.py", args=arguments)
    unknown = set(options.policies) - set(POLICIES)
    if unknown:
        print(f"error: policies has {', '.join(sorted(unknown))}: must be of {', '.join(POLICIES)}", file=sys.stderr)
        return 2
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        tasks = build_tasks(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "runs.jsonl"
    lines = [json.loads(text) for text in (path.read_text().splitlines() if path.exists() else [])]
    lines = [line for line in lines if line.keys() >= set(map(str, options.budgets))]  # else of other budgets
    done = {(line["policy"], line["task"], line["run"]) for line in lines}
    if options.quick:
        sampler.RANDOM_CANDIDATES, sampler.CHILDREN = 80, 6
    for run, policy, task in itertools.product(range(options.runs), options.policies, tasks):
        if (policy, task.name, run) not in done:
            lines.append(run_one(policy, task, run, options.budgets))
            with path.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    table = render_table(lines, options.policies, options.budgets)
    (options.out / "table.md").write_text(table)
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
