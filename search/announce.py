"""What a search says before its first trial: what is searched, on what, what to mind, and how long it will take."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace

from rich.console import Console

from results.records.cost import duration
from results.records.front import answering
from search.machine.answering_limits import costs_in_words, most_kept
from search.machine.forecast import Forecast, forecast_run
from search.machine.memory_needs import largest_trial, most_networks
from search.open_run import OpenRun
from search.refit_time import epochs_without_budget
from search.study import SettledStudy
from search.terminal import say, warn
from trainables.config import TaskConfig
from trainables.data.split import load_split, render_split
from trainables.metric_names import in_words
from trainables.networks.known_costs import ModelFacts

CURVES_ADDRESS = "http://localhost:6006/?tagFilter=%5E(macro_f1%7Closs)#timeseries"
"""Where TensorBoard shows macro-F1 and losses alone: the F1 of every class fills pages."""

WITH_VALIDATION = "with the validation pictures as well"
"""How the model is trained further at the end."""


def announce(opened: OpenRun, console: Console) -> None:
    """Prints where the run is, what is searched on which pictures, every warning, and the forecast."""
    folder = opened.folder.path
    say(console, f"Run {opened.run.name} in {folder}")
    say(console, f"Watch it: tensorboard --logdir {shlex.quote(str(folder.parent))}, then {CURVES_ADDRESS}")
    describe(opened, console)


def describe(opened: OpenRun, console: Console) -> None:
    """Prints what is searched on which pictures, every warning, and the forecast."""
    run, folder, study = opened.run, opened.folder, opened.study
    task, data = run.task, run.data
    say(console, f"Data: {data['layout']}, {data['source']}, {len(task.classes)} classes")
    if data["corrected"]:
        say(console, f"Corrections changed {data['corrected']} rows")
    say(console, render_split(load_split(folder.split_csv)))
    if data["skipped"]:
        warn(
            console,
            f"Bad pictures left out: {len(data['skipped'])}, all named in run.json; the first: {data['skipped'][0]}",
        )
    if data.get("decoded"):
        say(console, f"Decoded: {'; '.join(data['decoded'])}")
    for warning in filter(None, [*opened.warnings, run.weights_note]):
        warn(console, warning)
    say(
        console,
        f"Search: space {run.space}, {how_many(run.trials_asked, study)} of {'' if study.goes_on else 'up to '}"
        f"{task.epochs} epoch{'s' * (task.epochs > 1)}{' and more' * study.goes_on} at {task.image_size} px, "
        f"batches of {task.batch_size}, seed {task.seed}, {_metric(task)}{run.hardware}",
    )
    if largest := largest_trial(run, opened.facts.known):
        say(console, largest)
    costs = answering(run)
    if costs is not None:
        say(console, costs_in_words(costs))
    keeping = replace(study, keep=most_kept(study, costs))
    if kept := kept_weights(keeping, opened.facts.known, most_networks(opened.space.formulations, task.attributes)):
        say(console, kept)
    say(console, at_a_time(study))
    say(console, f"Starts from {run.history}")
    if opened.earlier:
        say(console, f"Goes on after {len(opened.earlier)} earlier trial{'s' * (len(opened.earlier) > 1)}")
    if study.fills_its_budget:
        last = f"; the last {duration(opened.refit_seconds)} train the model further, {WITH_VALIDATION}"
        words = f"Forecast: the time budget ends it, after {duration(study.time_budget_seconds)}"
        say(console, words + last * bool(opened.refit_seconds))
        return
    behind = epochs_without_budget(run, study) if opened.num_left else 0.0
    foreseen = forecast_run(run, study, opened.facts.known, opened.num_left, behind)
    say_forecast(foreseen, study.time_budget_seconds, console)
    if behind:
        say(console, f"At its end the model is trained further, {WITH_VALIDATION} (--no-refit leaves that out)")


def _metric(task: TaskConfig) -> str:
    return "" if task.metric == "macro_f1" else f"for {in_words(task.metric)}, "


def kept_weights(study: SettledStudy, facts: Mapping[str, ModelFacts], num_networks: int) -> str:
    """How much disk the weights take that stay after the search, and their model; empty where that is not known."""
    if not (study.keep and facts):
        return ""
    most = 4 * num_networks * max(each.parameters for each in facts.values())
    size = f"up to {study.keep * most / 1e6:,.0f} MB"
    return (
        f"Weights that stay on disk: {size} for the best {study.keep} trial{'s' * (study.keep > 1)} (--keep), and at "
        "most as much again for the model made of them"
    )


def at_a_time(study: SettledStudy) -> str:
    """How many trials run at the same time, and what each has of the machine."""
    trials, cores, gpus = study.concurrency, study.cpus_per_trial, study.gpus_per_trial
    parts = [f"{cores} core{'s' * (cores > 1)}"]
    if gpus:
        whole = abs(1 / gpus - round(1 / gpus)) < 1e-9
        share = f"1/{round(1 / gpus)}" if whole else f"{gpus:g}"
        parts.append(f"{share} of a GPU" if gpus < 1 else f"{gpus:g} GPU")
    return f"At a time: {trials} trial{'s' * (trials > 1)} with {' and '.join(parts)}{' each' * (trials > 1)}"


def how_many(num_trials: int, study: SettledStudy) -> str:
    """The number of trials in words."""
    trials = f"{num_trials} trial{'s' * (num_trials > 1)}"
    return "as many trials as fit into the time," if study.fills_its_budget else trials


def say_forecast(forecast: Forecast | None, time_budget_seconds: float, console: Console) -> None:
    """Prints how long it will take, as far as that is known; `Forecast` says how it is known."""
    if forecast is None:
        return
    ends = ""
    if time_budget_seconds < forecast.high:
        ends = f"; the time budget may end it after {duration(time_budget_seconds)}"
    say(console, f"Forecast: {forecast}{ends}")
