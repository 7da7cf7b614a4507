"""Ending a search before its last trial: Ctrl-C, the time budget, a full disk, nothing but failures."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from results.records.trials import TIME_BUDGET
from trainables.called import as_called

LAST_SECONDS = 12.0
"""From a search's last epoch to the prompt: record, table, report, model and Ray's end took 10 to 13 s on two cores."""
LAST_SHARE = 1 / 5
"""Of a time budget, should that be less."""
SHORTEST_EPOCH = 0.4
"""Of an epoch's seconds: with less than that to the end of the time budget, none is begun that would be cut short. Some
.2 of them are spent on being scored."""
RUNNING_TRIALS_END = "running trials end with this epoch"
"""What is said that the first Ctrl-C does, while trials run."""


def seconds_to_search(time_budget_seconds: float) -> float:
    """A time budget without what the end of a search takes: the budget is that of the whole command."""
    return time_budget_seconds - min(LAST_SECONDS, LAST_SHARE * time_budget_seconds)


class StopRequest:
    """Says that the search shall end; it is asked after every epoch, so running trials end with theirs."""

    def __init__(self, time_budget_seconds: float | None = None, started: float | None = None) -> None:
        """Sets the clock of the time budget.

        Args:
            time_budget_seconds: The budget; None or infinite for none.
            started: When it began, by `time.monotonic`; by default now.
        """
        started = time.monotonic() if started is None else started
        self._deadline = math.inf if time_budget_seconds is None else started + time_budget_seconds
        self.kept_back = 0.0
        """Seconds of the time budget that are for what comes after the trials."""
        self._too_short = False
        self._reason: str | None = None
        self._interrupted = False
        self.exit_code = 0
        """What a command returns that a signal has ended, 130 for Ctrl-C; 0 while none has."""
        self.what_ends = RUNNING_TRIALS_END
        """What the first Ctrl-C does now, in words."""
        self.crash: Exception | None = None
        """What the driver, or Ray, crashed with; None while neither has."""
        self.ended: set[str] = set()
        """trial_id of the trials that it ended, which neither finished nor were stopped by ASHA."""
        self.past_their_best: set[str] = set()
        """trial_id of the trials that are done before their full length, as they had long become no better."""
        self.going_on: set[str] = set()
        """trial_id of the trials that go on beyond their full length, as there is no time for another."""

    def keep_back(self, seconds: float) -> None:
        """Ends earlier by so many seconds, for what comes after the trials."""
        self._deadline -= seconds
        self.kept_back += seconds

    def go_on(self) -> None:
        """Begins what comes after the trials, with the time that was kept back, and with none of their ends."""
        self._deadline += self.kept_back
        self.kept_back, self._too_short = 0.0, False
        if self._reason == TIME_BUDGET:
            self._reason = None
        for ended in (self.ended, self.past_their_best, self.going_on):
            ended.clear()

    @property
    def reason(self) -> str | None:
        """Why the search shall end, such as `Ctrl-C` or `time budget`; None while it shall not."""
        if self._reason is None and time.monotonic() >= self._deadline:
            self._reason = TIME_BUDGET
        return self._reason

    @property
    def why(self) -> str | None:
        """Why the search ends before its last trial: the reason, or that there was no time to begin something more."""
        return self.reason or (TIME_BUDGET if self._too_short else None)

    @property
    def seconds_left(self) -> float:
        """Until the time budget ends; infinite without one."""
        return max(0.0, self._deadline - time.monotonic())

    @property
    def ends_at(self) -> float:
        """When the time budget ends, by `time.time`, which other processes share; infinite without one."""
        return time.time() + self._deadline - time.monotonic()

    def has_time_for(self, seconds: float) -> bool:
        """Whether something that takes so long would end within the time budget."""
        enough = seconds <= self.seconds_left
        self._too_short |= not enough
        return enough

    def ask(self, reason: str) -> None:
        """Asks for the end; the first reason stays."""
        self._reason = self.reason or reason

    def note_crash(self, error: Exception) -> None:
        """Ends the search because the driver, or Ray, has crashed."""
        self.crash = error
        self.ask(f"{type(error).__name__}: {error}")

    @contextmanager
    def on_interrupt(self, way_on: str = "") -> Iterator[None]:
        """While inside, the first Ctrl-C (or SIGTERM) asks for the end and the second one ends at once.

        Signals reach a process's main thread alone: in another one nothing is changed.

        Args:
            way_on: The command that writes what is not written by then: who asks may kill seconds later, as
                `ray job stop` does.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupt(number: int, frame: FrameType | None) -> None:
            if self._interrupted:
                raise KeyboardInterrupt
            self._interrupted = True
            self.exit_code = 128 + number
            self.ask("Ctrl-C" if number == signal.SIGINT else "SIGTERM")
            print(f"\n{self.reason}: {self.what_ends}; a second one ends at once.", flush=True)
            if way_on:
                print(
                    f"If this is killed before table and report are written, write them by: {as_called(way_on)}",
                    flush=True,
                )

        previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
