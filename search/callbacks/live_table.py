"""The live table of a search: one bar for all of it, one per running trial, and the best of those that have ended."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.segment import Segments
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from trainables.checkpoints import PULSE
from trainables.report import TrialStatus

STALE_SECONDS = 120.0
"""A pulse older than this is no longer believed."""
BAR_WIDTH = 12
NAME_WIDTH = 6
"""Signs of a trial's name that stay, whatever the width."""
WIDE = 100
"""Columns of a terminal from which a running trial has all of its columns."""
DONE_WITHOUT = ("", "F1")
"""Columns that a narrower one does without: the bar, and the training score, so that names stay whole."""
STYLES = {
    TrialStatus.FINISHED: "green",
    TrialStatus.STOPPED: "yellow",
    TrialStatus.FAILED: "red",
    TrialStatus.INTERRUPTED: "yellow",
}


@dataclass
class Row:
    """A trial in the table."""

    backbone: str
    epochs: int
    """It is to train so many."""
    epoch: int = 0
    """It has trained so many."""
    score: float = float("nan")
    best: float = float("nan")
    seconds: float = 0.0
    """Of its epochs."""
    state: TrialStatus = TrialStatus.RUNNING
    since: float = field(default_factory=time.monotonic)
    """When it began, or last reported an epoch, by `time.monotonic`."""
    begun: int = 0
    """Epochs that its weights had been trained for when it began."""

    @property
    def trained(self) -> int:
        """Epochs of its own."""
        return self.epoch - self.begun

    def share(self, pulse: Mapping[str, Any]) -> float:
        """How much of its epochs it has trained, 0 to 1."""
        if self.state.is_over:
            return 1.0
        within = 0.0
        if pulse.get("epoch") == self.epoch + 1 and pulse.get("batches"):
            within = pulse["batch"] / pulse["batches"]
        return min(1.0, (self.trained + within) / max(1, self.epochs - self.begun))


def read_pulse(checkpoint_dir: Path | None, trial_id: str) -> dict[str, Any]:
    """What a running trial last told of itself; empty where it told nothing, or long ago."""
    if checkpoint_dir is None:
        return {}
    path = checkpoint_dir / trial_id / PULSE
    try:
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            return {}
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


class LiveTable:
    """Draws the table anew each time it is asked to."""

    def __init__(self, console: Console, checkpoint_dir: Path | None = None) -> None:
        """Takes the console for its size, and the folder in which running trials tell how far they are."""
        self._console = console
        self._checkpoint_dir = checkpoint_dir
        self._spinner = Spinner("dots")
        self._drawn_for: tuple[Any, ...] = ()
        self._drawn = Segments([])

    def draw(
        self, rows: Mapping[str, Row], num_trials: int, summary: str, best: str, time_share: float | None = None
    ) -> RenderableType:
        """The table as it stands now.

        Args:
            rows: The trials by trial_id.
            num_trials: Trials that there shall be in the end.
            summary: How many are in which state, and the time gone and left.
            best: The best so far, in words.
            time_share: How much of the time budget is gone, where that is what ends the search.
        """
        running = [(trial_id, row) for trial_id, row in rows.items() if row.state == TrialStatus.RUNNING]
        pulses = {trial_id: read_pulse(self._checkpoint_dir, trial_id) for trial_id, _ in running}
        head = Table.grid(padding=(0, 1))
        width = max(10, min(40, self._console.width - 50))
        if time_share is None:
            done = sum(row.share(pulses.get(trial_id, {})) for trial_id, row in rows.items())
            over = sum(row.state.is_over for row in rows.values())
            bar = ProgressBar(total=max(1, num_trials), completed=done, width=width)
            head.add_row(Text("in all", style="bold"), bar, f"{over}/{num_trials} trials")
        else:
            bar = ProgressBar(total=1, completed=time_share, width=width)
            head.add_row(Text("time", style="bold"), bar, f"{time_share:.0%}")
        parts: list[RenderableType] = [head, Text(summary)]
        parts.append(Text(f"★ {best}" if best else "no score yet", style="bold" if best else "dim"))
        parts.append(self._running(running, pulses) if running else self._waiting(bool(rows)))
        others = sorted((item for item in rows.items() if item[1].state != TrialStatus.RUNNING), key=_by_best)
        room = max(3, self._console.height - 10 - len(running))
        if others:
            parts.append(self._still(others[:room]))
        if len(others) > room:
            parts.append(Text(f"and {len(others) - room} more trial{'s' * (len(others) - room > 1)}", style="dim"))
        return Group(*parts)

    def _waiting(self, have_begun: bool) -> RenderableType:
        words = "between trials" if have_begun else "starting workers: each imports what a trial needs"
        return self._spun(words)

    def _spun(self, words: str) -> Table:
        line = Table.grid(padding=(0, 1))
        line.add_row(self._spinner.render(time.monotonic()), Text(words))
        return line

    def _running(self, running: Sequence[tuple[str, Row]], pulses: Mapping[str, dict[str, Any]]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
        columns = ("trial", "backbone", "epoch", "", "batch", "loss", "F1", "best F1")
        shown = [name for name in columns if self._console.width >= WIDE or name not in DONE_WITHOUT]
        for name in shown:
            _add_column(table, name, is_number=name not in ("trial", "backbone", ""))
        for trial_id, row in running:
            pulse = pulses[trial_id]
            if pulse.get("batches"):
                batch = f"{pulse['batch']}/{pulse['batches']}"
            else:
                batch = str(pulse.get("stage", "starting its worker"))
            cells: tuple[RenderableType, ...] = (
                _name(trial_id),
                _name(row.backbone),
                f"{min(row.epoch + 1, row.epochs)}/{row.epochs}",
                ProgressBar(total=1.0, completed=row.share(pulse), width=BAR_WIDTH),
                Text(batch),
                _number(pulse.get("loss")),
                _number(pulse.get("macro_f1")),
                _number(row.best),
            )
            table.add_row(*(cell for name, cell in zip(columns, cells, strict=True) if name in shown))
        return table

    def _still(self, rows: Sequence[tuple[str, Row]]) -> RenderableType:
        """The table of trials that have ended, drawn again only when one more has: a tick costs a third then."""
        key = (self._console.width, *((trial_id, row.state, row.seconds) for trial_id, row in rows))
        if key != self._drawn_for:
            self._drawn_for, self._drawn = key, Segments(list(self._console.render(self._ended(rows))))
        return self._drawn

    def _ended(self, rows: Sequence[tuple[str, Row]]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
        for name in ("trial", "backbone", "epoch", "best F1", "seconds", "state"):
            _add_column(table, name, is_number=name not in ("trial", "backbone", "state"))
        for trial_id, row in rows:
            table.add_row(
                _name(trial_id),
                _name(row.backbone),
                f"{row.epoch}/{row.epochs}",
                _number(row.best),
                f"{row.seconds:.0f}",
                Text(row.state, style=STYLES.get(row.state, "")),
            )
        return table


def _add_column(table: Table, name: str, *, is_number: bool) -> None:
    """Adds a column; where the terminal is narrow the names get shorter, and no number does."""
    is_name = name in ("trial", "backbone")
    table.add_column(
        name,
        justify="right" if is_number else "left",
        no_wrap=not is_name,
        overflow="ellipsis",
        min_width=NAME_WIDTH if name == "trial" else None,
    )


def _name(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) and value == value else ""


def _by_best(item: tuple[str, Row]) -> float:
    return -item[1].best if item[1].best == item[1].best else 1.0
