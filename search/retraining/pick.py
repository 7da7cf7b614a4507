"""Which trial becomes the model however it ranks, such as a point of a search's Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console

from results.records.front import FrontPoint, cost_as_typed, cost_in_words, front_of, ms_in_words, short_count
from results.statistics.ranking import Ranked
from search.cost_flags import parameter_count
from search.machine.answering_limits import limits_in_words
from search.retraining.origin import Source
from search.terminal import say
from trainables.errors import UserError


def settled_pick(source: Source, words: str | None, console: Console) -> str | None:
    """The trial that becomes the model however it ranks; None where that is what ranks best.

    Args:
        source: The search.
        words: What --pick says, if anything.
        console: To say why the default configuration cannot be picked, where it may be beyond the limits of a search of
            which the record alone is left.

    Raises:
        UserError: As `picked`.
    """
    if words is not None:
        return picked(source, words).trial_id
    if source.default_fits:
        return None
    say(
        console,
        f"The default configuration, {source.default.backbone}, is compared, but cannot be picked: the record of "
        f"{source.name} does not tell whether it is within {limits_in_words(source.study.cost)}",
    )
    return source.trials[0].trial_id


def picked(source: Source, words: str) -> FrontPoint:
    """The point of the front that --pick names: a trial on it, or the best within a cost.

    Args:
        source: The search.
        words: A trial_id, `ms=10` or `parameters=3M`.

    Raises:
        UserError: The search has no front, or no such point; says which there are.
    """
    front = front_of(source.run, source.trials) if source.run is not None else []
    if not front:
        raise UserError(
            f"--pick {words}: the search {source.name} has no Pareto front here, which takes its run's folder and "
            "a search with --objective f1,ms or f1,parameters; --trial takes any trial"
        )
    name, is_limit, number = words.partition("=")
    if is_limit:
        return _best_within(front, name.strip(), number, words)
    for point in front:
        if point.trial_id == words:
            return point
    raise UserError(f"--pick {words}: no such point; {_in_words(front)}. Or the best within a cost, as in ms=10")


def picked_first(ranking: Sequence[Ranked], trial_id: str) -> list[Ranked]:
    """The ranking with a picked trial before all others; empty if it could not be trained again."""
    first = [ranked for ranked in ranking if ranked.candidate.name == trial_id]
    return [*first, *(ranked for ranked in ranking if ranked not in first)] if first else []


def _best_within(front: Sequence[FrontPoint], name: str, number: str, words: str) -> FrontPoint:
    if name == "parameters":
        most = float(parameter_count(number, f"--pick {name}="))
    elif name == "ms":
        try:
            most = float(number)
        except ValueError:
            most = math.nan
        if not 0 < most < math.inf:
            raise UserError(f"--pick {words}: give a number of milliseconds above 0, as in ms=10")
    else:
        raise UserError(f"--pick {words}: give a trial on the front, ms=10 or parameters=3M")
    within = [point for point in front if min(point.cost(name), _as_shown(point.cost(name), name)) <= most]
    if not within:
        raise UserError(f"--pick {words}: no point takes at most {cost_in_words(most, name)}; {_in_words(front)}")
    return max(within, key=lambda point: point.val_score)


def _as_shown(cost: float, name: str) -> float:
    """A cost with the digits that a user sees, who types them."""
    shown = cost_as_typed(cost, name).partition("=")[2]
    return float(shown) if name == "ms" else parameter_count(shown, f"--pick {name}=")


def _in_words(front: Sequence[FrontPoint]) -> str:
    points = "; ".join(
        f"{point.trial_id} {point.backbone}, score {point.val_score:.4f}, {ms_in_words(point)}, "
        f"{short_count(point.parameters)} parameters"
        for point in front
    )
    return f"the front is {points}"
