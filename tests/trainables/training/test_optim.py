"""Optimizers, layer decay and freezing, on networks of several families."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from trainables.config import OPTIMIZERS, TaskConfig, TrialConfig
from trainables.networks.freezing import choose_trained
from trainables.networks.model import create_backbone
from trainables.training.optim import MOST_WARMUP_STEPS, build_optimizer, build_schedule, peak_lr

TASK = TaskConfig(cache_path="", split_path="", checkpoint_dir="", classes=("a", "b"), epochs=10)
FAMILIES = ("test_convnext", "test_vit", "test_efficientnet", "test_resnet")


def network(backbone: str) -> nn.Module:
    """For pictures of 64 pixels."""
    torch.manual_seed(0)
    return create_backbone(backbone, 3, 64)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad(set_to_none=True)
    model(torch.randn(4, 3, 64, 64)).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("backbone", FAMILIES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_moves_weights_and_decays_no_bias_or_norm(backbone: str, optimizer: str) -> None:
    model = network(backbone)
    before = {name: value.clone() for name, value in model.named_parameters()}
    built = build_optimizer(TrialConfig(backbone=backbone, optimizer=optimizer, weight_decay=0.1), model)
    decay = {id(p): group["weight_decay"] for group in built.param_groups for p in group["params"]}
    assert all(decay[id(p)] == 0 for p in model.parameters() if p.ndim <= 1)
    assert any(value == 0.1 for value in decay.values())
    step(model, built)
    head = model.get_classifier().weight
    assert not torch.equal(head, next(before[name] for name, value in model.named_parameters() if value is head))


@pytest.mark.parametrize("backbone", FAMILIES)
@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_layer_decay_lowers_the_rate_from_the_classifier_to_the_stem(backbone: str, optimizer: str) -> None:
    model = network(backbone)
    config = TrialConfig(backbone=backbone, optimizer=optimizer, lr=0.01, layer_decay=0.7, warmup_share=0)
    built = build_optimizer(config, model)
    schedule = build_schedule(config, dataclasses.replace(TASK, schedule="cosine"), built, 1)
    rates = {id(p): group["lr"] for group in built.param_groups for p in group["params"]}
    named = dict(model.named_parameters())
    assert len(rates) == len(named)
    assert rates[id(model.get_classifier().weight)] == peak_lr(built) == pytest.approx(0.01)
    assert rates[id(next(iter(named.values())))] == min(rates.values())
    assert min(rates.values()) < 0.01 * 0.7**3
    decay = {id(p): group["weight_decay"] for group in built.param_groups for p in group["params"]}
    assert all(decay[id(p)] == 0 for p in named.values() if p.ndim <= 1)
    ratio = min(rates.values()) / max(rates.values())
    for _ in range(5):
        built.step()
        schedule.step()
    after = [group["lr"] for group in built.param_groups]
    assert min(after) / max(after) == pytest.approx(ratio)
    assert max(after) < 0.01


@pytest.mark.parametrize("backbone", FAMILIES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_frozen_backbone_stays_as_it_is_and_then_moves(backbone: str, optimizer: str) -> None:
    model = network(backbone).train()
    config = TrialConfig(backbone=backbone, optimizer=optimizer, weight_decay=0.1, frozen_share=0.5)
    built = build_optimizer(config, model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    choose_trained(model, 0, classifier_alone=True)
    for _ in range(2):
        step(model, built)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    head = {id(value) for value in model.get_classifier().parameters()}
    assert changed == {name for name, value in model.named_parameters() if id(value) in head}
    model.train()
    choose_trained(model, 0)
    step(model, built)
    moved = [name for name, value in model.named_parameters() if not torch.equal(value, before[name])]
    assert len(moved) > 0.5 * len(list(model.parameters()))  # blocks that begin with a scale of 0 wait a step


def rates(schedule: str, epochs: int) -> list[float]:
    """The learning rate of each of ten epochs of two steps."""
    model = network("test_efficientnet")
    config = TrialConfig(backbone="test_efficientnet", lr=0.01, warmup_share=0.1)
    built = build_optimizer(config, model)
    moving = build_schedule(config, dataclasses.replace(TASK, schedule=schedule, epochs=epochs), built, 2)
    found = []
    for _ in range(20):
        found.append(peak_lr(built))
        built.step()
        moving.step()
    return found


def test_a_constant_rate_does_not_depend_on_where_a_trial_ends() -> None:
    assert rates("constant", 10) == rates("constant", 1000) == [0.005] + 19 * [0.01]


def test_a_cosine_falls_to_zero_over_its_epochs() -> None:
    falling = rates("cosine", 10)
    assert falling[1] == 0.01 and falling[2:] == sorted(falling[2:], reverse=True) and falling[-1] < 0.001


def test_the_frozen_share_is_of_all_epochs_or_the_first_of_a_schedule_without_an_end() -> None:
    horizons = [dataclasses.replace(TASK, epochs=40, schedule=name).horizon for name in ("cosine", "constant")]
    assert horizons == [40, 10]
    assert [TrialConfig(backbone="x", frozen_share=s).frozen_epochs(10) for s in (0, 0.1, 0.5)] == [0, 1, 5]


@pytest.mark.parametrize(("steps", "warm"), [(100, 100), (2000, MOST_WARMUP_STEPS)])
def test_a_warm_up_of_a_large_set_has_no_more_steps_than_it_needs(steps: int, warm: int) -> None:
    config = TrialConfig(backbone="test_resnet", lr=0.1, warmup_share=0.1)
    optimizer = build_optimizer(config, network("test_resnet"))
    [factor] = set(build_schedule(config, TASK, optimizer, steps).lr_lambdas)
    assert factor(warm - 2) < factor(warm - 1) == factor(warm) == 1
