"""Writes `runs/index.html`: all runs of a folder at a glance, without a server.

The page is a picture of the moment it was written in, and says so; every search and `scripts/runs.py` write it anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from results.pages.template import render_template
from results.records.cost import duration
from results.records.summary import RunSummary, summaries
from trainables.atomic import write_whole
from trainables.called import as_called, command_as_called
from trainables.sizes import size_in_words

INDEX = "index.html"


def write_run_index(storage: Path, rows: Sequence[RunSummary] | None = None) -> Path:
    """Writes the page into the folder of the runs, whole or not at all.

    Args:
        storage: Folder of the runs.
        rows: The runs, where they have been read already.

    Raises:
        OSError: It cannot be written.
    """
    path = storage / INDEX
    html = render_run_index(storage, summaries(storage) if rows is None else rows)
    write_whole(path, html.encode(errors="backslashreplace"))
    return path


def render_run_index(storage: Path, rows: Sequence[RunSummary]) -> str:
    """The page as HTML."""
    return render_template(
        "run_index.html.j2",
        storage=storage,
        written=datetime.now().astimezone().isoformat(" ", "seconds"),
        rows=[_cells(row, storage) for row in rows],
        list_command=as_called("python scripts/runs.py"),
        start_command=command_as_called("python search/run.py --space efficientnet"),
        ahead=max((row.best for row in rows if math.isfinite(row.best)), default=None),
    )


def _cells(row: RunSummary, storage: Path) -> dict[str, Any]:
    return {
        "name": row.name,
        "link": f"{quote(row.name, errors='surrogateescape')}/report.html" if row.has_report else "",
        "state": row.state,
        "kind": row.state.name.lower(),
        "problem": row.problem,
        "doing": row.presence.doing if row.presence else "",
        "space": row.space,
        "backbone": row.backbone,
        "data": f"{row.data}, {row.pictures:,} pictures, {row.classes} classes" if row.data else "",
        "best": row.best_in_words,
        "test": str(row.test) if row.test else "",
        "test_value": row.test.value if row.test else -1,
        "trials": row.trials_in_words,
        "ends": ", ".join(f"{number} {end}" for end, number in row.ends),
        "done": row.counted,
        "time": duration(row.seconds) if row.started else "",
        "seconds": row.seconds,
        "size": size_in_words(row.size_bytes),
        "bytes": row.size_bytes,
        "started": f"{datetime.fromisoformat(row.started):%Y-%m-%d %H:%M}" if row.started else "",
        "next": command_as_called(row.next_command(storage)),
    }
