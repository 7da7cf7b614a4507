"""Convolutions over small maps answer and learn as torch's own."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import timm
import torch
from torch import nn

from tests.conftest import TOY
from trainables.config import TaskConfig
from trainables.networks.small_maps import MOST_PLACES, PaddedConv2d, PointwiseConv2d, suit_small_maps
from trainables.training.state import TrainState


def depthwise(kernel: int, stride: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=8), nn.Conv2d(8, 4, 1))


@pytest.mark.parametrize("side", [1, 2, 3, 4, 7])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (5, 2), (7, 1)])
def test_it_answers_and_learns_as_torch_does(kernel: int, stride: int, side: int) -> None:
    plain = depthwise(kernel, stride)
    padded = copy.deepcopy(plain)
    suit_small_maps(padded)
    assert [type(layer) for layer in padded] == [PaddedConv2d, PointwiseConv2d]
    pictures = torch.randn(6, 8, side, side, requires_grad=True)
    again = pictures.detach().clone().requires_grad_()
    for model, shown in ((plain, pictures), (padded, again)):
        model(shown).square().sum().backward()
    assert again.grad is not None and pictures.grad is not None
    torch.testing.assert_close(again.grad, pictures.grad, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(padded.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        assert torch.equal(padded(pictures), plain(pictures))  # a saved model answers to the last bit


def test_a_map_smaller_than_its_kernel_is_padded_before_it_is_convolved(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, object]] = []
    conv2d = nn.functional.conv2d

    def watched(shown: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, stride: object, padding: object, *rest):
        seen.append((shown.shape[-1], padding))
        return conv2d(shown, weight, bias, stride, padding, *rest)

    monkeypatch.setattr("torch.nn.functional.conv2d", watched)
    (layer, _) = model = depthwise(5, 1)
    suit_small_maps(model)
    layer(torch.zeros(1, 8, 4, 4))
    assert seen == [(8, 0)]
    layer(torch.zeros(1, 8, 5, 5))
    with torch.no_grad():
        layer(torch.zeros(1, 8, 4, 4))
    assert [side for side, _ in seen] == [8, 5, 4]


def test_a_network_keeps_its_weights_and_their_names_and_may_be_copied() -> None:
    model = timm.create_model("mobilenetv3_small_050", num_classes=3)
    names = list(model.state_dict())
    suit_small_maps(model)
    found = [layer for layer in copy.deepcopy(model).modules() if isinstance(layer, PaddedConv2d)]
    assert found and all(layer.groups == layer.in_channels > 1 for layer in found)
    assert any(isinstance(layer, PointwiseConv2d) for layer in model.modules())
    assert any(type(layer) is nn.Conv2d for layer in model.modules())
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("side", [1, 4, 7])
@pytest.mark.parametrize("bias", [True, False])
def test_a_pointwise_convolution_answers_and_learns_as_torch_does(side: int, bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(8, 12, 1, bias=bias), nn.ReLU(), nn.Conv2d(12, 4, 1, bias=bias))
    ours = copy.deepcopy(plain)
    suit_small_maps(ours)
    pictures = torch.randn(6, 8, side, side).contiguous(memory_format=torch.channels_last).requires_grad_()
    again = pictures.detach().clone().requires_grad_()
    answers = [model(shown) for model, shown in ((plain, pictures), (ours, again))]
    for answer in answers:
        answer.square().sum().backward()
    torch.testing.assert_close(answers[1], answers[0])
    assert answers[1].is_contiguous(memory_format=torch.channels_last)
    assert again.grad is not None and pictures.grad is not None
    torch.testing.assert_close(again.grad, pictures.grad)
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        assert torch.equal(ours(pictures), plain(pictures))  # a saved model answers to the last bit


def test_a_pointwise_convolution_is_a_product_over_small_maps_with_channels_last_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    convolved: list[int] = []
    conv2d = nn.functional.conv2d

    def watched(shown: torch.Tensor, *rest: object) -> torch.Tensor:
        convolved.append(shown.shape[-1])
        return conv2d(shown, *rest)

    monkeypatch.setattr("torch.nn.functional.conv2d", watched)
    model = nn.Sequential(nn.Conv2d(3, 4, 1))
    suit_small_maps(model)
    largest = math.isqrt(MOST_PLACES)
    small = torch.zeros(2, 3, largest, largest)
    model(small.contiguous(memory_format=torch.channels_last))
    assert convolved == []
    model(small)  # rows first, which a product would have to copy
    model(torch.zeros(2, 3, largest + 1, largest + 1).contiguous(memory_format=torch.channels_last))
    with torch.no_grad():
        model(small.contiguous(memory_format=torch.channels_last))
    assert convolved == [largest, largest + 1, largest]


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 4, 1, 2), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 4, 3, 1, 1)])
def test_other_convolutions_stay_as_they_are(layer: nn.Conv2d) -> None:
    suit_small_maps(layer)
    assert type(layer) is nn.Conv2d


def test_a_trial_on_a_cpu_trains_with_it_and_its_averaged_weights_score_with_it(task: TaskConfig) -> None:
    state = TrainState.start(replace(TOY, ema=0.99), task, steps_per_epoch=2)
    for model in (state.model, state.scored_model):
        assert any(isinstance(layer, PaddedConv2d) for layer in model.modules())
