"""What `throughput.py` measured, as Markdown and a figure: pure functions of the numbers that it keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from types import SimpleNamespace
from typing import Any

from matplotlib.figure import Figure

from results.pages.markdown import render_markdown_table
from scripts.benchmarks.epoch_costs import AUGMENTATIONS, COPIES, FLOOR, FLOOR_VAL, VAL, Costs

LIBRARIES_IN_WORDS = "torch, timm and ray"
TARGET_NO_AUGMENTATION, TARGET_DEFAULT = 0.9, 0.8
"""Least share of the floor's speed that training and validation keep."""
TARGET_START_SECONDS = 3.0
"""Most that a start with a warm cache may take beyond importing the libraries in the driver and in a worker."""
TARGET_CACHE = 400
"""Least pictures of 384x512 that a core decodes a second."""


def render(numbers: Mapping[str, Any]) -> str:
    """The numbers as Markdown: whole searches, the steady state, where the time goes, start and cache."""
    config = SimpleNamespace(**numbers["config"])
    costs, images, facts = numbers["costs"], numbers["images_per_epoch"], numbers["facts"]
    cold, warm = numbers["searches"]["cold"], numbers["searches"]["warm"]
    floor = floor_seconds(numbers)
    total = images * config.trials * config.epochs
    lines = [
        f"{facts['pictures']:,} pictures ({facts['sides']['train']['pictures']:,} to train on, "
        f"{facts['sides']['val']['pictures']:,} to validate on), {config.backbone} at {config.image_size} px from "
        f"random weights, batches of {config.batch_size}, {config.trials} trials of {config.epochs} epochs, "
        f"{config.concurrency} at a time with one thread each; {numbers['machine']}, {numbers['when']}, "
        f"n = {len(cold)} turns, as median [lowest, highest].",
        "",
    ]
    faster, plain = min(numbers["plain"].items(), key=lambda pair: median(pair[1]))
    rows = [*numbers["plain"].items()]
    rows += [(f"**ours, {kind}**", [search["seconds"] for search in numbers["searches"][kind]]) for kind in KINDS]
    rows.append(("arithmetic alone (epochs of the floor, nothing else)", floor))
    table: list[Sequence[str]] = []
    for what, seconds in rows:
        ratios = [base / one for base, one in zip(plain, seconds, strict=True)]
        table.append((what, _spread(seconds), f"{total / median(seconds):,.0f}", _spread(ratios, 2)))
    head: Sequence[str] = (
        "whole search, from the start of the process to its end",
        "seconds",
        "images/s",
        "as fast as plain",
    )
    lines.append(render_markdown_table(head, table))
    verdicts = []
    if config.target:
        against = numbers["plain"].get(plain_name(0), plain)
        ratio = median(base / search["seconds"] for base, search in zip(against, cold, strict=True))
        verdicts.append((f"from cold, times as fast as {plain_name(0)}", ratio, config.target, ratio >= config.target))
    lines += ["", f"The faster of the plain scripts is {faster}; ratios are to it.", ""]
    table = [(FLOOR, _spread(costs[FLOOR], 3), "1")]
    for name in AUGMENTATIONS:
        shares = steady_shares(costs, name)
        table.append((name, _spread(costs[name], 3), _spread(shares, 3)))
        least = {"no augmentation": TARGET_NO_AUGMENTATION, "default": TARGET_DEFAULT}.get(name)
        if least:
            share = median(shares)
            verdicts.append((f"steady state, {name}, of the floor", share, least, share >= least))
    head = ("steady state, processor seconds an epoch", "training", "share of the floor, with validation")
    lines += [
        render_markdown_table(head, table),
        "",
        f"Validation takes {_spread(costs[VAL], 3)} s an epoch (floor {_spread(costs[FLOOR_VAL], 3)}); "
        f"batches without a network {_spread(costs[COPIES], 3)}.",
        "",
    ]
    table = [
        (phase, *(_spread([search["phases"][phase] for search in numbers["searches"][kind]]) for kind in KINDS))
        for phase in cold[0]["phases"]
    ]
    lines.append(render_markdown_table(("where a search's time goes, seconds", *KINDS), table))
    beyond = [search["first_step"] - 2 * one for search, one in zip(warm, numbers["imports"], strict=True)]
    least = median(beyond)
    verdicts.append(("warm start beyond two imports, s", least, TARGET_START_SECONDS, least <= TARGET_START_SECONDS))
    lines += [
        "",
        f"With the cache there the first training step comes after {_spread([s['first_step'] for s in warm])} s; "
        f"importing {LIBRARIES_IN_WORDS} takes {_spread(numbers['imports'])} s.",
    ]
    speeds = [
        facts["pictures"] / max(search["phases"]["cache"], 1e-9) / numbers["cores"]
        for search in cold
        if search["phases"]["cache"]
    ]
    if speeds:
        lines.append(f"The cache decoded {_spread(speeds, 0)} pictures a second and core.")
        if config.pictures == "drawn" and not config.data:
            speed = median(speeds)
            verdicts.append(("cache, pictures a second and core", speed, TARGET_CACHE, speed >= TARGET_CACHE))
    table = [
        (what, f"{got:.3g}", f"{wanted:g}", "reached" if reached else "**missed**")
        for what, got, wanted, reached in verdicts
    ]
    lines += ["", render_markdown_table(("target", "measured", "wanted", ""), table)]
    return "\n".join(lines) + "\n"


KINDS = ("cold", "warm")


def floor_seconds(numbers: Mapping[str, Any]) -> list[float]:
    """What all epochs of all trials take where there is nothing but the network's arithmetic."""
    config, costs = SimpleNamespace(**numbers["config"]), numbers["costs"]
    rounds = config.epochs * config.trials / config.concurrency
    return [rounds * (train + val) for train, val in zip(costs[FLOOR], costs[FLOOR_VAL], strict=True)]


def steady_shares(costs: Costs, name: str) -> list[float]:
    """Speed of the train loop's epochs with this augmentation, validation included, as share of the floor's."""
    parts = zip(costs[FLOOR], costs[FLOOR_VAL], costs[name], costs[VAL], strict=True)
    return [(floor + floor_val) / (train + val) for floor, floor_val, train, val in parts]


def draw(numbers: Mapping[str, Any]) -> Figure:
    """Whole searches as bars; ours with what they consist of, training divided by what the parts of an epoch cost."""
    config = SimpleNamespace(**numbers["config"])
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
    axes.barh(len(names) - 1, median(floor_seconds(numbers)), color=chosen["arithmetic"])
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
    divided: dict[str, float] = {}
    for name, seconds in phases.items():
        if name == "validation":
            divided |= {"arithmetic": training * arithmetic, "copies": training * copies}
            divided |= {"augmentation": training * augmentation}
            divided |= {"clipping, metrics, schedule": training * (1 - arithmetic - copies - augmentation)}
        divided[name] = max(0.0, seconds)
    return divided


def plain_name(workers: int) -> str:
    """The plain script with so many processes a loader, in words."""
    return f"plain, {workers} DataLoader workers" if workers != 1 else "plain, 1 DataLoader worker"


def _spread(values: Sequence[float], digits: int = 1) -> str:
    middle, low, high = (f"{value:,.{digits}f}" for value in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} [{low}, {high}]"
