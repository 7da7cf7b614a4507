"""What a model may do to answer where what it costs is limited, or counts beside its score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from results.records.front import answering, cost_in_words, second_objective
from results.records.record import SearchRun
from results.records.trials import TrialHistory
from search.cost_flags import CostFlags
from search.study import AskedStudy
from trainables.config import TrialConfig
from trainables.parts.registry import decision_of, in_use
from trainables.second_view import NONE, learned_view


def may_answer_together(run: SearchRun, there: Sequence[TrialHistory]) -> tuple[list[TrialHistory], str]:
    """Of the trials that have weights those of which a model may be put together, so that any choice is within bounds.

    Networks that answer together take their times and sizes together. Within limits the best trial comes first, and
    then every one that still fits beside those before it. Where the cost counts beside the score, the best answers
    alone: a front says what single networks are worth.

    Args:
        run: The search.
        there: Its trials whose weights are there, the best first.

    Returns:
        The trials in their order, and why they are not all; empty if they are.
    """
    costs, flags = answering(run), AskedStudy.restored(run.options).cost
    if costs is None or not there:
        return list(there), ""
    if second_objective(run) is not None:
        return [there[0]], f"one network alone, as --objective {flags.objective} says what single networks are worth"
    most = {"ms": flags.max_ms or math.inf, "parameters": flags.most_parameters or math.inf}
    total = dict.fromkeys(most, 0.0)
    fitting: list[TrialHistory] = []
    for trial in there:
        cost = costs.of(vars(trial.config))
        if cost is None:
            continue
        if not fitting or all(total[name] + cost.named(name) <= limit for name, limit in most.items()):
            total = {name: total[name] + cost.named(name) for name in total}
            fitting.append(trial)
    if len(fitting) == len(there):
        return fitting, ""
    asked = " and ".join(
        words
        for words, is_given in (
            (f"--max-ms {flags.max_ms:g}" if flags.max_ms else "", flags.max_ms),
            (f"--max-parameters {flags.max_parameters}", flags.max_parameters),
        )
        if is_given
    )
    taken = " and ".join(cost_in_words(total[name], name) for name, limit in most.items() if math.isfinite(limit))
    room = "one network alone" if len(fitting) == 1 else f"the {len(fitting)} best networks that fit together"
    return fitting, f"{room}, as {asked} is for the whole model: {taken}"


def second_view(run: SearchRun | None, configs: Iterable[TrialConfig], cost: CostFlags | None = None) -> str:
    """What a model may answer to beside the middle of each picture, which takes twice the time; see `learned_view`.

    Nothing where the search looked at milliseconds, or a decision rule of the user's own is in use, which decides on
    one view.

    Args:
        run: The search; None where only its record is left.
        configs: What its networks were trained with.
        cost: What it asked of their costs; by default what its run tells.
    """
    if cost is None:
        cost = CostFlags() if run is None else AskedStudy.restored(run.options).cost
    if decision_of(in_use()) is not None or cost.max_ms is not None or cost.second == "ms":
        return NONE
    return learned_view(configs)
