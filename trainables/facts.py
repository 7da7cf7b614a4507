"""What a backbone costs at an image size: computed from the network itself, never typed.

Parameters, multiply-adds, activations and memory come from running the network on torch's meta device, where tensors
have shapes and no content: a fraction of a second a backbone. Throughput is measured on the device at hand. What real
trials took is remembered beside it.

Letters: `B` batch, `S` image size in pixels.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from filelock import FileLock
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from trainables.atomic import replacing
from trainables.hardware import hardware_in_words
from trainables.model import autocast, memory_format, size_options

FACTS_VERSION = 1
"""Part of the cache's keys: raise it when what is computed here changes."""
FACTS_FILE = "facts.json"
COPIES_OF_WEIGHTS = 4
"""The weights, their gradients and AdamW's two moments, all in float32."""
WARM_UP_STEPS = 2
MEASURED_SECONDS = 1.5
_IN_BFLOAT16 = (functional.conv2d, functional.linear, torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__)
_ATTENTION = functional.scaled_dot_product_attention
_IN_FLOAT32 = (functional.layer_norm, functional.group_norm, functional.softmax, torch.softmax, torch.Tensor.softmax)


class FactsError(ValueError):
    """A backbone cannot be run at an image size; names both."""


@dataclass(frozen=True)
class ModelFacts:
    """What a backbone with a classifier of two classes costs at an image size."""

    parameters: int
    multiply_adds: int
    """Of one picture, forward: convolutions, linear layers and attention."""
    activations: int
    """Elements that convolutions and linear layers put out for one picture (Radosavovic et al. 2020)."""
    kept_bytes: int
    """What a picture of a batch keeps for the backward pass in float32."""
    kept_bytes_bfloat16: int
    """The same where autocast computes in bfloat16."""

    def training_bytes(self, batch_size: int, *, bfloat16: bool = False) -> int:
        """Estimated peak of a training step with AdamW, without what a process needs before it has a network.

        Weights, gradients, moments and what is kept for the backward pass; autocast holds the weights in bfloat16
        besides. What a kernel works with for a moment is not in it.
        """
        kept = self.kept_bytes_bfloat16 if bfloat16 else self.kept_bytes
        return self.parameters * (4 * COPIES_OF_WEIGHTS + 2 * bfloat16) + batch_size * kept


def model_facts(backbone: str, image_size: int, cache_dir: Path | None = None) -> ModelFacts:
    """The facts of a backbone at an image size, from `<cache_dir>/facts.json` if they are known.

    Raises:
        FactsError: The network cannot be built for, or run at, this size.
    """
    key = f"{FACTS_VERSION} {backbone} {image_size} timm {timm.__version__} torch {torch.__version__}"
    return ModelFacts(**_cached(cache_dir, key, ModelFacts.__annotations__, lambda: _compute(backbone, image_size)))


def measure_throughput(
    backbone: str,
    image_size: int,
    batch_size: int,
    device: torch.device,
    num_threads: int = 1,
    cache_dir: Path | None = None,
) -> float:
    """Images a second of forward, backward and update on random pictures that are on the device already."""
    key = _speed_key(backbone, image_size, batch_size, device, num_threads)

    def measure() -> Mapping[str, float]:
        threads = torch.get_num_threads()
        torch.set_num_threads(num_threads)
        try:
            return {"images_per_second": _train_for_a_while(backbone, image_size, batch_size, device)}
        finally:
            torch.set_num_threads(threads)

    return _cached(cache_dir, key, ("images_per_second",), measure)["images_per_second"]


def known_throughput(
    backbone: str, image_size: int, batch_size: int, device: torch.device, num_threads: int, cache_dir: Path
) -> float | None:
    """What `measure_throughput` found before; None if it was not asked."""
    found = _load(cache_dir / FACTS_FILE).get(_speed_key(backbone, image_size, batch_size, device, num_threads))
    speed = found.get("images_per_second") if isinstance(found, dict) else None
    return float(speed) if type(speed) in (int, float) else None


@dataclass(frozen=True)
class TrialSetting:
    """What decides how much memory a trial takes and how fast it is, but for the machine it runs on."""

    backbone: str
    image_size: int
    batch_size: int
    device: str
    """cpu or cuda."""
    num_threads: int
    """On a CPU; of no matter on a GPU."""
    precision: str = "auto"


@dataclass(frozen=True)
class TrialFacts:
    """What real trials took."""

    images_per_second: float
    """Training pictures a second of training time, of the latest."""
    memory_bytes: int | None = None
    """Largest peak of the GPU's memory beside the pictures that lie there; None on a CPU."""


