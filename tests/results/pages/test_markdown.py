"""A Markdown table stays one, whatever stands in its cells."""

from __future__ import annotations

from results.pages.markdown import numbers_to_the_right, render_markdown_table


def test_a_cell_ends_neither_its_row_nor_itself() -> None:
    table = render_markdown_table(("na|me", "number"), [("a|b\nc", "1,000"), ("\udce9", "")])
    assert table.splitlines() == [r"| na\|me | number |", "| --- | --- |", r"| a\|b c | 1,000 |", r"| \udce9 |  |"]


def test_columns_of_numbers_stand_to_the_right() -> None:
    rows = [("1st", "-3", "12 %", "1"), ("b", ".5", "3 %", "none")]
    assert numbers_to_the_right(rows) == ["left", "right", "right", "left"]
    table = render_markdown_table(("a", "b", "c", "d"), rows, numbers_to_the_right(rows))
    assert table.splitlines()[1] == "| --- | --: | --: | --- |"


def test_a_table_without_rows_is_its_header() -> None:
    assert numbers_to_the_right([]) is None
    assert render_markdown_table(("a",), [], None) == "| a |\n| --- |"
