"""A timm backbone with a classifier of its own, for pictures of any size, on its device.

Letters: `B` batch, `S` image size in pixels.
"""

from __future__ import annotations

import difflib
import errno
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import timm
import torch
from torch import nn
from torch.nn import functional

from trainables.config import Precision
from trainables.data.batches import Side
from trainables.errors import UserError
from trainables.machine.hardware import precision_on
from trainables.parts.registry import backbone_identity, is_own_network, is_wrapped, where
from trainables.reason import reason_of
from trainables.second_view import MIRROR, WHOLE

SLOWER_CHANNELS_LAST_ON_CPU = ("resnet",)
"""Families measured slower with channels last on a CPU (resnet18: 59 -> 48 images/s on one thread at 64 px);
efficientnet, mobilenet and densenet gain 1.2 to 1.8 times, ConvNeXt, ViT and DeiT are as fast either way, and every
family gains on a GPU in bfloat16."""


def choose_device(name: str) -> torch.device:
    """The torch device for `TaskConfig.device`; auto takes CUDA where there is one, or else a Mac's GPU.

    A CUDA device has its number: torch's functions about memory refuse one without. Ray shows a trial its own GPUs
    alone, so the first of them is the trial's.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    return torch.device("cuda", 0) if device.type == "cuda" and device.index is None else device


def usable_device(name: str) -> torch.device:
    """The same, of a user's choice, once something could be put there.

    Raises:
        UserError: It cannot be used here.
    """
    try:
        device = choose_device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # each of torch's backends has its own
        raise UserError(f"the device {name!r} cannot be used here ({reason_of(error)}); use auto or cpu") from error
    return device


def memory_format(backbone: str, device: torch.device, precision: Precision = "auto") -> torch.memory_format:
    """The memory format in which this family is fastest on this device.

    On GPUs that compute in float32, channels last is slower (pytorch/pytorch#44943; not measured here).
    """
    slower = device.type == "cpu" and backbone.startswith(SLOWER_CHANNELS_LAST_ON_CPU)
    in_float32 = device.type == "cuda" and precision_on("cuda", precision) == "float32"
    return torch.contiguous_format if slower or in_float32 else torch.channels_last


def create_backbone(
    backbone: str,
    num_classes: int,
    image_size: int,
    *,
    file: str | None = None,
    dropout: float = 0.0,
    drop_path: float = 0.0,
) -> nn.Module:
    """A timm network for pictures of this size, on the CPU.

    Args:
        backbone: timm name.
        num_classes: Outputs; 0 for pooled features.
        image_size: Side of the square picture, in pixels.
        file: Pretrained weights, position embeddings of another size resampled by timm; None for random ones.
        dropout: timm's `drop_rate`.
        drop_path: timm's `drop_path_rate`.

    Raises:
        FileNotFoundError: There is no such file.
        RuntimeError: timm does not know the backbone, or the weights do not fit it.
        UserError: The backbone has no drop path, or cannot take pictures of this size.
    """
    if file is not None and not Path(file).is_file():  # timm's own word for it names no file
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)
    with_drop_path: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path > 0 else {}
    try:
        model = timm.create_model(
            backbone,
            pretrained=file is not None,
            pretrained_cfg_overlay={"file": file} if file is not None else None,
            num_classes=num_classes,
            drop_rate=dropout,
            **with_drop_path,
            **size_options(backbone, image_size),
        )
    except TypeError as error:
        if "drop_path_rate" in str(error):
            raise _no_drop_path(backbone) from error
        if "img_size" in str(error):
            raise _other_size(backbone, image_size, error) from error
        raise
    except AssertionError as error:
        raise _other_size(backbone, image_size, error) from error
    if (backbone, image_size) not in _SUITING:
        _refuse_size(model, backbone, image_size)
        if is_own_network(backbone):
            from trainables.parts.networks import refuse_output

            refuse_output(model, backbone, num_classes, image_size)
        _SUITING.add((backbone, image_size))
    return model


def classifiers(model: nn.Module) -> tuple[nn.Module, ...]:
    """The last layers of a timm network; distilled transformers have two."""
    heads = cast(Any, model).get_classifier()  # timm's own method
    return tuple(heads) if isinstance(heads, (tuple, list)) else (heads,)


def zero_heads(model: nn.Module, spread: float = 0.0) -> None:
    """Starts a network's classifiers from zero, so that its first answer is that it does not know.

    Of a classifier of several layers that is the last one: what comes before must let gradients through.

    timm draws those of EfficientNets and MobileNets for 1,000 classes: with few, the first logits have a standard
    deviation of about 5 and the first loss is twice that of a guess, which costs a short training most (measured:
    docs/recipe.md). Families that start sensibly are as good from zero.

    Args:
        model: A timm network.
        spread: Standard deviation of the weights, for an optimizer that does not get away from zero.
    """
    for head in classifiers(model):
        layers = [layer for layer in head.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        last = [layer for layer in layers if layer.weight.shape[0] == model.num_classes]  # two where it is distilled
        for layer in last or layers[-1:]:
            nn.init.trunc_normal_(layer.weight, std=spread) if spread else nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


_SUITING: set[tuple[str, int]] = set()
"""Backbones and sizes that suit each other, as this process has found: it takes longer than to build the network."""


def size_options(backbone: str, image_size: int) -> dict[str, Any]:
    """What timm must be told to build the backbone for pictures of this size; nothing for most families.

    Transformers with position embeddings are made for one size, which timm marks as `fixed_input_size`. A network of
    the user's own is tried with pictures of the size, and told it where its function takes it.
    """
    if is_wrapped(backbone):
        return {"image_size": image_size}
    settings = timm.get_pretrained_cfg(backbone)
    fixed = settings is not None and settings.fixed_input_size and settings.input_size[-1] != image_size
    return {"img_size": image_size} if fixed else {}


def _refuse_size(model: nn.Module, backbone: str, image_size: int) -> None:
    """Runs one picture through the network without computing (torch's meta device).

    What fails there is tried in earnest before it counts, as not every operation knows that device.
    """
    was_training = model.training
    model.eval()
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    empty = {name: torch.empty_like(value, device="meta") for name, value in tensors.items()}
    shape = (1, 3, image_size, image_size)
    try:
        with torch.no_grad():
            try:
                torch.func.functional_call(model, empty, (torch.empty(shape, device="meta"),))
            except Exception:
                model(torch.zeros(shape))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise _other_size(backbone, image_size, error) from error
    finally:
        model.train(was_training)


def _other_size(backbone: str, image_size: int, error: Exception) -> UserError:
    reason = reason_of(error)
    return UserError(
        f"{backbone} cannot take pictures of {image_size} px ({reason}): give another --image-size, or leave it out "
        "by --backbones"
    )


def _no_drop_path(backbone: str) -> UserError:
    named = where("network", backbone) if is_own_network(backbone) else backbone
    return UserError(f"{named} has no drop path: set drop_path to 0")


def num_parameters(backbone: str, *, drop_path: bool = False) -> int:
    """Parameters of a backbone with a classifier of two classes; nothing is allocated for it.

    Raises:
        UserError: timm does not know the backbone; names the nearest. Or it is asked for drop path and has none.
    """
    return _num_parameters(backbone, backbone_identity(backbone), drop_path)


@functools.cache
def _num_parameters(backbone: str, _identity: str, drop_path: bool) -> int:
    if not timm.is_model(backbone):
        close = difflib.get_close_matches(backbone, timm.list_models(), n=1, cutoff=0.5)
        raise UserError(f"timm has no model {backbone!r}{f': did you mean {close[0]!r}?' if close else ''}")
    options: dict[str, Any] = {"drop_path_rate": 0.1} if drop_path else {}
    try:
        model = without_content(backbone, functools.partial(timm.create_model, backbone, num_classes=2, **options))
    except TypeError as error:
        raise _no_drop_path(backbone) if "drop_path_rate" in str(error) else error from error
    return sum(parameter.numel() for parameter in model.parameters())


def without_content(backbone: str, create: Callable[[], nn.Module]) -> nn.Module:
    """A network on torch's meta device, where tensors have shapes and no content.

    One of the user's own that cannot be made there, as it reads a number out of a tensor, is made in earnest.

    Args:
        backbone: timm name.
        create: Makes it.
    """
    try:
        with torch.device("meta"):
            return create()
    except Exception:
        if not is_own_network(backbone):
            raise
        return create()


class Normalizer:
    """Turns stored pictures into what the network was pretrained on."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        """Takes mean and standard deviation from timm's configuration of the model."""
        settings = getattr(model, "pretrained_cfg", None) or {}
        mean = torch.tensor(settings.get("mean", (0.5, 0.5, 0.5)), device=device).view(1, 3, 1, 1)
        std = torch.tensor(settings.get("std", (0.5, 0.5, 0.5)), device=device).view(1, 3, 1, 1)
        self._scale, self._shift = 1 / std, -mean / std

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Maps `(B, 3, H, W) float32` from 0 to 1 onto the network's scale."""
        return torch.addcmul(self._shift, pictures, self._scale)


def autocast(device: torch.device, precision: Precision = "auto") -> torch.autocast:
    """Computes in the precision that is asked for, by default the device's own; the weights stay in float32."""
    chosen = precision_on(device.type, precision)
    dtype = torch.float16 if chosen == "float16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=chosen != "float32")


def centre_crops(side: Side, batch_size: int, image_size: int, normalize: Normalizer) -> Iterator[torch.Tensor]:
    """What a network sees of a side when it is not trained: `(B, 3, S, S) float32` batches, in the side's order."""
    for stored, _ in side.batches(batch_size):
        yield normalize(centre_crop(stored, image_size).float().div_(255))


def views(pixels: torch.Tensor, image_size: int, second_view: str) -> tuple[torch.Tensor, ...]:
    """What a network of a model answers to, `(B, 3, S, S)` each, of pixels `(B, 3, P, P) float32` of stored pictures.

    Args:
        pixels: On their device.
        image_size: S.
        second_view: One of `trainables.second_view.SECOND_VIEWS`.
    """
    middle = centre_crop(pixels, image_size)
    if not second_view:
        return (middle,)
    other = middle
    if second_view != MIRROR:  # bilinear, as random crops are
        other = functional.interpolate(pixels, size=(image_size, image_size), mode="bilinear")
    return middle, other if second_view == WHOLE else other.flip(-1)


def centre_crop(pictures: torch.Tensor, image_size: int) -> torch.Tensor:
    """The middle `(B, 3, image_size, image_size)` of stored pictures, a view."""
    top = (pictures.shape[-2] - image_size) // 2
    left = (pictures.shape[-1] - image_size) // 2
    return pictures[..., top : top + image_size, left : left + image_size]
