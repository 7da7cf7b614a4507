"""Backbones beyond a limit are left out with their numbers, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch

from search.cost_flags import CostFlags
from search.machine.answering_limits import most_kept, with_room, within_limits
from search.machine.memory_needs import BackboneFacts
from search.start import _trainable
from search.study import AskedStudy
from trainables.errors import UserError
from trainables.networks import time_answers
from trainables.networks.answering_costs import AnsweringCost, AnsweringCosts
from trainables.networks.known_costs import ModelFacts
from trainables.networks.measure_answers import NETWORK_SECONDS, measure_answering


def a_cost(backbone: str, ms: float, parameters: int, formulation: str = "joint") -> AnsweringCost:
    return AnsweringCost(backbone, formulation, parameters, ms, 0.9 * ms, 1.2 * ms)


COSTS = AnsweringCosts(
    "1 thread", (a_cost("small", 2, 500_000), a_cost("wide", 3, 9_000_000), a_cost("deep", 20, 10**6))
)


@pytest.mark.parametrize(
    ("flags", "kept", "says"),
    [
        ({"max_ms": 10.0}, ("small", "wide"), "deep takes 20 ms (18 to 24), --max-ms is 10: left out of the search"),
        ({"max_parameters": "5M"}, ("small", "deep"), "wide has 9M parameters, --max-parameters is 5M: left out"),
        ({"max_ms": 10.0, "max_parameters": "5M"}, ("small",), "wide has 9M"),
        ({"max_ms": 2.0}, ("small",), "deep takes"),
        ({"objective": "f1,ms"}, ("small", "wide", "deep"), ""),
    ],
)
def test_what_is_beyond_a_limit_is_left_out_with_its_numbers(
    flags: dict[str, Any], kept: tuple[str, ...], says: str
) -> None:
    priced = within_limits(COSTS, {}, CostFlags(**flags))
    assert priced.backbones == kept
    assert {cost.backbone for cost in priced.costs.networks} == set(kept)
    assert says in priced.left_out


def test_where_none_is_left_it_is_refused_with_all_numbers_and_the_way_out() -> None:
    with pytest.raises(UserError, match=r"--max-ms 1 on 1 thread: small takes 2 ms .*deep takes 20 ms.*higher limit"):
        within_limits(COSTS, {}, CostFlags(max_ms=1.0))


def test_a_backbone_is_beyond_a_limit_that_one_of_its_formulations_is_beyond() -> None:
    networks = (a_cost("small", 2, 500_000), a_cost("small", 6, 1_500_000, "separate"), a_cost("tiny", 1, 1000))
    priced = within_limits(AnsweringCosts("1 thread", networks), {}, CostFlags(max_ms=5.0))
    assert priced.backbones == ("tiny",)
    assert "small as separate takes 6 ms" in priced.left_out


def test_a_space_of_ones_own_is_left_to_its_author() -> None:
    with pytest.raises(UserError, match=r"mine\.py:space proposes .*deep takes 20 ms.*Take it out of the file"):
        within_limits(COSTS, {}, CostFlags(max_ms=10.0), own="mine.py:space")


def test_one_network_is_nothing_to_weigh() -> None:
    with pytest.raises(UserError, match=r"there is one network to search \(small\)"):
        within_limits(COSTS, {}, CostFlags(objective="f1,ms", max_ms=2.0))


def test_networks_of_one_size_are_nothing_to_weigh_either() -> None:
    alike = AnsweringCosts("1 thread", (a_cost("one", 2, 500_000), a_cost("other", 3, 500_000)))
    with pytest.raises(UserError, match=r"all cost the same \(one, other: 500k parameters each\): give several"):
        within_limits(alike, {}, CostFlags(objective="f1,parameters"))
    assert within_limits(alike, {}, CostFlags(objective="f1,ms")).backbones == ("one", "other")


def test_what_memory_has_no_room_for_has_no_price_and_is_nothing_to_weigh() -> None:
    flags = CostFlags(objective="f1,ms", max_ms=10.0)
    priced = within_limits(COSTS, {}, flags)
    narrowed = with_room(priced, ("small",), "wide needs 9 GB: left out of the search", CostFlags(max_ms=10.0))
    assert narrowed.backbones == ("small",) and [cost.backbone for cost in narrowed.costs.networks] == ["small"]
    assert narrowed.left_out == priced.left_out
    with pytest.raises(UserError, match=r"one network to search \(small\).*deep takes 20 ms.*; wide needs 9 GB: left"):
        with_room(priced, ("small",), "wide needs 9 GB: left out of the search", flags)


def test_a_run_begins_with_the_costs_of_what_memory_has_room_for() -> None:
    kept_bytes = {"small": 1, "wide": 10**9, "deep": 1}
    facts = BackboneFacts({name: ModelFacts(1, 1, 1, kept, kept) for name, kept in kept_bytes.items()}, {})
    space: Any = SimpleNamespace(formulations=("joint",), own=False)
    nothing: Any = SimpleNamespace(manifest=SimpleNamespace(attributes={}))
    study = AskedStudy.of(objective="f1,ms").settle(2, 0)
    priced = within_limits(COSTS, {}, study.cost)
    backbones, too_large, left = _trainable(space, study, nothing, nothing, facts, 8 * 10**9, priced)
    assert left is not None and too_large.startswith("wide needs")
    assert backbones == left.backbones == ("small", "deep")
    assert {cost.backbone for cost in left.costs.networks} == {"small", "deep"}


def test_what_cannot_be_measured_is_left_out_and_named() -> None:
    priced = within_limits(COSTS, {"odd": "it has no 64 px"}, CostFlags(objective="f1,parameters"))
    assert priced.left_out.startswith("odd cannot be measured: it has no 64 px")


def test_the_disk_is_asked_for_as_many_weights_as_a_front_may_have() -> None:
    keeps = {
        objective: most_kept(AskedStudy.of(objective=objective, keep=keep).settle(2, 0), COSTS)
        for objective, keep in (("f1", 5), ("f1,ms", 2))
    }
    assert keeps == {"f1": 5, "f1,ms": 5}
    assert most_kept(AskedStudy.of(objective="f1,ms", keep=0).settle(2, 0), COSTS) == 0


def test_networks_are_measured_as_they_answer_and_what_cannot_be_is_said(tmp_path: Path) -> None:
    attributes = {"shape": ("round", "round", "edgy", "edgy"), "colour": ("red", "blue", "red", "blue")}
    networks = [("test_resnet", "joint"), ("test_resnet", "separate"), ("no_such_net", "joint")]
    costs, problems = measure_answering(
        networks, num_classes=4, attributes=attributes, image_size=64, device="cpu", cache_dir=tmp_path
    )
    assert list(problems) == ["no_such_net"]
    joint, separate = costs.networks
    alone = sum(weight.numel() for weight in timm.create_model("test_resnet", num_classes=4).parameters())
    assert joint.parameters == alone
    assert 1.9 * alone < separate.parameters < 2 * alone, "a network for each of two attributes"
    assert 0 < joint.ms_low <= joint.ms <= joint.ms_high
    assert separate.ms > joint.ms
    assert costs == AnsweringCosts.from_json(costs.to_json())
    assert costs.of({"backbone": "test_resnet", "formulation": "separate"}) == separate


class Clock:
    """Time that passes where a network answers, and nowhere else."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    thread_time = perf_counter


@pytest.mark.parametrize(
    ("seconds", "passes"), [(0.001, 5 + 10 * 51), (0.2, 5 + 10 * 4), (1.0, 2 + 3 * 4), (3.0, 1 + 4), (11.0, 1 + 4)]
)
def test_a_slow_network_is_measured_in_its_time_by_three_passes_or_more(
    seconds: float, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of each round, and those before all rounds, are not counted."""
    clock, size = Clock(), {"num_classes": 3, "attributes": {}, "image_size": 32, "precision": "auto"}
    answered: list[float] = []

    def answer(_: object) -> None:
        clock.now += seconds
        answered.append(clock.now)

    monkeypatch.setattr(time_answers, "time", clock)
    monkeypatch.setattr(time_answers._Turns, "_answer", answer)
    [found] = time_answers.costs([("test_resnet", "joint")], size, torch.device("cpu"))
    assert found["ms"] == pytest.approx(1000 * seconds)
    assert len(answered) == passes
    assert answered[-1] < NETWORK_SECONDS
