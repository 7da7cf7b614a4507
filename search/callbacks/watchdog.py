"""Says what a search that has shown nothing for long is waiting for, and ends what cannot end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.flags import ROOT
from search.stop import StopRequest
from trainables.classifier import split_params

ROOMS = ("macrotune", "scripts", "search", "results", "spaces", "trainables", "tests")
"""Folders of our code; installed, they lie among those of others."""

SECOND = 1.0
"""Longest time between two looks that counts: while the machine slept or the search was stopped nobody has waited."""


@dataclass(frozen=True)
class Patience:
    """How long nothing may happen."""

    say_seconds: float = 300.0
    """Before the search says what it is waiting for; then after twice as long, and so on."""
    epochs: float = 3.0
    """A trial may take so many times the longest epoch so far, should that be more."""
    idle_seconds: float = 900.0
    """Before a trial whose process has computed nothing in all that time is ended, to go on in another."""
    stuck_seconds: float = 3600.0
    """Before a search on one machine is ended in which no trial runs."""
    end_seconds: float = 5.0
    """Before a search is ended that was asked to end and in which trials only wait to begin."""
    driver_seconds: float = 120.0
    """Before it is said where the search's own process is, should that not get on."""


class Workers(Protocol):
    """What can be known of trials' processes, and done about them."""

    def cpu_seconds(self, trial: Any) -> float | None:
        """Processor time that a trial's process has taken so far; None where that cannot be told."""

    def end(self, trial: Any) -> bool:
        """Ends a trial's process, so that Ray begins another that goes on from the checkpoint; False if it cannot."""


class StuckError(Exception):
    """A search in which nothing can happen any more; the reason is that of its `StopRequest`."""


@dataclass
class _Heard:
    """Since when a trial has said nothing, on the clock of the watchdog."""

    at: float
    said_after: float = 0.0
    idle_since: float | None = None
    cpu_seconds: float = 0.0
    longest_epoch: float = 0.0
    name: str = ""


@dataclass
class _Clock:
    """Time in which the search could have got on: see `SECOND`."""

    seconds: float = 0.0
    looked: float = field(default_factory=lambda: time.monotonic())

    def tick(self) -> float:
        now = time.monotonic()
        self.seconds += min(SECOND, now - self.looked)
        self.looked = now
        return self.seconds


