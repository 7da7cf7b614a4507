"""How many pictures an epoch trains on, and in how many batches: the loop, its schedule and the costs agree."""

from __future__ import annotations


def whole_batch_size(num_images: int, batch_size: int) -> int:
    """Pictures in a training batch: all batches are full; a side smaller than one is a batch of its even number."""
    return max(1, min(batch_size, num_images // 2 * 2))


def num_batches(num_images: int, batch_size: int) -> int:
    """Batches, and so steps, that an epoch trains on."""
    return num_images // whole_batch_size(num_images, batch_size)


def images_per_epoch(num_images: int, batch_size: int) -> int:
    """Pictures that an epoch trains on: the remainder, other ones each time, is left out."""
    return num_batches(num_images, batch_size) * whole_batch_size(num_images, batch_size)
