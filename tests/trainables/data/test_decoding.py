"""Every kind of picture file looks to the network as it looks in a viewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.benchmarks.odd_pictures import HEIGHT, OddPicture, odd_pictures
from trainables.data.decoding import read_upright


@pytest.mark.parametrize("picture", list(odd_pictures()), ids=lambda picture: picture.name)
def test_a_picture_is_decoded_as_a_viewer_shows_it(picture: OddPicture, tmp_path: Path) -> None:
    path = tmp_path / picture.name
    path.write_bytes(picture.content)
    got = np.asarray(read_upright(str(path), HEIGHT)[0], int)
    assert got.shape == picture.expected.shape
    assert np.abs(got - picture.expected).max() <= picture.tolerance
    assert np.abs(got - picture.expected).mean() <= picture.tolerance / 2
