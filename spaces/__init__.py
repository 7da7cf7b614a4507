"""Search spaces: functions from an Optuna trial to a `TrialConfig`, one file a space, named like `--space`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import optuna

from spaces import baseline, efficientnet, toy
from trainables.config import TrialConfig

SearchSpace = Callable[[optuna.Trial], TrialConfig]

SPACES = {"baseline": baseline, "efficientnet": efficientnet, "toy": toy}
"""Space name to its module: `BACKBONES`, `suggest(trial, backbones)`, `starting_points(backbones)`."""


@dataclass(frozen=True)
class Space:
    """A space narrowed to the backbones of one search."""

    name: str
    backbones: tuple[str, ...]
    suggest: SearchSpace
    """Picklable: a `functools.partial` of a module-level function."""
    starting_points: tuple[TrialConfig, ...]
    """Tried first; the first of all is the default configuration."""
    num_configs: int | None
    """Configurations that the space has; None if there are more than one would count."""


def get_space(name: str, backbones: Sequence[str] = ()) -> Space:
    """The space of this name, narrowed to some of its backbones; none given means all.

    Raises:
        ValueError: There is no such space or backbone; names the nearest.
    """
    if name not in SPACES:
        raise ValueError(f"there is no space {name!r}{_nearest(name, list(SPACES))}. Spaces: {', '.join(SPACES)}")
    module = SPACES[name]
    for backbone in backbones:
        if backbone not in module.BACKBONES:
            raise ValueError(
                f"the space {name} has no backbone {backbone!r}{_nearest(backbone, list(module.BACKBONES))}. "
                f"Backbones: {', '.join(module.BACKBONES)}"
            )
    chosen = tuple(backbone for backbone in module.BACKBONES if backbone in backbones or not backbones)
    points = tuple(module.starting_points(chosen))
    return Space(
        name=name,
        backbones=chosen,
        suggest=partial(module.suggest, backbones=chosen),
        starting_points=points,
        num_configs=len(points) if module is baseline else None,
    )


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else ""
