"""Small copies of cached pictures, for looks at many of them."""

from __future__ import annotations

import numpy as np
from PIL import Image

THUMBNAIL = 16
"""Side in pixels."""
FLATTEST = 8.0
"""Standard deviation (of 255) below which thumbnails count as flat: noise must not be blown up into a picture."""


def thumbnails(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Thumbnails `(N, THUMBNAIL, THUMBNAIL, 3) float32`, 0 to 255, of rows `(N,)` of a cache's `images`."""
    looks = np.zeros((len(rows), THUMBNAIL, THUMBNAIL, 3), dtype=np.float32)
    for place, row in enumerate(rows):
        small = Image.fromarray(images[row]).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        looks[place] = np.asarray(small)
    return looks
