"""Tables in Markdown, whatever stands in their cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

RULES = {"left": "---", "right": "--:"}


def render_markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], align: Sequence[str] | None = None
) -> str:
    """A whole table.

    Args:
        header: Names of the columns.
        rows: Cells of each row.
        align: Of each column, left or right; by default all are left.
    """
    rule = f"| {' | '.join(RULES[side] for side in align or ['left'] * len(header))} |"
    return "\n".join([markdown_row(header), rule, *map(markdown_row, rows)])


def markdown_row(cells: Iterable[str]) -> str:
    """One row of a table."""
    return f"| {' | '.join(map(markdown_cell, cells))} |"


def markdown_cell(text: str) -> str:
    """A text on one line, without what would end a table's cell or not be UTF-8."""
    return " ".join(text.encode(errors="backslashreplace").decode().split()).replace("|", r"\|")


def numbers_to_the_right(rows: Sequence[Sequence[str]]) -> list[str] | None:
    """How to align columns of which some hold nothing but numbers."""
    if not rows:
        return None
    return [
        "right" if all(cell[:1] in tuple("0123456789.-") for cell in column) else "left"
        for column in zip(*rows, strict=True)
    ]
