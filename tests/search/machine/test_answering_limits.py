"""Backbones beyond a limit are left out with their numbers, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm

from search.cost_flags import CostFlags
from search.machine.answering_limits import most_kept, within_limits
from search.study import AskedStudy
from trainables.errors import UserError
from trainables.networks.answering_costs import AnsweringCost, AnsweringCosts
from trainables.networks.measure_answers import measure_answering


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
