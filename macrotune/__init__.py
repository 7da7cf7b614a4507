"""macrotune as one installs it: the command `macrotune`, and the same from Python.

    from macrotune import search, retrain, load

    result = search(data="pictures", space="efficientnet", time_budget="15m")
    result.best, result.trials, result.model, result.report
    load("runs/NAME").predict("new pictures")

The keywords are the flags of the commands; `parts` holds the doors for one's own (docs/parts.md). Importing this loads
nothing heavy: that happens at the first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from macrotune.calls import evaluate, predict, retrain, search
    from macrotune.endings import Interrupted, RunFailedError
    from macrotune.loaded import Model, load
    from macrotune.outcomes import Evaluated, Retrained, SearchResult
    from trainables import parts
    from trainables.errors import UserError

_HOMES = {
    "search": "macrotune.calls",
    "retrain": "macrotune.calls",
    "evaluate": "macrotune.calls",
    "predict": "macrotune.calls",
    "load": "macrotune.loaded",
    "Model": "macrotune.loaded",
    "SearchResult": "macrotune.outcomes",
    "Retrained": "macrotune.outcomes",
    "Evaluated": "macrotune.outcomes",
    "Interrupted": "macrotune.endings",
    "RunFailedError": "macrotune.endings",
    "UserError": "trainables.errors",
    "parts": "trainables",
}
"""Which module each public name is in."""

__all__ = [
    "Evaluated",
    "Interrupted",
    "Model",
    "Retrained",
    "RunFailedError",
    "SearchResult",
    "UserError",
    "evaluate",
    "load",
    "parts",
    "predict",
    "retrain",
    "search",
]


def __getattr__(name: str) -> object:
    """Imports what is asked for when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'macrotune' has no attribute {name!r}: there are {', '.join(sorted(_HOMES))}")
    if name == "parts":  # asked for by workers too, which have not all the rooms
        return import_module("trainables.parts")
    from macrotune.rooms import import_rooms

    import_rooms()
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted([*__all__, "__all__", "__doc__"])
