"""From the picture cache to batches on the device, without opening a file or starting a process.

Letters: `B` batch, `N` pictures of a side, `P` stored side in pixels.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from trainables.config import TaskConfig
from trainables.data.cache import ImageCache
from trainables.data.rows import read_split
from trainables.data.whole_batches import images_per_epoch, whole_batch_size
from trainables.errors import UserError

T = TypeVar("T")

RESIDENT_SHARE = 0.25
"""Share of the GPU's free memory that one side's pictures may take to be kept there for the whole trial."""
READERS = 8
"""Threads that read a batch for a GPU: of a cache larger than memory, each waits for the disk one page at a time."""


class Side:
    """The pictures of one side of the split, in the order of the split file."""

    def __init__(self, cache: ImageCache, paths: Sequence[str], labels: Sequence[int], device: torch.device) -> None:
        """Notes where the pictures are; copies them to the device where they fit."""
        self.paths = tuple(paths)
        self.device = device
        self._labels = torch.tensor(labels, dtype=torch.int64)  # on the CPU, where orders are drawn
        self.labels = self._labels.to(device)
        self._images = cache.images
        self._rows = np.array([cache.rows[path] for path in paths], dtype=np.int64)
        self._resident = self._to_device() if device.type == "cuda" and self._fits() else None

    def __len__(self) -> int:
        return len(self.paths)

    def batches(
        self, batch_size: int, *, shuffled: bool = False, sampling: str = "natural"
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yields pictures `(B, 3, P, P) uint8`, channels last in memory, and labels `(B,) int64`, on the device.

        Shuffled, as for training, the order comes from torch's global generator and every batch is full (batch
        normalization and CutMix need even, not tiny batches): the remainder, other pictures each time, is left
        out. A side smaller than a batch is one batch. With another sampling than natural, as many pictures come, each
        as often as its weight says (`sampling_weights`, `drawn_evenly`).
        """
        if shuffled:
            order = self._order(sampling)
            last = images_per_epoch(len(self), batch_size)
            batch_size = whole_batch_size(len(self), batch_size)
        else:
            order, last = torch.arange(len(self)), len(self)
        on_device = order[:last].to(self.device, non_blocking=True).split(batch_size)
        for pictures, chosen in zip(self._pictures(order[:last].split(batch_size), on_device), on_device, strict=True):
            yield pictures.permute(0, 3, 1, 2), self.labels[chosen]

    def class_counts(self, num_classes: int) -> list[int]:
        """Pictures of each class."""
        return torch.bincount(self._labels, minlength=num_classes).tolist()

    def _pictures(self, batches: Sequence[torch.Tensor], on_device: Sequence[torch.Tensor]) -> Iterable[torch.Tensor]:
        """The pictures `(B, P, P, 3) uint8` of each batch, given their places on the CPU and on the device."""
        if self._resident is not None:
            return (self._resident[chosen] for chosen in on_device)
        if self.device.type == "cuda":
            return self._read_ahead(batches)
        read = (torch.from_numpy(np.take(self._images, self._rows[chosen.numpy()], axis=0)) for chosen in batches)
        return read if self.device.type == "cpu" else (pictures.to(self.device) for pictures in read)

    def _read_ahead(self, batches: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The same for a GPU, which computes on one batch while the next is read."""
        with ThreadPoolExecutor(READERS, "reader") as threads:
            read = (take_rows(self._images, self._rows[chosen.numpy()], threads) for chosen in batches)
            with closing(one_ahead(torch.from_numpy(pictures).pin_memory() for pictures in read)) as ahead:
                for pictures in ahead:
                    yield pictures.to(self.device, non_blocking=True)

    def _order(self, sampling: str) -> torch.Tensor:
        if sampling == "natural":
            return torch.randperm(len(self))
        drawn = drawn_evenly(sampling_weights(self._labels, sampling))
        return drawn[torch.randperm(len(drawn))]

    def _fits(self) -> bool:
        free, total = torch.cuda.mem_get_info(self.device)
        ours = int(torch.cuda.get_per_process_memory_fraction(self.device) * total)  # of a GPU that trials share
        free = min(free, ours - torch.cuda.memory_allocated(self.device))
        return len(self) * self._images[0].nbytes < RESIDENT_SHARE * free

    def _to_device(self) -> torch.Tensor:
        resident = torch.empty((len(self), *self._images.shape[1:]), dtype=torch.uint8, device=self.device)
        for start in range(0, len(self), 1024):
            block = np.take(self._images, self._rows[start : start + 1024], axis=0)
            resident[start : start + len(block)] = torch.from_numpy(block).to(self.device)
        return resident


def take_rows(images: np.ndarray, rows: np.ndarray, threads: ThreadPoolExecutor) -> np.ndarray:
    """`images[rows]`, in as many parts at the same time as there are readers."""
    taken = np.empty((len(rows), *images.shape[1:]), dtype=images.dtype)

    def read(part: np.ndarray, into: np.ndarray) -> None:
        np.take(images, part, axis=0, out=into, mode="clip")  # all rows exist; to raise, numpy would copy once more

    list(threads.map(read, np.array_split(rows, READERS), np.array_split(taken, READERS)))
    return taken


def one_ahead(items: Iterable[T]) -> Generator[T, None, None]:
    """Yields the items in order, each made in a thread while the one before it is in use."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1, "one_ahead") as thread:
        coming = thread.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, iterator, end)
            yield item  # type: ignore[misc]  # `end` is no item


