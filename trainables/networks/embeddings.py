"""What a network makes of pictures before it classifies them.

Letters: `N` pictures, `D` features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from trainables.data.batches import Side
from trainables.data.cache import ImageCache
from trainables.networks.model import Normalizer, centre_crop, choose_device, create_backbone, memory_format

BATCH_SIZE = 64


def embed_pictures(
    cache: ImageCache,
    paths: Sequence[str],
    backbone: str,
    file: str | None,
    image_size: int,
    *,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Pooled features of the middle of each picture, on the GPU where there is one.

    Args:
        cache: The decoded pictures.
        paths: Which of them, absolute.
        backbone: timm name.
        file: Its weights; None draws them from `seed`.
        image_size: Side of what the network sees, in pixels.
        seed: For random weights.
        on_progress: Called with (pictures done, pictures in all).

    Returns:
        `(N, D) float32`.
    """
    device = choose_device("auto")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = create_backbone(backbone, 0, image_size, file=file)
    network = network.eval().to(device).to(memory_format=memory_format(backbone, device, "float32"))
    normalize = Normalizer(network, device)
    parts: list[torch.Tensor] = []
    side = Side(cache, paths, [0] * len(paths), device)
    with torch.inference_mode():
        for pictures, _ in side.batches(BATCH_SIZE):
            parts.append(network(normalize(centre_crop(pictures, image_size).float() / 255)).float().cpu())
            if on_progress is not None:
                on_progress(min(len(parts) * BATCH_SIZE, len(paths)), len(paths))
    return torch.cat(parts).numpy()
