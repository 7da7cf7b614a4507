"""Names for what shall take the place of nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator


def numbered(name: str, ending: str = "") -> Iterator[str]:
    """The name, then name-2, name-3 and so on without end, each with the ending of its file."""
    yield f"{name}{ending}"
    yield from (f"{name}-{number}{ending}" for number in itertools.count(2))
