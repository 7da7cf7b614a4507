"""What a network may cost to answer, as flags: limits on its size and its time, and whether they count beside F1."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from search.flags import help_default
from trainables.errors import UserError

OBJECTIVES = ("f1", "f1,ms", "f1,parameters")
"""What a search may look for; the first of each is the score."""
COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmM]?)")
"""A number of parameters, or a number with its unit."""
_UNITS = {"": 1, "k": 1e3, "m": 1e6}


@dataclass(frozen=True, kw_only=True)
class CostFlags:
    """What a network may cost to answer, and whether that counts beside its score."""

    max_parameters: Annotated[str | None, help_default("no limit")] = None
    """Most parameters of the network of a trial, and of the model that the search leaves: a number, or with k or M, as
    in 5M. Backbones beyond it are left out."""
    max_ms: Annotated[float | None, help_default("no limit")] = None
    """Most milliseconds that the network of a trial, and the model that the search leaves, takes for one picture (batch
    of 1, --image-size, on a CPU one thread), measured before the first trial. Backbones beyond it are left out."""
    ms_device: Annotated[Literal["cpu", "cuda"] | None, help_default("the kind that trials have")] = None
    """Device on which this machine measures those milliseconds."""
    objective: str = "f1"
    """f1; or f1,ms or f1,parameters: both count, and the search leaves a Pareto front, of which retrain.py --pick takes
    a point."""

    def __post_init__(self) -> None:
        self.most_parameters  # noqa: B018 - raises for a malformed one
        if self.max_ms is not None and not 0 < self.max_ms < math.inf:
            raise UserError(f"--max-ms is {self.max_ms:g}: it must be a number of milliseconds above 0")
        if self.objective.replace(" ", "") not in OBJECTIVES:
            raise UserError(f"--objective is {self.objective!r}: it must be one of {'; '.join(OBJECTIVES)}")
        if self.ms_device is not None and self.max_ms is None and self.second != "ms":
            raise UserError("--ms-device says where milliseconds are measured: give --max-ms or --objective f1,ms too")

    @property
    def most_parameters(self) -> int | None:
        """`max_parameters` as a number; None where there is no limit."""
        return None if self.max_parameters is None else parameter_count(self.max_parameters, "--max-parameters")

    @property
    def second(self) -> str | None:
        """What counts beside the score: ms, parameters, or None."""
        return self.objective.replace(" ", "").partition(",")[2] or None

    @property
    def are_asked(self) -> bool:
        """Whether anything here needs to know what networks cost."""
        return self.max_parameters is not None or self.max_ms is not None or self.second is not None


def parameter_count(words: str, where: str) -> int:
    """A number of parameters as it is typed, such as 5M.

    Args:
        words: What was typed.
        where: The flag, for a message.

    Raises:
        UserError: It is no such number, or below 1.
    """
    match = COUNT.fullmatch(words.strip())
    count = round(float(match[1]) * _UNITS[match[2].lower()]) if match is not None else 0
    if count < 1:
        raise UserError(f"{where} {words!r}: give a number of parameters above 0, or with k or M, as in 5M")
    return count
