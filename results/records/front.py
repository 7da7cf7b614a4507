"""The Pareto front of a search: the trials whose score no trial has that is as cheap to answer.

Derived from a run's `run.json`, which holds what its networks cost, and from its trials, whenever somebody looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from results.records.record import SearchRun
from results.records.trials import TrialHistory, score_of
from trainables.networks.answering_costs import AnsweringCosts
from trainables.report import TrialStatus


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """A trial beside what its network costs to answer."""

    trial_id: str
    backbone: str
    formulation: str
    val_score: float
    """By the metric of the search, of its best epoch: flattered, as every best."""
    parameters: int
    ms: float
    ms_low: float
    ms_high: float

    def cost(self, name: str) -> float:
        """One of its costs, ms or parameters."""
        return self.ms if name == "ms" else float(self.parameters)


def undominated(points: Iterable[tuple[str, float, float]]) -> list[str]:
    """The names of the points on the front, the cheapest first.

    Args:
        points: Name, score and cost of each. One is on the front if its score is above that of each that is not
            dearer; of equals the first. A score that is not finite is no point.
    """
    best, front = -math.inf, []
    known = [point for point in points if math.isfinite(point[1])]
    for name, score, _ in sorted(known, key=lambda point: (point[2], -point[1])):
        if score > best:
            best = score
            front.append(name)
    return front


def second_objective(run: SearchRun) -> str | None:
    """What the search looked for beside the score: ms, parameters, or None."""
    return str(run.options.get("objective") or "").replace(" ", "").partition(",")[2] or None


def answering(run: SearchRun) -> AnsweringCosts | None:
    """What the networks of a run cost to answer; None where nobody asked."""
    return AnsweringCosts.from_json(run.costs) if run.costs else None


def points_of(run: SearchRun, scored: Iterable[tuple[str, Mapping[str, Any], float]]) -> list[FrontPoint]:
    """Trials beside what their networks cost; none where nobody asked.

    Args:
        run: The search.
        scored: Name, configuration and best score of each trial that counts.
    """
    costs, points = answering(run), []
    for trial_id, config, score in scored if costs is not None else ():
        cost = costs.of(config) if costs is not None else None
        if cost is not None:
            values = {name: value for name, value in asdict(cost).items() if name not in ("backbone", "formulation")}
            points.append(
                FrontPoint(
                    trial_id=trial_id,
                    backbone=cost.backbone,
                    formulation=cost.formulation,
                    val_score=score,
                    **values,
                )
            )
    return points


def on_front(run: SearchRun, points: Sequence[FrontPoint]) -> list[FrontPoint]:
    """Those on the front, the cheapest first; none for a search with one objective."""
    second = second_objective(run)
    if second is None:
        return []
    by_name = {point.trial_id: point for point in points}
    names = undominated((name, point.val_score, point.cost(second)) for name, point in by_name.items())
    return [by_name[name] for name in names]


def priced(run: SearchRun, trials: Sequence[TrialHistory]) -> list[FrontPoint]:
    """Every trial with a score that has not failed, beside what its network costs; none where nobody asked."""
    return points_of(
        run,
        (
            (trial.trial_id, vars(trial.config), score_of(trial.best))
            for trial in trials
            if trial.best is not None and trial.status != TrialStatus.FAILED
        ),
    )


def front_of(run: SearchRun, trials: Sequence[TrialHistory]) -> list[FrontPoint]:
    """The front of a search with two objectives, the cheapest point first; empty for one with one."""
    return on_front(run, priced(run, trials))


def answering_record(run: SearchRun, trials: Sequence[TrialHistory], trial_id: str) -> dict[str, Any] | None:
    """What the record of a search says of its costs: of the best trial, the limits, and the front; None if unasked."""
    costs = answering(run)
    if costs is None:
        return None
    best = next((point for point in priced(run, trials) if point.trial_id == trial_id), None)
    return {
        "where": costs.where,
        "objective": run.options.get("objective"),
        "max_ms": run.options.get("max_ms"),
        "max_parameters": run.options.get("max_parameters"),
        "best": None if best is None else asdict(best),
        "front": [asdict(point) for point in front_of(run, trials)],
    }


def cost_in_words(value: float, name: str) -> str:
    """A cost with its unit, such as `6.2 ms` or `3.37M parameters`."""
    return f"{_short_ms(value)} ms" if name == "ms" else f"{short_count(value)} parameters"


def cost_as_typed(value: float, name: str) -> str:
    """A cost as `--pick` takes it, with the digits that are shown: `ms=6.2` or `parameters=3.37M`."""
    return f"{name}={cost_in_words(value, name).partition(' ')[0].replace(',', '')}"


def short_count(value: float) -> str:
    """A number of parameters in few letters, such as 572k or 3.37M; the unit is that of what is shown."""
    shown = Decimal(f"{value:.3g}")
    for unit, letter in ((Decimal(10**6), "M"), (Decimal(1000), "k")):
        if shown >= unit:
            return f"{_digits(shown / unit)}{letter}"
    return f"{value:.0f}"


def ms_in_words(point: Any) -> str:
    """The milliseconds of a picture with their spread, such as `6.2 ms (5.9 to 6.8)`."""
    return f"{_short_ms(point.ms)} ms ({_short_ms(point.ms_low)} to {_short_ms(point.ms_high)})"


def _short_ms(value: float) -> str:
    """Milliseconds with three digits, or all of those before the point."""
    return _digits(Decimal(f"{value:.3g}")) if value < 100 else f"{value:,.0f}"


def _digits(value: Decimal) -> str:
    """A number without an exponent, and without zeros at its end behind the point."""
    return f"{value.normalize():f}"


def named(point: FrontPoint) -> str:
    """The network of a point: its backbone, with the formulation where that is not joint."""
    return point.backbone if point.formulation == "joint" else f"{point.backbone} as {point.formulation}"
