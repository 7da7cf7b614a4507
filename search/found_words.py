"""What a search found, in words: what its best score is worth, and what its model is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from results.records.found import Found
from results.statistics.bootstrap import Interval
from results.statistics.ensemble import SINGLE, USUAL_GAIN
from trainables.second_view import IN_WORDS


def worth_in_words(found: Found, units: str = "people") -> str:
    """What the best validation score is worth; empty where the answers were not kept.

    Args:
        found: What the search found.
        units: `SearchRun.units`.
    """
    if found.val_interval is None or found.val_corrected is None:
        return ""
    interval, corrected = (Interval.from_json(each) for each in (found.val_interval, found.val_corrected))
    epochs = f"{found.epochs} epoch{'s' * (found.epochs > 1)}"
    trials = f"{found.trials} trial{'s' * (found.trials > 1)}"
    return (
        f"What that score is worth: 95% interval over {found.people} {units} {interval}. It is the best of "
        f"{epochs} of {trials}, so it flatters; picked on some {units} and scored on others, it is "
        f"{corrected}"
    )


def model_in_words(found: Found, units: str = "people") -> str:
    """What the model is made of, what that gains and what it costs.

    Args:
        found: What the search found.
        units: `SearchRun.units`.
    """
    names = ", ".join(f"{member['trial_id']} ({member['share']:.0%})" for member in found.members)
    chosen = found.selection
    if len(found.members) == 1:
        words = f"trial {found.members[0]['trial_id']} alone"
    elif chosen is None or chosen["method"] == SINGLE:
        words = f"{len(found.members)} trainings of one configuration, which are better together, {names}"
    else:
        words = (
            f"{chosen['method']}, {names}: {_gain(chosen['gain'])} against the best configuration alone on {units} "
            f"not used to choose{_why_all_the_same(chosen)}"
        )
    if chosen is not None and chosen["method"] == SINGLE and len(chosen["crossfit"]) > 1:
        words += f"; the best ensemble was no better on {units} not used to choose: {_gain(chosen['gain'])}"
    words += f". It takes {found.model_bytes / 1e6:.1f} MB"
    if found.takes_longer:
        words += f" and about {found.time_factor:.1f} times the time of one network"
    if found.second_view:
        words += f", each asked for {IN_WORDS[found.second_view]}, too (--no-mirror leaves that out)"
    if found.refit_epochs:
        words += f". {found.refit_in_words} (--no-refit leaves that out)"
    if found.chosen_among:
        words += f". It was limited to {found.chosen_among}"
    if found.tau:
        assert found.selection is not None
        words += (
            f". Answers are divided by the prior to the power of {found.tau:g}, which gains "
            f"{_gain(found.selection['rule_gain'])}"
        )
    return words


def _why_all_the_same(selection: Mapping[str, Any]) -> str:
    """Why an ensemble is taken that gained nothing on the few people there are; empty where it did."""
    few = f"; it is taken all the same: they are few, and such trials gained {USUAL_GAIN:.3f} elsewhere".replace(
        "0.", "."
    )
    return "" if selection["gain"]["value"] > 0 else few


def _gain(values: dict[str, float | None]) -> str:
    interval = Interval.from_json(values)
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