class Watchdog(Callback):
    """Ray Tune's callback that looks after the search whenever Ray has come round once more."""

    def __init__(
        self, say: Callable[[str], None], stop: StopRequest, workers: Workers | None, patience: Patience | None = None
    ) -> None:
        """Watches from the first step on.

        Args:
            say: Prints a line.
            stop: Takes the reason if the search is ended.
            workers: Of this machine; None on a cluster, whose processes are not here, and where a trial may wait for
                nodes that are still to come: then it only says.
            patience: How long nothing may happen.
        """
        self._say = say
        self._stop = stop
        self._workers = workers
        self._patience = patience or Patience()
        self._clock = _Clock()
        self._heard: dict[str, _Heard] = {}
        self._quiet = _Heard(0.0)
        self._driver = DriverWatch(say, self._patience.driver_seconds)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles callbacks for a restore of its own, and a run is resumed from its logs."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Waits for its first epoch from now on."""
        self._note(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Mapping[str, Any], **info: Any
    ) -> None:
        """Waits for its next epoch from now on."""
        heard = self._note(trial)
        heard.longest_epoch = max(heard.longest_epoch, float(result.get("seconds") or 0.0))

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Looks at every trial that runs; ends what cannot end.

        Raises:
            StuckError: No trial has run for too long, or the search shall end and none runs that could end with it.
        """
        self._driver.step()
        now = self._clock.tick()
        running = [trial for trial in trials if trial.status == Trial.RUNNING]
        for trial in running:
            self._look_at(trial, now)
        waiting = [trial for trial in trials if trial.status == Trial.PENDING]
        if running or not waiting:
            self._quiet = _Heard(now)
        elif self._stop.reason is not None and now - self._quiet.at >= self._patience.end_seconds:
            raise StuckError(self._stop.reason)
        else:
            self._look_at_none(waiting[0], now)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Looks no more."""
        self.close()

    def close(self) -> None:
        """Looks no more, also after an exception."""
        self._driver.close()

    def _note(self, trial: Any) -> _Heard:
        name = f"{split_params(trial.config)[1]} ({trial.config['backbone']})"
        before = self._heard.get(trial.trial_id)
        self._heard[trial.trial_id] = heard = _Heard(self._clock.tick(), name=name)
        heard.longest_epoch = before.longest_epoch if before else 0.0
        return heard

    def _look_at(self, trial: Any, now: float) -> None:
        heard = self._heard.get(trial.trial_id)
        if heard is None:
            return
        silent = now - heard.at
        long = max(self._patience.say_seconds, self._patience.epochs * heard.longest_epoch)
        if silent < min(long, self._patience.idle_seconds) / 2:  # nothing to ask the operating system for yet
            return
        idle = self._idle_seconds(trial, heard, now)
        if idle is not None and idle >= self._patience.idle_seconds and self._workers and self._workers.end(trial):
            self._say(
                f"trial {heard.name} has reported nothing for {_minutes(silent)} and its process has computed nothing "
                f"for {_minutes(idle)}: it is ended, and the trial goes on from its last checkpoint in another"
            )
            self._note(trial)
        elif silent >= max(long, heard.said_after):
            heard.said_after = 2 * silent
            self._say(
                f"trial {heard.name} has reported nothing for {_minutes(silent)}{_what_it_does(idle)}. Ctrl-C ends the "
                "search and keeps what there is; a second one ends it at once"
            )

    def _idle_seconds(self, trial: Any, heard: _Heard, now: float) -> float | None:
        """Since when its process has computed nothing; None where that cannot be told."""
        took = self._workers.cpu_seconds(trial) if self._workers else None
        if took is None:
            return None
        if heard.idle_since is None or took - heard.cpu_seconds > IDLE_SHARE * (now - heard.idle_since):
            heard.idle_since, heard.cpu_seconds = now, took
        return now - heard.idle_since

    def _look_at_none(self, waiting: Any, now: float) -> None:
        silent = now - self._quiet.at
        name = split_params(waiting.config)[1]
        if self._workers is not None and silent >= self._patience.stuck_seconds:
            self._stop.ask(f"Ray has given trial {name} no process in {_minutes(silent)}")
            raise StuckError(self._stop.reason)
        if silent >= max(self._patience.say_seconds, self._quiet.said_after):
            self._quiet.said_after = 2 * silent
            what = "a process that begins" if self._workers is not None else "cores, or nodes that have them"
            self._say(f"no trial has run for {_minutes(silent)}: trial {name} waits for Ray, and Ray for {what}")


IDLE_SHARE = 0.02
"""Of a core: what a process takes that only waits, the threads of Ray in it included."""


def _what_it_does(idle_seconds: float | None) -> str:
    if idle_seconds is None:
        return ""
    return (
        ", though its process computes"
        if idle_seconds < 60
        else f"; its process has been idle for {_minutes(idle_seconds)}"
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


class DriverWatch:
    """A thread that says where the search's own process is, should it not get on: in a callback, in Ray, in a disk."""

    def __init__(self, say: Callable[[str], None], seconds: float) -> None:
        """Watches from the first step on.

        Args:
            say: Prints a line.
            seconds: Between two steps before it says something.
        """
        self._say = say
        self._seconds = seconds
        self._steps = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._watched = threading.get_ident()

    def step(self) -> None:
        """Says that the search gets on; to be called in the thread that is watched."""
        self._steps += 1
        if self._thread is None:
            self._watched = threading.get_ident()
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Watches no more."""
        self._over.set()

    def _watch(self) -> None:
        clock, steps, since, again = _Clock(), -1, 0.0, self._seconds
        while not self._over.wait(min(SECOND, self._seconds) / 2):
            now = clock.tick()
            if self._steps != steps:
                steps, since, again = self._steps, now, self._seconds
            elif now - since >= again:
                again = 2 * (now - since)
                where = _where(sys._current_frames().get(self._watched))
                self._say(f"the search itself has not got on for {_minutes(now - since)}: it is {where}")


def _where(frame: FrameType | None) -> str:
    """The place in our code that a thread is at, and what it has called there."""
    innermost = frame
    while frame is not None and not _is_ours(frame):
        frame = frame.f_back
    if frame is None or innermost is None:
        return "at a place that cannot be told"
    ours = f"{Path(frame.f_code.co_filename).relative_to(ROOT)}, line {frame.f_lineno}"
    if innermost is frame:
        return f"at {ours}"
    return f"at {ours}, in {innermost.f_code.co_name} of {Path(innermost.f_code.co_filename).name}"


def _is_ours(frame: FrameType) -> bool:
    path = Path(frame.f_code.co_filename)
    return ROOT in path.parents and path.relative_to(ROOT).parts[0] in ROOMS
