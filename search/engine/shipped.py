"""What comes with the project about where to start: what did well beside the default configuration, and on what.

`shipped.json` holds measured searches, each of a default configuration and others that differ from it in a setting or
two, trained equally long: what the mean of the answers of both gained over the default alone on validation. It is
written by `scripts/build_portfolio.py`, which also says how well such picks do on a data set that they do not know.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.records.record import SearchRun
from trainables.strict_json import load_object

SHIPPED = Path(__file__).with_name("shipped.json")
MOST_SHIPPED = 3
"""Configurations beside the default: with fewer trials than that a search is over."""
Change = tuple[tuple[str, Any], ...]
"""Settings that differ from the default's, by name."""
DOUBT = 1.0
"""Searches without a gain that every expectation starts from, as like this one as can be."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What a configuration's worth depends on, as far as a search knows it before its first trial."""

    pictures: int
    """To train on."""
    classes: int
    imbalance: float
    """The largest class over the smallest."""
    image_size: int
    """Pixels."""
    epochs: int
    """Of a full length."""

    def likeness(self, other: Situation) -> float:
        """How much what was measured in one counts in the other, 0 to 1: halved by a factor of two in one number."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return 1 / (1 + sum(abs(math.log2(own / others)) for own, others in pairs))


def situation_of(run: SearchRun, epochs: int) -> Situation:
    """That of a run whose trials have so many epochs."""
    return Situation(
        pictures=run.data["sides"]["train"]["pictures"],
        classes=len(run.task.classes),
        imbalance=run.data["imbalance"],
        image_size=run.task.image_size,
        epochs=epochs,
    )


@dataclass(frozen=True, kw_only=True)
class MeasuredSearch:
    """A default configuration and others beside it, of equal length."""

    space: str
    data: str
    """Name of the pictures."""
    seed: int
    situation: Situation
    gains: tuple[tuple[Mapping[str, Any], float], ...]
    """Settings that differ from the default's, and what its answers gained by those beside them, in macro-F1."""
    where: Mapping[str, Any]
    """Backbone, weights, date, commit and hardware."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MeasuredSearch:
        """Reads one of the file's searches."""
        gains = tuple((each["change"], float(each["gain"])) for each in values["gains"])
        return cls(**{**values, "situation": Situation(**values["situation"]), "gains": gains})

    def to_json(self) -> dict[str, Any]:
        """As strict JSON values."""
        gains = [{"change": dict(change), "gain": round(gain, 4)} for change, gain in self.gains]
        return {**vars(self), "situation": vars(self.situation), "gains": gains, "where": dict(self.where)}


def load_shipped(path: Path = SHIPPED) -> list[MeasuredSearch]:
    """The searches of the file."""
    return [MeasuredSearch.from_json(each) for each in load_object(path)["searches"]]


def beside(
    default: Mapping[str, Any], situation: Situation, searches: Iterable[MeasuredSearch]
) -> list[dict[str, Any]]:
    """Configurations that are expected to answer better together with the default, the best first.

    What a change gained in each search counts by how like the situation was; each expectation starts from `DOUBT`.

    Args:
        default: Of the space.
        situation: Of the search to come.
        searches: Of the same space.

    Returns:
        At most `MOST_SHIPPED`, none that is expected to gain nothing.
    """
    expected = expectations(situation, searches)
    order = sorted(expected, key=lambda change: -expected[change])
    points = [{**default, **dict(change)} for change in order if expected[change] > 0]
    return [point for point in points if point != default][:MOST_SHIPPED]  # the default of then may be another


def expectations(situation: Situation, searches: Iterable[MeasuredSearch]) -> dict[Change, float]:
    """What each change that was measured is expected to gain in a situation."""
    sums: dict[Change, list[float]] = {}
    for search in searches:
        weight = situation.likeness(search.situation)
        for change, gain in search.gains:
            found = sums.setdefault(_key(change), [0.0, DOUBT])
            found[0] += weight * gain
            found[1] += weight
    return {change: gain / weight for change, (gain, weight) in sums.items()}


def leave_one_out(searches: Sequence[MeasuredSearch]) -> list[tuple[MeasuredSearch, dict[str, Any], float]]:
    """For each search the first pick by those of the *other* data sets, and what it gained."""
    found = []
    for search in searches:
        known = expectations(search.situation, [each for each in searches if each.data != search.data])
        own = {_key(change): gain for change, gain in search.gains}
        picks = sorted((change for change in known if change in own), key=lambda change: -known[change])
        if picks:
            found.append((search, dict(picks[0]), own[picks[0]]))
    return found


def _key(change: Mapping[str, Any]) -> Change:
    return tuple(sorted(change.items()))
