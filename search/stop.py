"""Ending a search before its last trial: Ctrl-C, the time budget, a full disk, nothing but failures."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Says that the search shall end; it is asked after every epoch, so running trials end with theirs."""

    def __init__(self, time_budget_seconds: float | None) -> None:
        """Starts the clock of the time budget."""
        self._deadline = None if time_budget_seconds is None else time.monotonic() + time_budget_seconds
        self._reason: str | None = None
        self._interrupted = False
        self.ended: set[str] = set()
        """trial_id of the trials that it ended, which neither finished nor were stopped by ASHA."""

    @property
    def reason(self) -> str | None:
        """Why the search shall end, such as `Ctrl-C` or `time budget`; None while it shall not."""
        if self._reason is None and self._deadline is not None and time.monotonic() >= self._deadline:
            self._reason = "time budget"
        return self._reason

    def ask(self, reason: str) -> None:
        """Asks for the end; the first reason stays."""
        self._reason = self.reason or reason

    @contextmanager
    def on_interrupt(self) -> Iterator[None]:
        """While inside, the first Ctrl-C (or SIGTERM) asks for the end and the second one ends at once."""

        def interrupt(number: int, frame: FrameType | None) -> None:
            if self._interrupted:
                raise KeyboardInterrupt
            self._interrupted = True
            self.ask("Ctrl-C" if number == signal.SIGINT else "SIGTERM")
            print(f"\n{self.reason}: running trials end with this epoch; once more ends at once.", flush=True)

        previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
