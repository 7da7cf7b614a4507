"""An epoch trains on whole batches; all who plan or count it say the same."""

from __future__ import annotations

import pytest
import torch

from trainables.config import TaskConfig
from trainables.data.batches import load_side
from trainables.data.whole_batches import images_per_epoch, num_batches, whole_batch_size


@pytest.mark.parametrize(
    ("pictures", "size", "batches", "images"),
    [(0, 1, 0, 0), (1, 1, 1, 1), (2, 2, 1, 2), (31, 30, 1, 30), (32, 32, 1, 32), (100, 32, 3, 96)],
)
def test_batches_are_full_and_even(pictures: int, size: int, batches: int, images: int) -> None:
    assert whole_batch_size(pictures, 32) == size
    assert num_batches(pictures, 32) == batches
    assert images_per_epoch(pictures, 32) == images


@pytest.mark.parametrize("batch_size", [2, 16, 30, 64, 1000])
def test_a_side_gives_as_many_batches_and_pictures_as_are_counted(task: TaskConfig, batch_size: int) -> None:
    side = load_side(task, ("train",), torch.device("cpu"))
    sizes = [len(labels) for _, labels in side.batches(batch_size, shuffled=True)]
    assert len(sizes) == num_batches(len(side), batch_size)
    assert sum(sizes) == images_per_epoch(len(side), batch_size)
    assert set(sizes) == {whole_batch_size(len(side), batch_size)}
