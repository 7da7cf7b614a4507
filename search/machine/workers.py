"""Trials' processes on this machine: what they have computed, and their end."""

from __future__ import annotations

import os
import signal
from typing import Any

import psutil

from search.machine.ray_shortcuts import worker_pid


class LocalWorkers:
    """Asks the operating system; Ray only tells which process a trial is in."""

    def cpu_seconds(self, trial: Any) -> float | None:
        """Processor time that a trial's process has taken so far, with those it has started; None if not known."""
        pid = worker_pid(trial)
        if pid is None:
            return None
        try:
            process = psutil.Process(pid)
            return sum(map(_cpu_seconds, (process, *process.children(recursive=True))))
        except psutil.Error:
            return None

    def end(self, trial: Any) -> bool:
        """Kills a trial's process: Ray sees a worker that died, and lets the trial go on from its last checkpoint."""
        pid = worker_pid(trial)
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            return False
        return True


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)  # not on every system
    return float(times.user + times.system + ended)
