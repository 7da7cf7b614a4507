"""The knobs of a space, read off the space itself: ranges from running it, sources from its docstrings."""

from __future__ import annotations

import functools
import inspect
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from spaces import SPACES, get_space
from spaces.sampling import RecordedTrial, at_share
from trainables.config import TrialConfig

NUM_SAMPLES = 400
"""Enough that each of 40 backbones comes up about ten times."""
LISTED = 6
"""More values of a choice than these are counted, not listed."""
MOST_VALUES = 100
"""A knob that took more values than these decides nothing about another."""


@dataclass(frozen=True)
class Knob:
    """One name that a space suggests."""

    name: str
    range: str
    """In words."""
    share: float
    """Of all samples, those in which it was suggested; 1 for a knob that always is."""
    condition: str
    """When it is suggested, in words; empty for always, and where no single knob decides it."""
    source: str
    """What the docstrings say of its range; empty if nothing, or if it has but one value."""
    searched: bool
    """Whether it has more than one value."""


@functools.cache
def knobs_of(name: str) -> tuple[Knob, ...]:
    """The knobs of a space, by its name or as `path/to/file.py:function`, in the order in which they are suggested."""
    suggest: Any = get_space(name).suggest
    trials = _sample(suggest)
    sources = sources_of(SPACES.get(name) or suggest.module)
    order = {knob: None for trial in trials for knob in trial.distributions}  # a dict keeps the order
    knobs = []
    for knob in order:
        spreads = [trial.distributions[knob] for trial in trials if knob in trial.distributions]
        searched = not all(spread.single() and spread == spreads[0] for spread in spreads)
        knobs.append(
            Knob(
                name=knob,
                range=_range(spreads),
                share=len(spreads) / len(trials),
                condition=_condition(knob, trials) if len(spreads) < len(trials) else "",
                source=sources.get(knob, "") if searched else "",
                searched=searched,
            )
        )
    return tuple(knobs)


def searched_knobs(name: str) -> tuple[str, ...]:
    """The knobs of a space that have more than one value, without the backbone."""
    return tuple(knob.name for knob in knobs_of(name) if knob.searched and knob.name != "backbone")


def sources_of(module: ModuleType) -> dict[str, str]:
    """What the docstrings of a space say of each knob.

    An entry begins with a field of `TrialConfig` and a colon (several fields with commas and "and" between), and
    ends at the next entry or at an empty line. Entries of the space's own functions come before those of the functions
    that it has from elsewhere, and these before those of its families.
    """
    found: dict[str, str] = {}
    for place in (*getattr(module, "FAMILIES", ()), module):
        functions = [value for name, value in vars(place).items() if name.startswith("suggest") and callable(value)]
        for function in sorted(functions, key=lambda function: function.__module__ == place.__name__):
            found |= _entries(inspect.getdoc(function) or "")
    return found


def _entries(text: str) -> dict[str, str]:
    field = "|".join(sorted(TrialConfig.__dataclass_fields__, key=len, reverse=True))
    begin = re.compile(rf"(?:(?<=\s)|^)((?:{field})(?:(?:, | and )(?:{field}))*): ")
    found: dict[str, str] = {}
    for paragraph in re.split(r"\n\s*\n", text.partition("\nArgs:")[0]):
        words = " ".join(paragraph.split())
        entries = list(begin.finditer(words))
        for entry, following in itertools.zip_longest(entries, entries[1:]):
            end = following.start() if following else len(words)
            said = words[entry.end() : end].strip()
            found |= dict.fromkeys(re.split(r", | and ", entry[1]), said)
    return found


def _sample(suggest: Callable[[Any], Any]) -> list[RecordedTrial]:
    rng = np.random.default_rng(0)
    trials = [RecordedTrial(lambda _, spread: at_share(spread, rng.random())) for _ in range(NUM_SAMPLES)]
    for trial in trials:
        suggest(trial)
    return trials


def _range(spreads: Sequence[BaseDistribution]) -> str:
    """The ranges that one knob had in all samples, as one."""
    first = spreads[0]
    if isinstance(first, CategoricalDistribution):
        choices = {value: None for spread in spreads for value in getattr(spread, "choices", ())}
        return _listed(list(choices))
    assert isinstance(first, FloatDistribution | IntDistribution)
    low, high = (pick(getattr(spread, end) for spread in spreads) for pick, end in ((min, "low"), (max, "high")))
    if low == high:
        return _word(low)
    step = f" by {first.step:g}" if first.step and not (isinstance(first, IntDistribution) and first.step == 1) else ""
    return f"{low:g} to {high:g}{step}{', log' if first.log else ''}"


def _condition(knob: str, trials: Sequence[RecordedTrial]) -> str:
    """The one other knob whose value decides whether this one is suggested; empty if none does."""
    found = []
    for other in {name for trial in trials for name in trial.params}:
        having = {trial.params.get(other) for trial in trials if knob in trial.params}
        lacking = {trial.params.get(other) for trial in trials if knob not in trial.params}
        if other == knob or having & lacking or len(having | lacking) > MOST_VALUES or None in having:
            continue
        if lacking == {None}:
            continue  # they only come together
        found.append((len(having | lacking), other, _is_one_of(other, having, lacking - {None})))
    return min(found)[2] if found else ""


def _is_one_of(name: str, having: set, lacking: set) -> str:
    if all(isinstance(value, int | float) for value in having | lacking) and len(having) > 1:
        if lacking and min(having) > max(lacking):
            return f"{name} > {max(lacking):g}"
        if lacking and max(having) < min(lacking):
            return f"{name} < {min(lacking):g}"
    if lacking and len(lacking) < len(having):
        return f"{name} is not {_listed(sorted(lacking, key=str), 'or')}"
    return f"{name} is {_listed(sorted(having, key=str), 'or')}"


def _listed(values: Sequence[Any], between: str = "") -> str:
    if len(values) > LISTED:
        return f"one of {len(values)}"
    words = [_word(value) for value in values]
    return f" {between} ".join(words) if between else ", ".join(words)


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
