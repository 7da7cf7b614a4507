"""A user's own network as timm's functions take one: its features, dropout and a classifier.

Letters: `B` batch, `F` features, `C` classes, `S` image size in pixels.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import timm
import torch
from torch import nn

from trainables.errors import UserError
from trainables.parts.registry import Parts, told_apart, where

TRIED_SIZES = (
    *(64, 224, 96, 128, 160, 192, 256, 288, 320, 384, 448, 512, 32, 28),
    *(40, 48, 56, 72, 80, 100, 112, 120, 144, 150, 176, 200, 240, 299, 300),
)
"""Pictures by which the number of features is found out, in pixels: some networks take one size alone."""
USUAL_SIZE = 224
"""Pixels that a network is made for where nobody has said for how many."""


class OwnNetwork(nn.Module):
    """A body of the user's with dropout and a linear classifier; answers with features where `num_classes` is 0."""

    def __init__(
        self, body: nn.Module, num_classes: int, dropout: float, name: str, image_size: int | None = None
    ) -> None:
        super().__init__()
        self.body = body
        self.num_features = _num_features(body, name, TRIED_SIZES if image_size is None else (image_size,))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.num_classes = num_classes
        self.pretrained_cfg = getattr(body, "pretrained_cfg", None) or {}

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Maps `(B, 3, S, S) float32` to logits `(B, C)`."""
        return self.head(self.dropout(self.body(pictures)))

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head


def register(parts: Parts, ours: set[str]) -> None:
    """Makes the networks of a file known to timm, by their names.

    Args:
        parts: The file.
        ours: Names that files of this process have taken before; takes those of this one.

    Raises:
        UserError: timm has a network of this name.
    """
    made = {name: _entrypoint(parts, name, function) for name, function in parts.found["network"].items()}
    for name, entrypoint in {**made, **parts.timm_networks}.items():
        if timm.is_model(name) and name not in ours:
            raise UserError(f"{parts.file}: timm has a network {name!r} of its own: give yours another name")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Overwriting ")  # another file's, or this one's, used before
            timm.models.register_model(entrypoint)
        ours.add(name)


def refuse_output(network: nn.Module, name: str, num_classes: int, image_size: int) -> None:
    """Tries one picture on a network of the user's own.

    Raises:
        UserError: It does not answer with so many classes, or does not tell its classifier.
    """
    if not callable(getattr(network, "get_classifier", None)):
        raise UserError(
            f"{where('network', name)} has no get_classifier(), which timm's networks have: return one of timm's "
            "classes, or put @parts.network above a function whose network makes features"
        )
    was_training = network.training
    network.eval()
    with torch.no_grad(), told_apart("network", name):
        shape = tuple(network(torch.zeros(1, 3, image_size, image_size)).shape)
    network.train(was_training)
    wanted = (1, num_classes) if num_classes else (1, getattr(network, "num_features", shape[-1]))
    if shape != wanted:
        raise UserError(
            f"{where('network', name)} makes {shape} of a picture and {num_classes} classes: it must be {wanted}. "
            "Make its last layer by num_classes"
        )


def _entrypoint(parts: Parts, name: str, function: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """What timm calls to create the network."""
    taken = inspect.signature(function).parameters
    free = any(each.kind == each.VAR_KEYWORD for each in taken.values())

    def create(
        pretrained: bool = False,
        num_classes: int = 1000,
        drop_rate: float = 0.0,
        drop_path_rate: float | None = None,
        pretrained_cfg_overlay: dict[str, Any] | None = None,
        image_size: int | None = None,
        **_: Any,
    ) -> nn.Module:
        options: dict[str, Any] = {}
        size = image_size
        if "image_size" in taken:
            default = taken["image_size"].default
            size = image_size or (default if isinstance(default, int) else USUAL_SIZE)
            options["image_size"] = size
        if drop_path_rate is not None:
            if "drop_path" not in taken and not free:
                raise UserError(
                    f"{where('network', name)} has no drop path: let the function take `drop_path`, or set "
                    "drop_path to 0"
                )
            options["drop_path"] = drop_path_rate
        with told_apart("network", name):
            body = function(**options)
        if not isinstance(body, nn.Module):
            raise UserError(f"{where('network', name)} returns {type(body).__name__}: it must return a torch.nn.Module")
        network = OwnNetwork(body, num_classes, drop_rate, name, size)
        overlay = {key: value for key, value in (pretrained_cfg_overlay or {}).items() if key in ("mean", "std")}
        network.pretrained_cfg = {**network.pretrained_cfg, **overlay}
        if pretrained:
            _load(network, (pretrained_cfg_overlay or {}).get("file"), name)
        return network

    create.__name__ = create.__qualname__ = name
    create.__module__ = parts.module.__name__
    return create


def _load(network: OwnNetwork, file: str | None, name: str) -> None:
    """Loads weights into the body, whatever classifier the file has."""
    from timm.models import load_state_dict

    if file is None:
        raise UserError(f"{where('network', name)} has no weights to be had: start at random, by --weights none")
    held = {key: value for key, value in load_state_dict(file).items() if not key.startswith("head.")}
    network.load_state_dict(held, strict=False)


def _num_features(body: nn.Module, name: str, sizes: Sequence[int]) -> int:
    """Features of a body: what it says, or what it makes of two pictures of one of these sizes."""
    said = getattr(body, "num_features", None)
    if isinstance(said, int):
        return said
    device = next((tensor.device for tensor in (*body.parameters(), *body.buffers())), torch.device("cpu"))
    was_training, shape = body.training, None
    body.eval()
    failed: Exception | None = None
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for size in sizes:
            try:
                shape = tuple(body(torch.zeros(2, 3, size, size, device=device)).shape)
                break
            except Exception as error:
                failed = failed or error
    body.train(was_training)
    if shape is None:
        assert failed is not None
        with told_apart("network", name):
            raise failed
    if len(shape) != 2 or shape[0] != 2:
        raise UserError(
            f"{where('network', name)} makes {shape} of 2 pictures: it must be pooled features (2, F), as "
            ".mean((2, 3)) makes them of (2, F, height, width)"
        )
    return int(shape[1])
