"""Your own parts of a search: networks, losses, augmentations, metrics and a decision rule, all in one file.

    from macrotune import parts

    @parts.loss
    def halves(logits, targets):
        ...

Each decorator names a function as a part and gives it back as it is. Outside of a file that `--space` or `--parts`
names they do nothing else. docs/parts.md has an example of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from trainables.parts.registry import offer

__all__ = ["augmentation", "decision", "loss", "metric", "network"]

Part = TypeVar("Part", bound=Callable[..., Any])


def network(function: Part) -> Part:
    """A network: a function that returns a `nn.Module` from pictures `(B, 3, S, S) float32` to features `(B, F)`.

    Its name is a backbone then. It gets a classifier of its own, with the configuration's dropout before it. It may
    take `drop_path`, and `image_size` in pixels.
    """
    return offer("network", function)


def loss(function: Part) -> Part:
    """A loss: logits `(B, C) float32` and targets to the mean loss `()`; a configuration asks for it by `own:NAME`.

    Targets are class indices `(B,) int64` or, where pictures are mixed or smoothed, shares `(B, C) float32`; for one
    attribute of several, by --formulation heads or separate, always shares of its values `(B, V) float32`. It may
    take any field of `TrialConfig` by its name, such as `loss_knob`, and `class_counts`, the training pictures of each
    class `(C,) float32`.
    """
    return offer("loss", function)


def augmentation(function: Part) -> Part:
    """An augmentation of a batch: pictures `(B, 3, S, S) float32` from 0 to 1 to the same, on their device.

    A configuration asks for it by `own:NAME`. It comes after those of the configuration and before CutMix and MixUp,
    and may take any field of `TrialConfig` by its name, such as `augmentation_knob`.
    """
    return offer("augmentation", function)


def metric(function: Part) -> Part:
    """A metric: true classes `(N,) int64` and answers `(N,) int64` as NumPy arrays to a number from 0 to 1.

    More is better. It may take `num_classes`. It gets subsets of the pictures too, for its interval, in which some
    class may not occur.
    """
    return offer("metric", function)


def decision(function: Part) -> Part:
    """A decision rule: probabilities `(B, C) float32` and the training shares of the classes `(C,)` to scores `(B, C)`.

    Scores are 0 or more, and the class of the largest is the answer. It is part of every network of the search
    wherever that is scored, and of the model that is saved.
    """
    return offer("decision", function)
