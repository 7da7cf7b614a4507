"""What a network costs, computed and measured: the part of `trainables.networks.known_costs` that needs torch.

Parameters, multiply-adds, activations and memory come from running the network on torch's meta device, where tensors
have shapes and no content: a fraction of a second a backbone. Throughput is measured on the device at hand.

Letters: `B` batch, `S` image size in pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

import timm
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from trainables.config import Precision
from trainables.errors import UserError
from trainables.networks.freezing import choose_trained
from trainables.networks.known_costs import StepSetting
from trainables.networks.model import autocast, memory_format, size_options, without_content
from trainables.networks.small_maps import suit_small_maps
from trainables.reason import reason_of

WARM_UP_STEPS = 2
MEASURED_SECONDS = 1.5
_IN_BFLOAT16 = (functional.conv2d, functional.linear, torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__)
_ATTENTION = functional.scaled_dot_product_attention
_IN_FLOAT32 = (functional.layer_norm, functional.group_norm, functional.softmax, torch.softmax, torch.Tensor.softmax)


def build(backbone: str, image_size: int) -> nn.Module:
    """The network at random for pictures of this size, with a classifier of two classes."""
    return timm.create_model(backbone, num_classes=2, **size_options(backbone, image_size))


def compute_facts(backbone: str, image_size: int) -> Mapping[str, int]:
    """The numbers of `trainables.networks.known_costs.ModelFacts`.

    Raises:
        UserError: The network cannot be built for, or run at, this size; the reason alone.
    """
    try:
        model = without_content(backbone, partial(build, backbone, image_size)).train().to("meta")
        float32 = _Kept(model, image_size, in_bfloat16=False)
        bfloat16 = _Kept(model, image_size, in_bfloat16=True)
    except Exception as error:  # timm asserts, raises and divides by zero where a size does not suit a network
        reason = reason_of(error)
        raise UserError(reason) from error
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "multiply_adds": float32.multiply_adds,
        "activations": float32.activations,
        "kept_bytes": float32.bytes,
        "kept_bytes_bfloat16": bfloat16.bytes,
    }


class _Kept:
    """One forward pass on the meta device: what it computes, and what it keeps for the backward pass."""

    BATCH = 2  # batch norm cannot be trained on one picture

    def __init__(self, model: nn.Module, image_size: int, *, in_bfloat16: bool) -> None:
        self._owned = {tensor.untyped_storage()._cdata for tensor in [*model.parameters(), *model.buffers()]}
        self._storages: dict[int, torch.UntypedStorage] = {}  # held, so that no address is used twice
        self._elements = 0
        layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        handles = [layer.register_forward_hook(self._count) for layer in layers]
        pictures = torch.empty(self.BATCH, 3, image_size, image_size, device="meta")
        kernels = _Kernels(self._owned, in_bfloat16=in_bfloat16)
        keep = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)
        with FlopCounterMode(display=False) as flops, keep, kernels:
            model(pictures)
        for handle in handles:
            handle.remove()
        self.multiply_adds = (flops.get_total_flops() // 2 + kernels.multiply_adds) // self.BATCH
        self.activations = self._elements // self.BATCH
        self.bytes = sum(storage.nbytes() for storage in self._storages.values()) // self.BATCH

    def _count(self, _layer: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        self._elements += output.numel()

    def _keep(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._owned:
            self._storages[storage._cdata] = storage
        return tensor


class _Kernels(TorchFunctionMode):
    """What the meta device does otherwise than a CPU or a GPU: autocast, attention and batch norm.

    Attention would keep its `N x N` weights there; real kernels keep what goes in and comes out.
    """

    def __init__(self, owned: set[int], *, in_bfloat16: bool) -> None:
        super().__init__()
        self.multiply_adds = 0
        self._owned, self._in_bfloat16 = owned, in_bfloat16
        self._weights: list[torch.UntypedStorage] = []

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        dtype = None
        if self._in_bfloat16:
            low, high = func in _IN_BFLOAT16 or func is _ATTENTION, func in _IN_FLOAT32
            dtype = torch.bfloat16 if low else torch.float32 if high else None
        if dtype is not None:
            args = tuple(self._cast(value, dtype) for value in args)
            kwargs = {name: self._cast(value, dtype) for name, value in kwargs.items()}
        if func is functional.batch_norm:  # torch takes it apart on the meta device, at 10 ms a layer
            return _BatchNorm.apply(args[0] if args else kwargs["input"])
        if func is not _ATTENTION:
            return func(*args, **kwargs)
        query, key, value = (*args, *(kwargs[name] for name in ("query", "key", "value") if name in kwargs))[:3]
        self.multiply_adds += query.numel() * key.shape[-2] + query.shape[:-1].numel() * key.shape[-2] * value.shape[-1]
        return _Attention.apply(query, key, value)

    def _cast(self, value: Any, dtype: torch.dtype) -> Any:
        if not isinstance(value, torch.Tensor) or value.dtype == dtype or not value.is_floating_point():
            return value
        cast = value.to(dtype)
        if value.untyped_storage()._cdata in self._owned:  # counted by `training_bytes`, not as kept by a picture
            self._weights.append(cast.untyped_storage())
            self._owned.add(cast.untyped_storage()._cdata)
        return cast


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(features)
        return torch.empty_like(features)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> None:
        raise NotImplementedError("the meta device only goes forward")


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        answer = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, answer)
        return answer

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> None:
        raise NotImplementedError("the meta device only goes forward")


def time_training(setting: StepSetting) -> float:
    """Images a second of forward, backward and update on random pictures that are on the device already."""
    threads = torch.get_num_threads()
    torch.set_num_threads(setting.num_threads)
    try:
        # Of a single thread its own time: Ray may be starting on the same cores.
        clock = time.thread_time if (setting.device, setting.num_threads) == ("cpu", 1) else time.perf_counter
        return _train_for_a_while(setting, clock)
    finally:
        torch.set_num_threads(threads)


def _train_for_a_while(setting: StepSetting, clock: Callable[[], float]) -> float:
    device, size, batch_size = torch.device(setting.device), setting.image_size, setting.batch_size
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        layout = memory_format(setting.backbone, device, setting.precision)
        model = build(setting.backbone, size).to(device).to(memory_format=layout).train()
        suit_small_maps(model)
        if setting.frozen_stages:
            choose_trained(model, setting.frozen_stages)
        step = training_step(model, size, batch_size, device, layout, setting.precision)
        for _ in range(WARM_UP_STEPS):
            step()
        taken: list[float] = []
        while sum(taken) < MEASURED_SECONDS:
            started = clock()
            step()
            taken.append(clock() - started)
        return batch_size / median(taken)  # whatever else the machine does now and then


def training_step(
    model: nn.Module,
    image_size: int,
    batch_size: int,
    device: torch.device,
    layout: torch.memory_format,
    precision: Precision = "auto",
) -> Callable[[], None]:
    """Forward, backward and update of a network of two classes on random pictures `(B, 3, S, S)` on its device."""
    pictures = torch.rand(batch_size, 3, image_size, image_size, device=device).contiguous(memory_format=layout)
    targets = torch.randint(2, (batch_size,), device=device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast(device, precision):
            logits = model(pictures)
        functional.cross_entropy(logits.float(), targets).backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step
