"""What networks cost once they answer: parameters, and the milliseconds of one picture, with their spread.

A network is a backbone in a formulation, for the classes and the image size of a search. `measure_answers` finds out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class AnsweringCost:
    """What one network costs to answer."""

    backbone: str
    formulation: str
    parameters: int
    """With the classifier of the search's classes, all networks of a trial together."""
    ms: float
    """Milliseconds of one picture, the median over the passes."""
    ms_low: float
    """The fastest tenth of the passes takes at most this."""
    ms_high: float
    """The slowest tenth of the passes takes at least this."""

    def named(self, name: str) -> float:
        """A cost by its name, ms or parameters."""
        return self.ms if name == "ms" else float(self.parameters)


@dataclass(frozen=True)
class AnsweringCosts:
    """What the networks of a search cost to answer."""

    where: str
    """What the time was measured on, in words."""
    networks: tuple[AnsweringCost, ...]

    def of(self, config: Mapping[str, Any]) -> AnsweringCost | None:
        """The cost of a configuration's network; None where it was not measured."""
        name = (config.get("backbone"), config.get("formulation", "joint"))
        return next((each for each in self.networks if (each.backbone, each.formulation) == name), None)

    def to_json(self) -> dict[str, Any]:
        """As strict JSON values."""
        return {"where": self.where, "networks": [asdict(each) for each in self.networks]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AnsweringCosts:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: It is something else.
        """
        try:
            return cls(values["where"], tuple(AnsweringCost(**each) for each in values["networks"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not what networks cost to answer ({error!r})") from error
