"""What saved models answer to pictures, alone or averaged.

Letters: `N` pictures, `C` classes, `B` batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from trainables.data.batches import Side
from trainables.data.cache import ImageCache, build_cache
from trainables.errors import UserError
from trainables.machine.hardware import precision_on
from trainables.networks.model import Normalizer, autocast, memory_format, views
from trainables.reason import reason_of
from trainables.saved.model_description import ModelError
from trainables.saved.saved_model import SavedModel, load_model
from trainables.second_view import MIRRORED

Progress = Callable[[str, int, int], None]
"""Called with what is being done ("decoding pictures", "predicting"), how much of it is done, and of how much."""


class Answering(Protocol):
    """Whoever has a model answer a side: `side_probabilities`, or processes elsewhere."""

    def __call__(
        self,
        model: SavedModel,
        side: Side,
        batch_size: int,
        *,
        flip: bool = ...,
        on_progress: Callable[[int], None] = ...,
    ) -> np.ndarray:
        """As `side_probabilities`."""


@dataclass(frozen=True)
class Predictions:
    """Answers to the pictures that could be read."""

    classes: tuple[str, ...]
    """The classes of the columns: those of the first model, in its order."""
    paths: tuple[str, ...]
    """The readable pictures, in the order asked for."""
    probabilities: np.ndarray
    """`(N, C) float32`."""
    bad: Mapping[str, str]
    """Path of a picture that could not be read to the reason."""
    warnings: tuple[str, ...] = ()
    """What should be looked at among the pictures."""


def predict_probabilities(
    models: Sequence[SavedModel],
    paths: Sequence[str],
    *,
    cache_dir: Path,
    batch_size: int = 64,
    flip: bool = False,
    on_progress: Progress | None = None,
    memory_bytes: int | None = None,
    answer: Answering | None = None,
    on_bad: Callable[[Mapping[str, str]], None] = lambda bad: None,
) -> Predictions:
    """Averages the models' probabilities for each picture.

    Pictures are decoded into a cache for each image size, which a later call with the same pictures reads.

    Args:
        models: At least one; all with the same classes, in any order.
        paths: Absolute paths; one that stands there twice is answered twice.
        cache_dir: Folder of all caches.
        batch_size: Pictures that go through a network at once.
        flip: Whether to average over each picture and a mirrored view, also where a model would not by itself.
        on_progress: Told how far it is.
        memory_bytes: What decoding one picture may take; by default `decoding.memory_bound()`.
        answer: Who answers; by default this process.
        on_bad: Told of pictures that cannot be read, path to reason, before any picture is answered; it may raise.

    Raises:
        ModelError: The models have different classes, or the GPU's memory is too small for a batch.
        CacheError: The cache cannot be written.
        UserError: The batch size is less than 1.
    """
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}: it must be at least 1")
    orders = class_orders(models)
    classes = models[0].description.classes
    report = on_progress or (lambda what, done, total: None)
    different = list(dict.fromkeys(paths))
    caches: dict[int, ImageCache] = {}
    for size in dict.fromkeys(model.description.image_size for model in models) if different else ():
        caches[size] = build_cache(
            different,
            size,
            cache_dir,
            on_progress=lambda done, total: report("decoding pictures", done, total),
            on_wait=lambda: report("waiting for another command that decodes these pictures", 0, len(different)),
            memory_bytes=memory_bytes,
        )
    warnings = tuple(dict.fromkeys(words for cache in caches.values() for words in cache.warnings))
    found = {path: reason for cache in caches.values() for path, reason in cache.bad.items()}
    bad = {path: found[path] for path in different if path in found}
    if bad:
        on_bad(bad)
    readable = [path for path in paths if path not in bad]
    total, passes = np.zeros((len(readable), len(classes)), np.float32), len(models) * len(readable)
    for number, (model, order) in enumerate(zip(models, orders, strict=True)):
        if not readable:
            break
        side = Side(caches[model.description.image_size], readable, [0] * len(readable), model.device)

        def done(count: int, before: int = number * len(readable)) -> None:
            report("predicting", before + count, passes)

        total += (answer or side_probabilities)(model, side, batch_size, flip=flip, on_progress=done)[:, order]
    return Predictions(classes, tuple(readable), total / np.float32(len(models)), bad, warnings)


def load_models(paths: Sequence[Path], device: str = "auto") -> list[SavedModel]:
    """Loads models that are to answer together.

    Raises:
        ModelError: There is none, one cannot be used, or they have different classes.
    """
    models = [load_model(path, device) for path in paths]
    class_orders(models)
    return models


def class_orders(models: Sequence[SavedModel]) -> list[list[int]]:
    """For each model, where the first model's classes stand among its own.

    Raises:
        ModelError: A model has other classes than the first.
    """
    if not models:
        raise ModelError("no model; name at least one")
    first = models[0]
    orders = []
    for model in models:
        own = {name: place for place, name in enumerate(model.description.classes)}
        if different := sorted(own.keys() ^ set(first.description.classes)):
            raise ModelError(
                f"{model.path} has other classes than {first.path}: only one of them knows {different[0]!r}; "
                "average models of the same classes"
            )
        orders.append([own[name] for name in first.description.classes])
    return orders


@torch.inference_mode()
def side_probabilities(
    model: SavedModel,
    side: Side,
    batch_size: int,
    *,
    flip: bool = False,
    on_progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """`(N, C) float32` in the model's own class order, in its precision, or in float32 where float16 is too little.

    A model that answers to a second view does so with `flip` and without; with `flip` that view is mirrored. Where a
    GPU has no memory for a batch, all pictures are answered anew in batches of half as many.

    Raises:
        ModelError: There is no memory for a single picture.
    """
    while True:
        try:
            return _side_probabilities(model, side, batch_size, flip=flip, on_progress=on_progress)
        except torch.OutOfMemoryError as error:
            if batch_size == 1:
                raise ModelError(
                    f"{model.path}: {model.device} has no memory to answer a single picture ({reason_of(error)}): free "
                    "some, or give --device cpu"
                ) from error
        torch.cuda.empty_cache()  # only here, where no exception holds the batch any more
        batch_size //= 2


def _side_probabilities(
    model: SavedModel, side: Side, batch_size: int, *, flip: bool, on_progress: Callable[[int], None]
) -> np.ndarray:
    described = model.description
    second_view = MIRRORED[described.second_view] if flip else described.second_view
    normalize = Normalizer(model.network, model.device)
    layout = memory_format(described.backbone, model.device, described.precision)
    in_float16 = precision_on(model.device.type, described.precision) == "float16"
    parts, count = [], 0
    for stored, _ in side.batches(batch_size):
        mean = torch.zeros((), device=model.device)
        shown = views(stored.float().div_(255), described.image_size, second_view)
        for view in shown:
            shown_to_it = normalize(view).contiguous(memory_format=layout)
            with autocast(model.device, described.precision):
                logits = model.network(shown_to_it)
            if in_float16 and not logits.isfinite().all():  # too large for it, as where it was trained in another
                logits = model.network(shown_to_it)
            mean = mean + logits.float().softmax(dim=1) / len(shown)
        parts.append(mean)
        count += len(stored)
        on_progress(count)
    return torch.cat(parts).cpu().numpy()
