"""What a trial answered on validation, kept beside the run's logs when its weights are long gone.

Letters: `N` pictures, `C` classes, `E` epochs.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np

from trainables.atomic import replacing
from trainables.supply.files import Told, nobody
from trainables.training.state import TrainState

COMPRESS_LEVEL = 1
"""Of zlib. Its default takes 3 to 6 times as long for 2 to 14% fewer bytes (drawn probabilities of 1,000 classes)."""


class AnswerKeeper:
    """Writes `<trial_id>.npz` after every epoch, whole or not at all; a few kB for hundreds of pictures.

    It holds `probabilities (N, C) float16` of the best epoch, `best_epoch`, and the answers `chosen (E, N)` of all
    epochs, in the order of the side. A trial that goes on from an earlier epoch forgets those after it.
    """

    def __init__(self, path: Path, epoch: int, changed: Told = nobody) -> None:
        """Reads what was kept up to an epoch.

        Args:
            path: The trial's file.
            epoch: Epochs that the trial has done.
            changed: Told of the file when it was written.
        """
        self._path = path
        self._changed = changed
        self._chosen: list[np.ndarray] = []
        self._best: bytes | None = None  # the file without `chosen`
        with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):  # none, or one of a broken disk
            with np.load(path) as kept:
                chosen, best, best_epoch = kept["chosen"], kept["probabilities"], int(kept["best_epoch"])
            self._chosen = list(chosen[:epoch])
            if best_epoch <= epoch:
                self._best = _packed(best, best_epoch)

    def note(self, state: TrainState) -> None:
        """Takes in the epoch just done; without validation there is nothing to keep."""
        if state.evaluation.logits is None:
            return
        probabilities = state.evaluation.logits.softmax(1).cpu().numpy()
        smallest = np.uint8 if probabilities.shape[1] <= 256 else np.uint16
        self._chosen.append(probabilities.argmax(1).astype(smallest))
        if state.best_epoch == state.epoch:
            self._best = _packed(probabilities.astype(np.float16), state.epoch)
        if self._best is None or len(self._chosen) != state.epoch:  # diverged at once; or went on from before files
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self._path) as temporary:
            temporary.write_bytes(self._best)
            _add(temporary, chosen=np.stack(self._chosen))
        self._changed(self._path)


def _packed(probabilities: np.ndarray, best_epoch: int) -> bytes:
    """Both as an .npz, made once for all epochs until the next best: compressing gigabytes takes long."""
    file = io.BytesIO()
    _add(file, probabilities=probabilities, best_epoch=np.array(best_epoch, dtype=np.int64))
    return file.getvalue()


def _add(file: Path | io.BytesIO, **arrays: np.ndarray) -> None:
    """Adds arrays to an .npz as `numpy.savez_compressed` writes them, and leaves what it holds as it is."""
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED, compresslevel=COMPRESS_LEVEL) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