def recall_trial(setting: TrialSetting, cache_dir: Path) -> TrialFacts | None:
    """What earlier trials like this took on this machine; None if there were none."""
    return _trial_facts(_load(cache_dir / FACTS_FILE).get(_trial_key(setting)))


def remember_trial(setting: TrialSetting, cache_dir: Path, took: TrialFacts) -> None:
    """Notes what a trial took: its speed takes the place of what was known, its memory only if it is more."""

    def joined(known: object) -> Mapping[str, Any]:
        before = _trial_facts(known)
        peaks = [facts.memory_bytes for facts in (before, took) if facts is not None and facts.memory_bytes is not None]
        return asdict(TrialFacts(took.images_per_second, max(peaks, default=None)))

    _keep(cache_dir, _trial_key(setting), joined)


def _trial_facts(known: object) -> TrialFacts | None:
    if not isinstance(known, dict) or set(known) != set(TrialFacts.__annotations__):
        return None
    speed, memory = known["images_per_second"], known["memory_bytes"]
    fits = type(speed) in (int, float) and speed > 0 and (memory is None or type(memory) is int)
    return TrialFacts(float(speed), memory) if fits else None


def _speed_key(backbone: str, image_size: int, batch_size: int, device: torch.device, num_threads: int) -> str:
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{hardware_in_words()}, {num_threads}"
    versions = f"timm {timm.__version__} torch {torch.__version__}"
    return f"{FACTS_VERSION} {backbone} {image_size} {batch_size} {where} {versions}"


def _trial_key(setting: TrialSetting) -> str:
    device = torch.device(setting.device)
    precision = setting.precision
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" else "float32"  # autocast's choice, see trainables.model
    size = (setting.backbone, setting.image_size, setting.batch_size)
    return f"trial {precision} {_speed_key(*size, device, setting.num_threads)}"


def build(backbone: str, image_size: int) -> nn.Module:
    """The network at random for pictures of this size, with a classifier of two classes."""
    return timm.create_model(backbone, num_classes=2, **size_options(backbone, image_size))


def _compute(backbone: str, image_size: int) -> Mapping[str, int]:
    try:
        with torch.device("meta"):
            model = build(backbone, image_size).train()
        float32 = _Kept(model, image_size, in_bfloat16=False)
        bfloat16 = _Kept(model, image_size, in_bfloat16=True)
    except Exception as error:  # timm asserts, raises and divides by zero where a size does not suit a network
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FactsError(f"{backbone} cannot be run at {image_size} px: {reason}") from error
    facts = ModelFacts(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        multiply_adds=float32.multiply_adds,
        activations=float32.activations,
        kept_bytes=float32.bytes,
        kept_bytes_bfloat16=bfloat16.bytes,
    )
    return asdict(facts)


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


def _train_for_a_while(backbone: str, image_size: int, batch_size: int, device: torch.device) -> float:
    layout = memory_format(backbone, device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        model = build(backbone, image_size).to(device).to(memory_format=layout).train()
        pictures = torch.rand(batch_size, 3, image_size, image_size, device=device).contiguous(memory_format=layout)
        targets = torch.randint(2, (batch_size,), device=device)
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            with autocast(device):
                logits = model(pictures)
            functional.cross_entropy(logits.float(), targets).backward()
            optimizer.step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        for _ in range(WARM_UP_STEPS):
            step()
        steps, started = 0, time.perf_counter()
        while (seconds := time.perf_counter() - started) < MEASURED_SECONDS:
            step()
            steps += 1
        return steps * batch_size / seconds


def _cached(
    cache_dir: Path | None, key: str, names: Any, compute: Callable[[], Mapping[str, Any]]
) -> Mapping[str, Any]:
    """What the cache has under the key if it has these numbers, else computed and kept."""
    if cache_dir is None:
        return compute()
    path = cache_dir / FACTS_FILE
    known = _load(path).get(key)
    if isinstance(known, dict) and set(known) == set(names) and all(type(n) in (int, float) for n in known.values()):
        return known
    found = dict(compute())
    _keep(cache_dir, key, lambda _: found)
    return found


def _keep(cache_dir: Path, key: str, joined: Callable[[object], Mapping[str, Any]]) -> None:
    """Puts something under a key, made from what is there; two searches may do so at once."""
    path = cache_dir / FACTS_FILE
    cache_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        known = _load(path)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({**known, key: joined(known.get(key))}, indent=1, sort_keys=True))


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):  # none yet, or broken: built anew
        return {}
    return content if isinstance(content, dict) else {}
