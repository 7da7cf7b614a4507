"""Convolutions over small maps, made fast to train on a CPU: depthwise and pointwise ones.

For the gradient of a depthwise convolution's weights over a map smaller than its kernel, oneDNN falls back on a kernel
that is many times as slow as its others: at 64 px that alone was 40% of a training step of tf_efficientnet_lite0. With
the padding put around a map beforehand, the map is no longer smaller than the kernel, and the fast one is found. A
pointwise convolution, 1x1, is a matrix product, and over a small map it is faster as one. (Measured: docs/speed.md.)
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

MOST_PLACES = 49
"""Pixels of a map up to which a pointwise convolution is faster as a matrix product: 7 x 7. Both passes are 1.0 to
1.2 times as fast there, 1.5 times over 2 x 2, 2.5 times over one pixel; from 8 x 8 on neither is surely faster."""


class PaddedConv2d(nn.Conv2d):
    """A depthwise convolution that pads a map smaller than its kernel by itself, while it is trained.

    It answers as `nn.Conv2d` does: exactly where nothing is trained, and to rounding where something is.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Maps `(B, C, H, W)` as `nn.Conv2d` does."""
        if not torch.is_grad_enabled() or min(input.shape[-2:]) >= max(self.kernel_size):
            return super().forward(input)
        down, across = cast(tuple[int, int], self.padding)
        padded = functional.pad(input, (across, across, down, down))
        return functional.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class PointwiseConv2d(nn.Conv2d):
    """A pointwise convolution that is a matrix product over a small map with channels last, while it is trained.

    It answers as `PaddedConv2d` does.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Maps `(B, C, H, W)` as `nn.Conv2d` does."""
        is_small = input.shape[-2] * input.shape[-1] <= MOST_PLACES
        if not torch.is_grad_enabled() or not is_small or not input.is_contiguous(memory_format=torch.channels_last):
            return super().forward(input)
        return functional.linear(input.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def suit_small_maps(model: nn.Module) -> None:
    """Makes the network's convolutions `PaddedConv2d` and `PointwiseConv2d`, in place; weights and their names stay.

    Args:
        model: On its device. What is not on a CPU is left as it is: a GPU has fast kernels for all of them.
    """
    for layer in model.modules():
        if type(layer) is not nn.Conv2d or layer.weight.device.type != "cpu":
            continue
        if _pads_depthwise(layer):
            layer.__class__ = PaddedConv2d
        elif _is_pointwise(layer):
            layer.__class__ = PointwiseConv2d


def _pads_depthwise(layer: nn.Conv2d) -> bool:
    depthwise = 1 < layer.groups == layer.in_channels
    return depthwise and layer.padding_mode == "zeros" and isinstance(layer.padding, tuple) and max(layer.padding) > 0


def _is_pointwise(layer: nn.Conv2d) -> bool:
    shape = (layer.kernel_size, layer.stride, layer.padding, layer.groups)
    return shape == ((1, 1), (1, 1), (0, 0), 1)
