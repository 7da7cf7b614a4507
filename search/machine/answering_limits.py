"""Which backbones of a search answer within the limits of size and time, known before its first trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.records.front import cost_in_words, ms_in_words, short_count
from search.cost_flags import CostFlags
from search.machine.memory_needs import LEFT_OUT
from search.study import SettledStudy
from spaces import Space
from trainables.errors import UserError
from trainables.machine.hardware import device_of_trials, visible_gpus
from trainables.networks.answering_costs import AnsweringCost, AnsweringCosts
from trainables.networks.measure_answers import measure_answering


@dataclass(frozen=True)
class Priced:
    """Backbones whose costs of answering are known."""

    costs: AnsweringCosts
    """Of those that are searched, in every formulation."""
    backbones: tuple[str, ...]
    """Those that are searched."""
    left_out: str
    """A sentence about the others; empty if there are none."""


def price_networks(
    space: Space,
    backbones: Sequence[str],
    num_classes: int,
    attributes: Mapping[str, Sequence[str]],
    study: SettledStudy,
) -> Priced:
    """Measures what the networks of a search cost to answer, and leaves out those beyond the limits.

    A backbone stays if it is within them in every formulation that the space may propose.

    Args:
        space: As asked for.
        backbones: Its backbones that have weights.
        num_classes: Classes of the search.
        attributes: Each attribute's value for each class, where the classes have some.
        study: With the limits.

    Raises:
        UserError: None is within the limits, one of a user's own space is not, the search has nothing to weigh, or
            nothing can be measured; names the numbers and the way out.
    """
    networks = [(backbone, formulation) for backbone in backbones for formulation in space.formulations]
    costs, problems = measure_answering(
        networks,
        num_classes=num_classes,
        attributes=attributes,
        image_size=study.image_size,
        device=_device(study),
        cache_dir=study.cache_path,
    )
    reasons = [f"{backbone} cannot be measured: {problem}" for backbone, problem in problems.items()]
    kept = []
    for backbone in (name for name in backbones if name not in problems):
        dear = [_beyond(cost, study.cost) for cost in costs.networks if cost.backbone == backbone]
        if any(dear):
            reasons.append(next(filter(None, dear)))
        else:
            kept.append(backbone)
    said = "; ".join(reasons)
    where = "" if study.cost.max_ms is None else f" on {costs.where}"
    if not kept:
        raise UserError(
            f"no backbone is within {limits_in_words(study.cost)}{where}: {said}. Give a higher limit, a "
            "smaller --image-size, or other --backbones"
        )
    if reasons and space.own:
        raise UserError(
            f"{study.space} proposes what is not within {limits_in_words(study.cost)}: {said}. Take it out of the "
            "file, or give a higher limit"
        )
    costs = AnsweringCosts(costs.where, tuple(cost for cost in costs.networks if cost.backbone in kept))
    _refuse_nothing_to_weigh(costs, study.cost)
    return Priced(costs, tuple(kept), said + LEFT_OUT if said else "")


def limits_in_words(flags: CostFlags) -> str:
    """The limits as they were typed; `what can be run` where there are none."""
    limits = [] if flags.max_ms is None else [f"--max-ms {flags.max_ms:g}"]
    if flags.max_parameters is not None:
        limits.append(f"--max-parameters {flags.max_parameters}")
    return " and ".join(limits) or "what can be run"


def most_kept(study: SettledStudy, costs: AnsweringCosts | None) -> int:
    """Trials whose best weights may stay on disk: of a front as many more as there are different costs."""
    second = study.cost.second
    if second is None or costs is None or not study.keep:
        return study.keep
    return study.keep + len({cost.named(second) for cost in costs.networks})


def costs_in_words(costs: AnsweringCosts) -> str:
    """What each network costs to answer, the fastest first."""
    each = [
        f"{cost.backbone}{'' if cost.formulation == 'joint' else f' as {cost.formulation}'} {ms_in_words(cost)}, "
        f"{short_count(cost.parameters)} parameters"
        for cost in sorted(costs.networks, key=lambda cost: cost.ms)
    ]
    return f"One picture on {costs.where}, the median (and the middle eight tenths): {'; '.join(each)}"


def _beyond(cost: AnsweringCost, flags: CostFlags) -> str:
    """Which limit a network is beyond, with its numbers; empty if none."""
    name = cost.backbone if cost.formulation == "joint" else f"{cost.backbone} as {cost.formulation}"
    parts = []
    if flags.max_ms is not None and cost.ms > flags.max_ms:
        parts.append(f"takes {ms_in_words(cost)}, --max-ms is {flags.max_ms:g}")
    most = flags.most_parameters or math.inf
    if cost.parameters > most:
        parts.append(f"has {cost_in_words(cost.parameters, 'parameters')}, --max-parameters is {flags.max_parameters}")
    return f"{name} {' and '.join(parts)}" if parts else ""


def _device(study: SettledStudy) -> str:
    flags = study.cost
    device = flags.ms_device or device_of_trials(study.gpus_per_trial)
    if device != "cuda" or visible_gpus():
        return device
    if flags.max_ms is None and flags.second != "ms":
        return "cpu"  # on a cluster, where this machine may have none, and nothing depends on the time
    raise UserError("there is no GPU here to measure milliseconds on: give --ms-device cpu")


def _refuse_nothing_to_weigh(costs: AnsweringCosts, flags: CostFlags) -> None:
    """Raises a `UserError` if all networks cost the same, so that one objective decides nothing."""
    if flags.second is not None and len({cost.named(flags.second) for cost in costs.networks}) < 2:
        names = ", ".join(dict.fromkeys(cost.backbone for cost in costs.networks))
        raise UserError(
            f"--objective {flags.objective} weighs score against cost, but there is one network to search ({names}): "
            "give several --backbones, another --space or a higher limit, or leave --objective out"
        )
