"""Sizes for people."""

from __future__ import annotations


def size_in_words(size: int) -> str:
    """Bytes in kB, MB or GB."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"
