"""macrotune as one installs it: the command `macrotune`, and `parts`, the doors for one's own (docs/parts.md)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_EXPORTS = {"parts": "trainables.parts"}
"""What is imported when it is first asked for: its name, and its module."""


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return import_module(_EXPORTS[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
