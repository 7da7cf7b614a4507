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

    Args:
        space: As asked for.
        backbones: Its backbones that have weights.
        num_classes: Classes of the search.
        attributes: Each attribute's value for each class, where the classes have some.
        study: With the limits.

    Raises:
        UserError: As `within_limits`; or nothing can be measured.
    """
    costs, problems = measure_answering(
        [(backbone, formulation) for backbone in backbones for formulation in space.formulations],
        num_classes=num_classes,
        attributes=attributes,
        image_size=study.image_size,
        device=_device(study),
        cache_dir=study.cache_path,
        precision=study.precision,
    )
    return within_limits(costs, problems, study.cost, own=study.space if space.own else "")


def within_limits(costs: AnsweringCosts, problems: Mapping[str, str], flags: CostFlags, *, own: str = "") -> Priced:
    """Leaves out the backbones that are beyond the limits in a formulation that may be proposed.

    Args:
        costs: Of all networks.
        problems: By backbone why one could not be measured.
        flags: The limits.
        own: Path and function of the space if it is a user's own, which only its author can narrow.

    Raises:
        UserError: None is within the limits, one of a user's own space is not, or the search has nothing to weigh;
            names the numbers and the way out.
    """
    reasons = [f"{backbone} cannot be measured: {problem}" for backbone, problem in problems.items()]
    kept = []
    for backbone in dict.fromkeys(cost.backbone for cost in costs.networks if cost.backbone not in problems):
        dear = [_beyond(cost, flags) for cost in costs.networks if cost.backbone == backbone]
        if any(dear):
            reasons.append(next(filter(None, dear)))
        else:
            kept.append(backbone)
    said = "; ".join(reasons)
    if not kept:
        where = "" if flags.max_ms is None else f" on {costs.where}"
        raise UserError(
            f"no backbone is within {limits_in_words(flags)}{where}: {said}. Give a higher limit, a smaller "
            "--image-size, or other --backbones"
        )
    if reasons and own:
        raise UserError(
            f"{own} proposes what is not within {limits_in_words(flags)}: {said}. Take it out of the file, or give a "
            "higher limit"
        )
    costs, left_out = _only(kept, costs), said + LEFT_OUT if said else ""
    _refuse_nothing_to_weigh(costs, left_out, flags)
    return Priced(costs, tuple(kept), left_out)


def with_room(priced: Priced, backbones: Sequence[str], too_large: str, flags: CostFlags) -> Priced:
    """Leaves out the backbones that memory has no room for, so that only what is searched has a price.

    Args:
        priced: What is within the limits.
        backbones: Those of them that there is room for.
        too_large: A sentence about the others; empty if there are none.
        flags: The limits.

    Raises:
        UserError: The search has nothing to weigh; says why.
    """
    costs = _only(backbones, priced.costs)
    _refuse_nothing_to_weigh(costs, "; ".join(filter(None, (priced.left_out, too_large))), flags)
    return Priced(costs, tuple(backbones), priced.left_out)


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
    return f"One picture on {costs.where}, the median (10th to 90th percentile): {'; '.join(each)}"


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


def _only(backbones: Sequence[str], costs: AnsweringCosts) -> AnsweringCosts:
    """The costs of these backbones."""
    return AnsweringCosts(costs.where, tuple(cost for cost in costs.networks if cost.backbone in backbones))


def _refuse_nothing_to_weigh(costs: AnsweringCosts, left_out: str, flags: CostFlags) -> None:
    """Raises a `UserError`, with the sentence about what is left out, if all networks cost the same.

    One of the objectives would decide nothing then.
    """
    second = flags.second
    if second is None or len({cost.named(second) for cost in costs.networks}) > 1:
        return
    names = ", ".join(dict.fromkeys(cost.backbone for cost in costs.networks))
    there_is = f"there is one network to search ({names})"
    if len(costs.networks) > 1:
        each = cost_in_words(costs.networks[0].named(second), second)
        there_is = f"the networks to search all cost the same ({names}: {each} each)"
    raise UserError(
        f"--objective {flags.objective} weighs score against cost, but {there_is}: give several --backbones, another "
        f"--space or a higher limit, or leave --objective out{f'. {left_out}' if left_out else ''}"
    )
