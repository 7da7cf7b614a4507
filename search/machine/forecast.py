"""How long a search will take, said before it begins: by what its networks cost and how ASHA will cut its trials."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from ray.tune.schedulers import TrialScheduler

from results.records.cost import duration
from results.records.record import SearchRun
from search.engine.rungs import rung_epochs
from search.engine.scheduler import MOST_SPARED, RungScheduler
from search.flags import ROOT
from search.machine.memory_needs import sharers_of_a_gpu
from search.stop import SHORTEST_EPOCH, StopRequest
from search.study import SettledStudy
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.networks.known_costs import (
    EVALUATION_SPEED,
    FactsError,
    ModelFacts,
    StepSetting,
    TrialSetting,
    known_throughput,
    measure_throughput,
    recall_trial,
)

TIMING_SECONDS = 120
"""After which a timing in a process of its own is given up; it takes the time of the imports and some steps."""
SHUFFLED_TRIALS = 400
"""Trials that ASHA is tried on, in as many searches of their number: a mean to a few percent, in some milliseconds."""
MANY_TRIALS = 1000
"""More trials than these leave the mean as it is."""
TRIAL_SHARE = 0.9
"""What a trial reaches of the speed of bare steps, for augmentation and other trials beside it: with it a first search
foresaw 171 images/s, of which its epochs had 163 to 186 (tf_efficientnet_lite0, 64 px, two cores)."""
LOST_ALONE = 1 / 2
"""Power of how many times fewer trials there are at a time than there might be, by which they make fewer epochs
together: two side by side make 1.3 to 1.6 times the epochs of one with all cores (docs/recipe.md)."""
START_SECONDS = 12.0
"""From the first word of a search to its first step: Ray, and imports in each worker."""
END_SECONDS = 4.0
"""From the last epoch to the prompt: record, table, report."""
KNOWN_SPREAD = 1.4
"""Factor either way within which a search is told to end where its speed is remembered from earlier trials."""
TIMED_SPREAD = 1.8
"""The same where a short timing is all there is."""


@dataclass(frozen=True)
class Forecast:
    """Seconds of a search, and the range it is expected to end in."""

    seconds: float
    low: float
    high: float

    def __str__(self) -> str:
        """The seconds in words, as in `about 12 min (8 to 20)`."""
        size, unit = next((size, unit) for size, unit in _UNITS if self.seconds >= 1.5 * size or size == 1)
        digits = 1 if size == 3600 else 0
        middle, low, high = (f"{value / size:.{digits}f}" for value in (self.seconds, self.low, self.high))
        return f"about {middle} {unit} ({low} to {high})"


_UNITS = ((3600, "h"), (60, "min"), (1, "s"))


def expected_epochs(
    num_trials: int, max_epochs: int, grace_period: int, reduction_factor: float, spared: int = 1
) -> float:
    """Epochs that a trial trains in the mean if trials come in any order: ASHA's own rule, tried on shuffled values.

    More go on than one in `reduction_factor` while a search is young, as the first to come to a rung are all the best.
    """
    num_trials = min(num_trials, MANY_TRIALS)
    rng, total = np.random.default_rng(0), 0
    rungs = rung_epochs(max_epochs, grace_period, reduction_factor)
    shuffles = max(2, SHUFFLED_TRIALS // num_trials)
    for _ in range(shuffles):
        scheduler = RungScheduler(
            metric="value",
            mode="max",
            max_epochs=max_epochs,
            grace_period=grace_period,
            reduction_factor=reduction_factor,
            spared=range(spared),  # type: ignore[arg-type]  # the names of these trials are numbers
        )
        for number, value in enumerate(rng.permutation(num_trials)):
            trial = SimpleNamespace(trial_id=number)
            for epoch in (*rungs, max_epochs):
                result = {"training_iteration": epoch, "value": value}
                if scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP:
                    break
            total += epoch
    return total / num_trials / shuffles


def study_epochs(study: SettledStudy, num_trials: int) -> float:
    """`expected_epochs` of a study's ASHA."""
    spared = min(study.concurrency, MOST_SPARED)
    return expected_epochs(num_trials, study.epochs, study.grace_period, study.reduction_factor, spared)


