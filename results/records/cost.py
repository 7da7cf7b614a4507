"""What a search cost and what stopping early spared: the same in the record, the report and the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from results.records.record import BestTrial, SearchRun
from results.records.trials import TrialHistory
from trainables.data.whole_batches import images_per_epoch
from trainables.report import EpochReport, TrialStatus

JOULES_PER_WH = 3600.0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of some trials; None stands for what is not known."""

    device_seconds: float
    """Time of all epochs of all trials, added up."""
    epochs: int
    """Epochs that were trained."""
    epochs_saved: int
    """Epochs that trials which ASHA stopped did not train any more."""
    images_trained: int | None
    """Pictures that went through the networks to train them, one counted as often as it did."""
    energy_joules: float | None
    """Energy of the devices in those epochs; None where a device does not tell."""
    compile_seconds: float
    """Part of `device_seconds` in which torch.compile made kernels."""


def search_cost(run: SearchRun, trials: Sequence[TrialHistory]) -> Cost:
    """The cost of the trials of a search.

    What starting from earlier searches saved is not in it: for that the same search would have to be run without them.
    """
    reports = [report for trial in trials for report in trial.reports]
    stopped = [trial for trial in trials if trial.status == TrialStatus.STOPPED]
    train = (run.data.get("sides") or {}).get("train")
    images = None
    if train is not None:
        an_epoch = images_per_epoch(train["pictures"], run.task.batch_size)
        images = round(sum(report.trained_share for report in reports) * an_epoch)
    return Cost(
        device_seconds=device_seconds(reports),
        epochs=len(reports),
        epochs_saved=sum(max(0, run.task.epochs - len(trial.reports)) for trial in stopped),
        images_trained=images,
        energy_joules=energy_joules(reports),
        compile_seconds=round(sum(report.compile_seconds for report in reports), 3),
    )


def device_seconds(reports: Iterable[EpochReport]) -> float:
    """Seconds of epochs, added up."""
    return round(sum(report.seconds for report in reports if math.isfinite(report.seconds)), 3)


def energy_joules(reports: Sequence[EpochReport]) -> float | None:
    """Energy of epochs, added up; None if one of them does not say, or there are none."""
    told = [report.energy_joules for report in reports if report.energy_joules is not None]
    return round(sum(told), 1) if reports and len(told) == len(reports) else None


def cost_in_words(best: BestTrial) -> str:
    """One line for the end of a search; what is not known is left out, but for the energy."""
    parts = [f"{duration(best.wall_seconds)} in all", f"{duration(best.device_seconds)} of training, trials added up"]
    if best.compile_seconds:
        parts.append(f"{duration(best.compile_seconds)} of it compiling")
    if best.images_trained is not None:
        parts.append(f"{best.images_trained:,} pictures trained")
    if best.search_epochs is not None and best.epochs_saved is not None:
        epochs = f"{best.search_epochs:,} epoch{'s' * (best.search_epochs != 1)}"
        parts.append(f"{epochs}, {best.epochs_saved:,} more saved by ASHA")
    parts.append(energy_in_words(best.energy_joules))
    return f"Cost: {', '.join(parts)}"


def energy_in_words(joules: float | None) -> str:
    """The energy in Wh, or that the device does not tell."""
    return "energy unknown" if joules is None else f"{joules / JOULES_PER_WH:,.1f} Wh"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))
