"""How a search went: the best score over the epochs spent, and what the winner's configuration does differently."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from results.records.record import SearchRun, trial_config
from results.records.run_folder import Line
from trainables.config import TrialConfig
from trainables.report import kept_epoch, score_in


@dataclass(frozen=True, kw_only=True)
class Knob:
    """One setting in two configurations."""

    name: str
    """Field of `TrialConfig`."""
    first: object
    second: object

    @property
    def differs(self) -> bool:
        """Whether the two have different values."""
        return self.first != self.second


def knobs(first: TrialConfig, second: TrialConfig) -> list[Knob]:
    """Every setting of two configurations, in the order of `TrialConfig`."""
    other = asdict(second)
    return [Knob(name=name, first=value, second=other[name]) for name, value in asdict(first).items()]


def default_of(run: SearchRun) -> TrialConfig | None:
    """The default configuration of a run's space, which stands before all others; None where the run has none.

    Raises:
        RecordError: It is no configuration of this version.
    """
    return trial_config(run.points[0], f"run {run.name}: points") if run.points else None


def best_so_far(epochs: Sequence[Line], failed: Collection[str] = ()) -> list[tuple[int, float]]:
    """The score of the best trial at its best epoch, after each epoch that any trained, in the order of their ends.

    An epoch that was trained again after a restart counts once, with its last numbers. Failed trials cost epochs, and
    do not count.

    Args:
        epochs: The lines of a run.
        failed: Names of the trials that failed.

    Returns:
        Epochs spent and best score by then, one pair an epoch from the first that has a score.
    """
    trained = {(line.trial_id, line.values.get("epoch")): line for line in sorted(epochs, key=lambda line: line.time)}
    scores: dict[str, dict[int, float]] = {}
    best: dict[str, float] = {}
    leader, curve = "", []
    for spent, line in enumerate(trained.values(), 1):
        score, of_trial = score_in(line.values), scores.setdefault(line.trial_id, {})
        if isinstance(score, (int, float)) and line.trial_id not in failed:
            of_trial[line.values.get("epoch", 0)] = float(score)
            best[line.trial_id] = of_trial[kept_epoch(of_trial, line.values.get("best_epoch", 0))]
            if leader == line.trial_id or best[line.trial_id] > best.get(leader, -math.inf):
                leader = max(best, key=lambda trial_id: best[trial_id])
        if leader:
            curve.append((spent, best[leader]))
    return curve


def shown(value: object) -> str:
    """A setting as people read it: floats with three digits that count."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