def sampling_weights(labels: torch.Tensor, sampling: str) -> torch.Tensor:
    """Chance of each picture, up to a factor: `(N,) float64` for labels `(N,) int64`.

    balanced draws every class as often (1 / n for a class of n pictures), sqrt draws it in proportion to the root of
    n (1 / root n), which lies between balanced and natural (Mahajan et al. 2018).
    """
    counts = torch.bincount(labels).double().clamp(min=1)
    return counts.pow({"balanced": -1.0, "sqrt": -0.5}[sampling])[labels]


def drawn_evenly(weights: torch.Tensor) -> torch.Tensor:
    """As many draws as there are pictures, `(N,) int64` for weights `(N,) float64`, each as often as its share says.

    Where N times its share is 2.3, a picture comes twice or, with a chance of .3, three times (systematic sampling),
    and where it is .7 in seven of ten epochs: drawn with replacement it would come in half of them. Of even weights
    every picture comes once. The chance is torch's global generator's.
    """
    order = torch.randperm(len(weights))  # whom a chance falls to has nothing to do with who stands beside it
    ends = torch.cumsum(weights[order], 0)
    ends = (ends * (len(weights) / ends[-1]) + torch.rand((), dtype=torch.float64)).floor().long()
    ends[-1] = len(weights)  # whatever rounding made of it
    return order.repeat_interleave(torch.diff(ends, prepend=ends.new_zeros(1)))


@dataclass(frozen=True)
class TaskData:
    """What a trial trains on and what it is measured on."""

    train: Side
    val: Side | None
    """None for a training that is not validated."""


def _read(cache_path: str, split_path: str) -> tuple[ImageCache, dict[str, list[tuple[str, str]]]]:
    """Cache and sides of a task, read once for all trials of a process, and again where another run has its place."""
    status = Path(split_path).stat()
    return _read_once(cache_path, split_path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)  # re-training in folds has a split a fold
def _read_once(
    cache_path: str, split_path: str, num_bytes: int, modified: int
) -> tuple[ImageCache, dict[str, list[tuple[str, str]]]]:
    sides: dict[str, list[tuple[str, str]]] = {}
    for path, label, _, side in read_split(Path(split_path)):
        sides.setdefault(side, []).append((path, label))
    return ImageCache.open(Path(cache_path)), sides


def load_side(task: TaskConfig, names: Sequence[str], device: torch.device) -> Side:
    """The pictures of one side, or of several together (`("train", "val")`).

    Raises:
        CacheError: The cache cannot be read on this node.
        UserError: The sides hold no picture.
    """
    cache, sides = _read(task.cache_path, task.split_path)
    rows = [row for name in names for row in sides.get(name, [])]
    if not rows:
        raise UserError(f"{task.split_path} has no picture on the side {' + '.join(names)}")
    index = {name: position for position, name in enumerate(task.classes)}
    return Side(cache, [path for path, _ in rows], [index[label] for _, label in rows], device)


def load_data(task: TaskConfig, device: torch.device) -> TaskData:
    """What the task trains and validates on; neither is ever the test side."""
    val = load_side(task, task.validate_on, device) if task.validate_on else None
    return TaskData(train=load_side(task, task.train_on, device), val=val)
