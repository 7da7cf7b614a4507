"""Rows as CSV that every reader gives back as they were, whatever a file name holds."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """The rows as lines that end in a line feed.

    Python 3.11's writer quotes only the line ends that it writes itself: with a line feed alone, a carriage return in
    a file name would split the row. So it writes both, and the pair at the end of each row is cut to one.
    """
    lines = []
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow(row)
        lines.append(line.getvalue()[:-2] + "\n")
    return "".join(lines)
