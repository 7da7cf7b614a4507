"""How far a trial is within its epoch: a small file beside its checkpoints, which whoever watches may read.

It is written at most once a second, whatever a batch takes, and changes no number: what it tells is read off sums that
the epoch keeps anyway. It is no result; that it cannot be written stops nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from trainables.checkpoints import PULSE
from trainables.supply.files import Told, nobody
from trainables.training.metrics import macro_f1

BEAT_SECONDS = 1.0


class Pulse:
    """Writes how far a trial is; without a file it does nothing."""

    def __init__(self, path: Path | None = None, changed: Told = nobody) -> None:
        """Begins without a word.

        Args:
            path: The file, whose folder need not be there yet.
            changed: Told of the file when it was written or taken away.
        """
        self._path = path
        self._changed = changed
        self._next = 0.0

    def stage(self, words: str) -> None:
        """Tells what the trial does outside of training batches, in words."""
        self._write({"stage": words})

    def batch(
        self,
        epoch: int,
        done: int,
        total: int,
        loss_sum: torch.Tensor,
        answers: Sequence[torch.Tensor],
        truths: Sequence[torch.Tensor],
        num_classes: int,
    ) -> None:
        """Tells of a batch of an epoch, if the last word is a second old.

        Args:
            epoch: The epoch that is being trained, from 1.
            done: Batches done.
            total: Batches of the epoch.
            loss_sum: Sum of the loss so far `()`, on its device, which is waited for once a second.
            answers: Class indices so far, one tensor a batch.
            truths: The right ones, likewise.
            num_classes: Number of classes.
        """
        if self._path is None or time.monotonic() < self._next:
            return
        truth = torch.cat(list(truths))
        self._write(
            {
                "stage": "training",
                "epoch": epoch,
                "batch": done,
                "batches": total,
                "loss": _number(loss_sum.item() / len(truth)),
                "macro_f1": _number(macro_f1(torch.cat(list(answers)), truth, num_classes).item()),
            }
        )

    def close(self) -> None:
        """Takes the file away."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
                self._changed(self._path)

    def _write(self, values: dict[str, Any]) -> None:
        if self._path is None:
            return
        self._next = time.monotonic() + BEAT_SECONDS
        draft = self._path.with_name(f".{PULSE}.tmp-{os.getpid()}")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(values), encoding="utf-8")
            draft.replace(self._path)
            self._changed(self._path)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
