"""What the ranking of a re-training with a time budget came to, for as long as its final trainings go on.

A budget starts anew with each command. One that goes on after a kill would find its rounds done, think that there is
time for more of them, and train another pick, or the pick for other epochs, than the one it was at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console

from results.statistics.ranking import Ranked, repeats_in_words
from search.retraining.durations import Durations
from search.retraining.plan import Retraining
from search.terminal import say
from trainables.errors import UserError
from trainables.strict_json import load_object, save_object

SETTLED = "settled.json"


def remember(asked: Durations, retraining: Retraining, ranking: Sequence[Ranked]) -> None:
    """Writes down what was settled, if a time budget had a say in it.

    Args:
        asked: What the command asked for.
        retraining: What it came to.
        ranking: Of the candidates that could be trained; those that failed are not tried again.
    """
    if asked.have_end:
        names = [ranked.candidate.name for ranked in ranking]
        values = {"asked": _in_json(asked), "candidates": names, "final_seeds": retraining.final_seeds}
        save_object(retraining.folder / SETTLED, {**values, "rounds": len(retraining.seeds)})


def recall(asked: Durations, console: Console) -> Durations | None:
    """What the same command settled before it was interrupted; None where nothing was, or something else was asked for.

    Args:
        asked: What the command asks for.
        console: To say so.
    """
    retraining = asked.retraining
    try:
        known = load_object(retraining.folder / SETTLED)
    except (OSError, UserError):  # there is none, or none that can be read: it is settled again
        return None
    if not asked.have_end or known.get("asked") != _in_json(asked):
        return None
    seeds = retraining.seeds[: known["rounds"]]
    finals = f"{known['final_seeds']} final training{'s' * (known['final_seeds'] > 1)}"
    say(console, f"Goes on as was settled before: {repeats_in_words(seeds, retraining.folds)}, then {finals}")
    listed = [candidate for candidate in retraining.candidates if candidate.name in known["candidates"]]
    settled = replace(retraining, candidates=listed, seeds=seeds, final_seeds=known["final_seeds"])
    return replace(asked, retraining=settled, ends=math.inf)


def _in_json(asked: Durations) -> dict[str, Any]:
    retraining = asked.retraining
    return {
        "budget": asked.budget,
        "candidates": [candidate.name for candidate in retraining.candidates],
        "epochs": retraining.task.epochs,
        "pick": retraining.pick,
        "seeds": list(retraining.seeds),
        "folds": retraining.folds,
        "final_seeds": retraining.final_seeds,
        "final_seeds_open": retraining.final_seeds_open,
        "everyone": asked.everyone,
        "ranks_only": asked.ranks_only,
    }
