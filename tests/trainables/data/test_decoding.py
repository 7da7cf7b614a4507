"""Every kind of picture file looks to the network as it looks in a viewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.benchmarks.odd_pictures import COLOURS, HEIGHT, OddPicture, levels, odd_pictures, png16, saved, tiff
from trainables.data import decoding
from trainables.data.cache import build_cache, find_unreadable
from trainables.data.decoding import PictureTooLargeError, decode, decode_noted, memory_bound, read_upright


@pytest.mark.parametrize("picture", list(odd_pictures()), ids=lambda picture: picture.name)
def test_a_picture_is_decoded_as_a_viewer_shows_it(picture: OddPicture, tmp_path: Path) -> None:
    path = tmp_path / picture.name
    path.write_bytes(picture.content)
    got = np.asarray(read_upright(str(path), HEIGHT)[0], int)
    assert got.shape == picture.expected.shape
    assert np.abs(got - picture.expected).max() <= picture.tolerance
    assert np.abs(got - picture.expected).mean() <= picture.tolerance / 2


@pytest.mark.parametrize(
    ("name", "notes"),
    [
        ("rgb.jpg", set()),
        ("frames.gif", {"frames"}),
        ("two.mpo", set()),  # the second picture of a telephone's JPEG is none that anybody sees
        ("rgba.png", {"alpha"}),
        ("i16-12.png", {"deep"}),
        ("display-p3.jpg", {"profile"}),
        ("srgb.png", set()),
    ],
)
def test_what_was_decided_is_noted(name: str, notes: set[str], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(next(picture.content for picture in odd_pictures() if picture.name == name))
    assert decode_noted(str(path), HEIGHT)[1] == notes


def test_an_opaque_alpha_channel_is_no_transparency(tmp_path: Path) -> None:
    rgba = np.dstack([levels(COLOURS), np.full(COLOURS.shape[:2], 255, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    pixels, notes = decode_noted(str(tmp_path / "a.png"), HEIGHT)
    Image.fromarray(levels(COLOURS)).save(tmp_path / "b.png")
    assert np.array_equal(pixels, decode(str(tmp_path / "b.png"), HEIGHT))
    assert not notes


@pytest.mark.parametrize(("size", "cut"), [((40, 60), False), ((90, 50), True), ((20, 400), True)])
def test_a_picture_of_which_much_is_cut_off_is_noted(size: tuple[int, int], cut: bool, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    assert decode_noted(str(tmp_path / "a.png"), HEIGHT)[1] == ({"cut"} if cut else set())


@pytest.mark.parametrize(
    ("pixels", "flat"),
    [
        (np.zeros((80, 80), np.uint8), True),
        (np.random.default_rng(0).integers(100, 105, (80, 80)).astype(np.uint8), True),
        (np.pad(np.full((4, 4), 255, np.uint8), 38), True),  # a speck
        (np.pad(np.full((24, 24), 255, np.uint8), 28), False),
        (np.linspace(100, 115, 6400).reshape(80, 80).astype(np.uint8), False),
    ],
)
def test_a_picture_of_nearly_one_colour_is_noticed(pixels: np.ndarray, flat: bool, tmp_path: Path) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert ("flat" in decode_noted(str(tmp_path / "a.png"), 64)[1]) is flat


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # pytest sets aside the module's own filter
def test_odd_numbers_and_broken_exif_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "nan.tif").write_bytes(tiff(np.full((40, 40), np.nan, "<f4"), 1))
    assert decode(str(tmp_path / "nan.tif"), 16).max() == 0
    (tmp_path / "inf.tif").write_bytes(tiff(np.where(np.eye(40) > 0, np.inf, 0.5).astype("<f4"), 1))
    assert decode(str(tmp_path / "inf.tif"), 40)[5, 5, 0] > 200
    (tmp_path / "same.tif").write_bytes(tiff(np.full((40, 40), -7, "<i4"), 1))
    assert decode(str(tmp_path / "same.tif"), 16).max() == 0
    (tmp_path / "zero.png").write_bytes(png16(np.zeros((40, 40, 3), np.uint16)))
    assert decode(str(tmp_path / "zero.png"), 16).max() == 0
    picture = Image.fromarray(levels(COLOURS))
    (tmp_path / "exif.jpg").write_bytes(saved(picture, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xffrubbish"))
    assert "flat" not in decode_noted(str(tmp_path / "exif.jpg"), 16)[1]


def test_a_panorama_of_200_megapixels_is_decoded_small(tmp_path: Path) -> None:
    strip = Image.new("L", (65000, 3100), 90)
    strip.paste(200, (0, 0, 65000, 1550))
    strip.save(tmp_path / "a.jpg", quality=30)
    pixels = decode(str(tmp_path / "a.jpg"), 64, memory_bytes=100_000_000)
    assert pixels[4].mean() > 190
    assert pixels[-4].mean() < 100


def test_a_bomb_is_refused_by_what_it_takes_and_decoded_where_that_is_allowed(tmp_path: Path) -> None:
    picture = tmp_path / "bomb.png"
    Image.new("RGB", (3000, 2000), (9, 200, 30)).save(picture)
    with pytest.raises(
        PictureTooLargeError, match=r"3,000 x 2,000 pixels \(PNG, RGB\) take 0.02 GB .*--max-picture-gb"
    ):
        decode(str(picture), 16, memory_bytes=1_000_000)
    assert list(find_unreadable([str(picture)], 1_000_000)) == [str(picture)]
    assert memory_bound() > 100_000_000
    refused = build_cache([str(picture)], 16, tmp_path / "cache", memory_bytes=1_000_000)
    assert "--max-picture-gb" in refused.bad[str(picture)]
    assert build_cache([str(picture)], 16, tmp_path / "cache", memory_bytes=1_000_000).path == refused.path
    whole = build_cache([str(picture)], 16, tmp_path / "cache")
    assert whole.bad == {}
    assert whole.images[0, 3, 3].tolist() == [9, 200, 30]


@pytest.mark.parametrize(("cores", "most"), [(2, 256_000_000), (64, 31_250_000)])
def test_pictures_that_are_decoded_side_by_side_fit_into_the_memory_of_one(
    cores: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "memory_bound", lambda: 2_000_000_000)
    monkeypatch.setattr(decoding, "usable_cores", lambda: cores)
    assert decoding._large_bytes.__wrapped__() == most


def test_the_cache_says_how_many_pictures_are_odd_and_which_is_the_first(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.new("LA", (40, 40), (0, 200)).save(tmp_path / f"{name}.png")
    paths = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    for _ in range(2):  # the second time from the cache
        cache = build_cache(paths, 32, tmp_path / "cache")
        (warning,) = cache.warnings
        assert warning.startswith(f"2 pictures nearly one colour after decoding ('{paths[0]}'): look at them")
        assert cache.remarks == [f"2 pictures transparent in places, laid over white ('{paths[0]}')"]


def test_planes_that_pillow_reads_wrong_are_refused(tmp_path: Path) -> None:
    """Pillow reads 16 bit colours in separate planes as if they were of 8 bits."""
    values = np.full((40, 40, 3), 3000, np.uint16)
    content = tiff(values, 2, planes=2)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ValueError, match="separate planes"):
        decode(str(tmp_path / "a.tif"), 16)
