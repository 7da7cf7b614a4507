"""Depthwise convolutions over maps that are smaller than their kernels, made fast to train on a CPU.

For the gradient of their weights oneDNN falls back on a kernel that is many times as slow as its others: at 64 px that
alone was 40% of a training step of tf_efficientnet_lite0. With the padding put around a map beforehand, the map is
no longer smaller than the kernel, and the fast one is found (measured: docs/speed.md).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional


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


def pad_small_maps(model: nn.Module) -> None:
    """Makes the network's depthwise convolutions `PaddedConv2d`, in place; weights and their names stay.

    Args:
        model: On its device. What is not on a CPU is left as it is: a GPU has fast kernels for all of them.
    """
    for layer in model.modules():
        if type(layer) is nn.Conv2d and layer.weight.device.type == "cpu" and _pads_depthwise(layer):
            layer.__class__ = PaddedConv2d


def _pads_depthwise(layer: nn.Conv2d) -> bool:
    depthwise = 1 < layer.groups == layer.in_channels
    return depthwise and layer.padding_mode == "zeros" and isinstance(layer.padding, tuple) and max(layer.padding) > 0
