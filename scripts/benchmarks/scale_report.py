"""What `scale.py` measured: numbers, their targets, table and figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

from results.pages.markdown import render_markdown_table

SETTLED_SHARE = 0.2
"""Trials after which the driver's memory shall not grow: by then all is imported and every buffer made."""
TARGETS = {
    "search_seconds": 300.0,
    "overhead_seconds": 0.3,
    "driver_cpu_seconds_a_trial": 0.3,
    "last_suggestion_seconds": 0.3,
    "last_suggestion_cpu_seconds": 0.3,
    "growth_mb_per_1000_trials": 50.0,
    "after_seconds": 10.0,
    "real_overhead_seconds": 0.3,
    "worker_growth_mb": 20.0,
}
"""What a number of `Measured` should be less than, for 1,000 trials on two workers."""


@dataclass(kw_only=True)
class Measured:
    """What came of it; times are seconds from the first suggestion."""

    trials: int
    workers: int
    epochs: int
    hardware: str
    finished: list[float] = field(default_factory=list)
    """When each trial ended."""
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Time, and the driver's resident memory in MB."""
    suggestions: list[float] = field(default_factory=list)
    """Seconds of each suggestion, in the order of trials."""
    suggestions_cpu: list[float] = field(default_factory=list)
    """Of those, the processor's, which other work on the machine does not add to."""
    driver_cpu_seconds: float = 0.0
    """Processor time of the whole driver in the search."""
    num_reports: int = 0
    after: dict[str, float] = field(default_factory=dict)
    """Seconds of what follows a search: record, table, report."""
    real_overheads: list[float] = field(default_factory=list)
    """Of each real trial beyond the first: seconds from the end of the one before to its own, less its epochs."""

    worker_memory: list[float] = field(default_factory=list)
    """Largest resident memory of the worker in each real trial, in MB."""

    @property
    def search_seconds(self) -> float:
        """From the first suggestion to the last end of a trial."""
        return max(self.finished)

    @property
    def overhead_seconds(self) -> float:
        """Worker time a stub trial, the first of each worker left out."""
        ended = sorted(self.finished)
        return (ended[-1] - ended[self.workers - 1]) * self.workers / (len(ended) - self.workers)

    @property
    def last_suggestion_seconds(self) -> float:
        """Median of the last twentieth."""
        return _last_median(self.suggestions)

    @property
    def last_suggestion_cpu_seconds(self) -> float:
        """The same of processor time."""
        return _last_median(self.suggestions_cpu)

    @property
    def driver_cpu_seconds_a_trial(self) -> float:
        """Processor time that a trial costs the driver, which hands them out one by one."""
        return self.driver_cpu_seconds / self.trials

    @property
    def growth_mb_per_1000_trials(self) -> float:
        """Slope of the driver's memory over trials, once it has settled."""
        ended = np.sort(self.finished)
        done = np.array([np.searchsorted(ended, when) for when, _ in self.memory])
        settled = (done >= SETTLED_SHARE * len(ended)) & (done < len(ended))
        if settled.sum() < 2:
            return math.nan
        return 1000 * float(np.polyfit(done[settled], np.array(self.memory)[settled, 1], 1)[0])

    @property
    def after_seconds(self) -> float:
        """Of record, table and report together."""
        return sum(self.after.values())

    @property
    def real_overhead_seconds(self) -> float:
        """Median over real trials."""
        return float(np.median(self.real_overheads)) if self.real_overheads else math.nan

    @property
    def worker_growth_mb(self) -> float:
        """How much more the worker holds in the last fifth of the real trials than in the second, medians of both."""
        fifth = len(self.worker_memory) // 5
        if fifth == 0:
            return math.nan
        return float(np.median(self.worker_memory[-fifth:]) - np.median(self.worker_memory[fifth : 2 * fifth]))


def _last_median(seconds: Sequence[float]) -> float:
    return float(np.median(seconds[-max(1, len(seconds) // 20) :])) if seconds else math.nan


def render_table(measured: Measured) -> str:
    """The numbers against their targets, in Markdown."""
    words = {
        "search_seconds": f"{measured.trials:,} stub trials on {measured.workers} workers, s",
        "overhead_seconds": "worker time of a stub trial beyond the first, s",
        "last_suggestion_seconds": f"a suggestion at {measured.trials:,} trials (median of the last 5%), s",
        "last_suggestion_cpu_seconds": "of that, processor time, s",
        "driver_cpu_seconds_a_trial": "processor time of the driver a trial, s",
        "growth_mb_per_1000_trials": "growth of the driver's memory per 1,000 trials, MB",
        "after_seconds": "record, table and report, s",
        "real_overhead_seconds": "a real trial beyond the first, beside its epochs (median), s",
        "worker_growth_mb": f"growth of a worker's memory over {len(measured.worker_memory)} real trials, MB",
    }
    rows = []
    for name, what in words.items():
        value, target = getattr(measured, name), TARGETS[name]
        if math.isfinite(value):
            rows.append([what, f"{value:.3g}", f"< {target:g}", "kept" if value < target else "**missed**"])
    parts = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in measured.after.items())
    notes = f"{measured.num_reports:,} epochs reported; {parts}; {measured.hardware}."
    return "\n".join([render_markdown_table(("", "measured", "target", ""), rows), "", notes, ""])


def draw(measured: Measured) -> Figure:
    """Trials over time, the driver's memory over time, seconds of a suggestion over trials."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    trials, memory, suggestions = figure.subplots(1, 3)
    ended = np.sort(measured.finished)
    trials.plot(ended, np.arange(1, len(ended) + 1), color="tab:blue")
    trials.set(
        xlabel="seconds", ylabel="trials that have ended", title="trials over time", xlim=(0, None), ylim=(0, None)
    )
    times, megabytes = np.array(measured.memory).T
    memory.plot(times, megabytes, color="tab:green")
    memory.set(xlabel="seconds", ylabel="MB", title="driver's resident memory", ylim=(0, None))
    suggestions.plot(measured.suggestions, ".", markersize=2, color="tab:orange", label="seconds")
    suggestions.plot(measured.suggestions_cpu, ".", markersize=2, color="tab:red", label="of them processor time")
    suggestions.legend(fontsize=7)
    suggestions.axhline(TARGETS["last_suggestion_seconds"], color="grey", linewidth=0.8, linestyle="--")
    usual = float(np.quantile(measured.suggestions, 0.98))  # the first one makes the study's file
    suggestions.set(xlabel="trial", ylabel="seconds", title="a suggestion", ylim=(0, max(0.4, 1.2 * usual)))
    for axes in (trials, memory, suggestions):
        axes.grid(alpha=0.3)
    figure.suptitle(f"{measured.trials:,} stub trials on {measured.workers} workers", fontsize=10)
    return figure
