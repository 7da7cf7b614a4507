"""The last table of a search with two objectives: its Pareto front."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from results.records.front import (
    FrontPoint,
    answering,
    cost_as_typed,
    front_of,
    ms_in_words,
    named,
    second_objective,
    short_count,
)
from results.records.record import SearchRun
from results.records.trials import TrialHistory
from search.terminal import say, say_result
from trainables.metric_names import in_words


def say_front(run: SearchRun, trials: Sequence[TrialHistory], retrain: str, console: Console) -> None:
    """Prints the points of the front, the cheapest first, and how to take one; nothing where there is none.

    Args:
        run: The search.
        trials: Its trials.
        retrain: The command that trains its best again.
        console: Where it is said.
    """
    front, costs = front_of(run, trials), answering(run)
    if not front or costs is None:
        return
    metric = in_words(run.task.metric)
    say_result(
        console,
        f"Pareto front of validation {metric} and {second_objective(run)}, {len(front)} of {len(trials)} trials; one "
        f"picture on {costs.where}:",
    )
    console.print(front_table(front, metric))
    name = second_objective(run) or "ms"
    within = cost_as_typed(front[len(front) // 2].cost(name), name)
    point = front[0].trial_id
    say(console, f"To take a point: {retrain} --pick {point}, or the best within a cost: {retrain} --pick {within}")


def front_table(front: Sequence[FrontPoint], metric: str) -> Table:
    """The points in rows."""
    table = Table("trial", "backbone", box=None)
    for name in (metric, "ms (spread)", "parameters"):
        table.add_column(name, justify="right")
    for point in front:
        table.add_row(
            point.trial_id,
            named(point),
            f"{point.val_score:.4f}",
            ms_in_words(point).replace(" ms", ""),
            short_count(point.parameters),
        )
    return table