def forecast(
    epoch_seconds: Sequence[float],
    *,
    num_trials: int,
    mean_epochs: float,
    concurrency: int,
    spread: float,
    epochs_behind: float = 0.0,
) -> Forecast:
    """What a search takes.

    Args:
        epoch_seconds: Seconds of an epoch, one a backbone.
        num_trials: Trials that are left.
        mean_epochs: Epochs of a trial in the mean.
        concurrency: Trials at the same time.
        spread: Factor either way for what is not known. A search that comes to prefer its slower or its faster half
            of backbones takes longer or less beside.
        epochs_behind: Epochs that come behind the trials, one after another.
    """
    ordered = sorted(epoch_seconds)
    half = -(-len(ordered) // 2)
    rounds = max(num_trials / min(concurrency, num_trials), 1.0) * mean_epochs + epochs_behind

    def seconds(epochs: Sequence[float], factor: float) -> float:
        return factor * (START_SECONDS + END_SECONDS + rounds * sum(epochs) / len(epochs))

    return Forecast(seconds(ordered, 1), seconds(ordered[:half], 1 / spread), seconds(ordered[-half:], spread))


def forecast_run(
    run: SearchRun, study: SettledStudy, facts: Mapping[str, ModelFacts], num_trials: int, epochs_behind: float = 0.0
) -> Forecast | None:
    """What a run will take for the trials that are left, by what earlier trials took, or a short timing.

    None where that cannot be known: on nodes of a kind that no trial has run on, without pictures or facts, and where
    each network is compiled first, for as long as that takes.
    """
    if not num_trials or not is_foreseeable(run, study):
        return None
    known = epoch_seconds(run, study, facts)
    return known and forecast(
        list(known[0].values()),
        num_trials=num_trials,
        mean_epochs=study_epochs(study, num_trials),
        concurrency=study.concurrency,
        spread=known[1],
        epochs_behind=epochs_behind,
    )


def is_foreseeable(run: SearchRun, study: SettledStudy) -> bool:
    """Whether the seconds of an epoch can be told at all: of known sides, networks as they are, known machines."""
    return (study.one_machine or bool(study.kinds)) and bool(run.data.get("sides")) and not run.task.compile


def epoch_seconds(
    run: SearchRun, study: SettledStudy, facts: Mapping[str, ModelFacts]
) -> tuple[dict[str, float], float] | None:
    """Seconds of an epoch of each backbone of a run, and the factor either way; None where that cannot be known."""
    try:
        speeds, remembered = images_per_second(run, study, facts)
    except (FactsError, KeyError, OSError, RuntimeError, subprocess.TimeoutExpired):
        return None
    sides = run.data["sides"]
    pictures = sides["train"]["pictures"] + sides["val"]["pictures"] / EVALUATION_SPEED
    pictures *= mean_networks(run.options.get("formulation"), len(run.task.attributes))
    seconds = {backbone: pictures / speed for backbone, speed in speeds.items()}
    return seconds, KNOWN_SPREAD if remembered else TIMED_SPREAD


def share_of_pace(most: int, at_a_time: int) -> float:
    """Epochs that so many trials at a time make together, as a share of those that the most make that have room."""
    return (min(at_a_time, most) / most) ** LOST_ALONE


def refuse_spent_budget(stop: StopRequest) -> None:
    """Raises a `UserError` if the preparation has taken all of the time budget: no epoch would be trained."""
    if not stop.seconds_left:
        raise UserError(
            "the time budget was over before the first trial could begin, preparation took all of it: give a longer "
            "--time-budget. Pictures that are decoded stay so, and the same command gets further next time"
        )


def refuse_long_epochs(run: SearchRun, study: SettledStudy, facts: Mapping[str, ModelFacts], stop: StopRequest) -> None:
    """Raises a `UserError` if not even the shortest epoch fits into what is left of the time budget.

    Said before a trial begins, and only where it is sure: with the forecast's spread in favour of the search, and of a
    trial that has all cores where it may have them (`suit_lengths`). Where the time alone ends the search, the part of
    an epoch that is scored when it is over counts as well.
    """
    if math.isinf(stop.seconds_left) or not is_foreseeable(run, study):
        return
    known = epoch_seconds(run, study, facts)
    refuse_spent_budget(stop)
    if known is None:
        return
    by_backbone, spread = known
    backbone = min(by_backbone, key=by_backbone.__getitem__)
    fewest = study.with_fewer_at_a_time(1).concurrency
    shares_of_one = study.concurrency / fewest * share_of_pace(study.concurrency, fewest)
    seconds = by_backbone[backbone] / shares_of_one
    if (SHORTEST_EPOCH if study.goes_on else 1.0) * seconds / spread > stop.seconds_left:
        raise UserError(
            f"one epoch of {backbone}, the fastest here, takes about {duration(seconds)}, the time budget "
            f"ends in {duration(stop.seconds_left)}: give a longer --time-budget, a smaller --image-size or smaller "
            "--backbones"
        )


def mean_networks(formulation: str | None, num_attributes: int) -> float:
    """Networks that a trial trains, in the mean over the formulations that are searched."""
    return {"separate": num_attributes, "search": (2 + num_attributes) / 3}.get(formulation or "", 1)


def images_per_second(
    run: SearchRun, study: SettledStudy, facts: Mapping[str, ModelFacts]
) -> tuple[Mapping[str, float], bool]:
    """Training speed of each backbone of a run in a trial, and whether all of them are remembered from trials.

    What no trial has trained yet is timed where it was timed before; else the default's backbone is, for a second or
    two, and the others follow by their activations, which tell a network's time better than its multiply-adds do
    (Radosavovic et al. 2020).
    """
    if not study.one_machine:
        return _speeds_on_nodes(run, study, facts)
    task, cache = run.task, study.cache_path
    sharers = sharers_of_a_gpu(study)
    known = {backbone: recall_trial(TrialSetting.of(backbone, task, "", sharers), cache) for backbone in run.weights}
    speeds = {backbone: took.images_per_second for backbone, took in known.items() if took is not None}
    missing = [backbone for backbone in run.weights if backbone not in speeds]
    if not missing:
        return speeds, True
    timed = {backbone: known_throughput(_default_steps(run, backbone), cache) for backbone in missing}
    share = TRIAL_SHARE / sharers  # at worst: a network that leaves the GPU idle loses less by others beside it
    speeds |= {backbone: share * speed for backbone, speed in timed.items() if speed is not None}
    if not speeds:
        first = run.points[0]["backbone"]
        apart = partial(time_apart, parts=task.parts)
        timed_on = measure_throughput if task.device == "cpu" else apart  # a GPU's memory is for the trials
        speeds[first] = share * timed_on(_default_steps(run, first), cache)
    return _by_activations(speeds, run.weights, facts), False


def _default_steps(run: SearchRun, backbone: str) -> StepSetting:
    """The steps of a backbone with the default configuration, which may not train its first stages."""
    task = run.task
    frozen = TrialConfig(**{**run.points[0], "backbone": backbone}).stages_frozen(task)
    size, batch, threads = task.image_size, task.batch_size, task.num_threads
    return StepSetting(backbone, size, batch, task.device, threads, task.precision, frozen)


def _speeds_on_nodes(
    run: SearchRun, study: SettledStudy, facts: Mapping[str, ModelFacts]
) -> tuple[Mapping[str, float], bool]:
    """Training speed of each backbone in the mean over the trials at a time, by what trials took on such nodes.

    Raises:
        FactsError: No trial has run on a kind of them: what this machine would take says nothing of it.
    """
    total, mean, remembered = sum(study.kinds.values()), dict.fromkeys(run.weights, 0.0), True
    for hardware, count in study.kinds.items():
        sharers = sharers_of_a_gpu(study)
        settings = {backbone: TrialSetting.of(backbone, run.task, hardware, sharers) for backbone in run.weights}
        took = {backbone: recall_trial(setting, study.cache_path) for backbone, setting in settings.items()}
        speeds = {backbone: each.images_per_second for backbone, each in took.items() if each is not None}
        if not speeds:
            raise FactsError(f"no trial has run on {hardware}")
        remembered &= len(speeds) == len(took)
        for backbone, speed in _by_activations(speeds, run.weights, facts).items():
            mean[backbone] += speed * count / total
    return mean, remembered


def _by_activations(
    speeds: Mapping[str, float], backbones: Iterable[str], facts: Mapping[str, ModelFacts]
) -> dict[str, float]:
    """The speeds that are known, and by them and what the networks put out those of the other backbones."""
    work = [speed * facts[backbone].activations for backbone, speed in speeds.items()]
    mean_work = sum(work) / len(work)
    return {backbone: speeds.get(backbone) or mean_work / facts[backbone].activations for backbone in backbones}


def time_apart(setting: StepSetting, cache_dir: Path, parts: Mapping[str, str]) -> float:
    """`measure_throughput` in a process of its own, which leaves nothing on the device.

    Args:
        setting: What is timed.
        cache_dir: Where it is remembered.
        parts: `TaskConfig.parts`: the network may be one of the user's own.

    Raises:
        FactsError: It failed there.
    """
    program = (
        "import sys, json, pathlib; from trainables.networks.known_costs import StepSetting, measure_throughput;"
        "from trainables.parts.loading import use_task_parts; use_task_parts(json.load(sys.stdin));"
        "print(measure_throughput(StepSetting(**json.loads(sys.argv[1])), pathlib.Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", program, json.dumps(asdict(setting)), str(cache_dir)]
    told: dict[str, Any] = {"cwd": ROOT, "input": json.dumps(dict(parts)), "timeout": TIMING_SECONDS}
    done = subprocess.run(command, capture_output=True, text=True, check=False, **told)
    if done.returncode:
        raise FactsError(f"{setting.backbone} could not be timed: {done.stderr.strip()}")
    return float(done.stdout.split()[-1])
