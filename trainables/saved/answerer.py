"""Saved models in a process of a cluster's node, which does not see the driver's disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from trainables.data.batches import Side
from trainables.data.cache import ImageCache
from trainables.saved.model_description import DESCRIPTION, PARTS, WEIGHTS
from trainables.saved.predict import load_models, side_probabilities


def packed(folder: Path) -> dict[str, bytes]:
    """The files of a saved model, to be sent: name to content.

    Raises:
        OSError: One cannot be read.
    """
    return {name: (folder / name).read_bytes() for name in (WEIGHTS, DESCRIPTION, PARTS) if (folder / name).is_file()}


class Answerer:
    """Has the models, and answers what it is sent."""

    def __init__(self, models: Sequence[Mapping[str, bytes]], device: str, num_threads: int) -> None:
        """Loads the models.

        Args:
            models: Of each, what `packed` gives.
            device: auto, or a torch device.
            num_threads: Cores that a network may use where there is no GPU.

        Raises:
            ModelError: A model cannot be used, or the device.
        """
        torch.set_num_threads(num_threads)
        with TemporaryDirectory(prefix="macrotune-models-") as there:
            folders = [Path(there) / str(number) for number in range(len(models))]
            for folder, files in zip(folders, models, strict=True):
                folder.mkdir()
                for name, content in files.items():
                    (folder / name).write_bytes(content)
            self._models = load_models(folders, device)

    def ready(self) -> str:
        """The device that the models are on: an answer shows that they are loaded."""
        return str(self._models[0].device)

    def answer(self, number: int, pictures: np.ndarray, batch_size: int, flip: bool) -> np.ndarray:
        """What the model of this number makes of stored pictures `(N, P, P, 3) uint8`: `(N, C) float32`."""
        names = [str(row) for row in range(len(pictures))]
        cache = ImageCache(Path(), pictures, {name: row for row, name in enumerate(names)}, {}, {})
        model = self._models[number]
        side = Side(cache, names, [0] * len(names), model.device)
        return side_probabilities(model, side, batch_size, flip=flip)
