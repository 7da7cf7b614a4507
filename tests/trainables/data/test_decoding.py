"""The pixels of every mode and bit depth, as docs/real-folders.md has them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from trainables.data.cache import build_cache
from trainables.data.decoding import TooLargeError, decode, is_flat

RAMP = np.tile(np.linspace(0, 1, 64), (64, 1))


def shown(path: Path) -> np.ndarray:
    """`(64, 64, 3)` whole numbers."""
    return decode(str(path), 64).astype(int)


def png(values: np.ndarray, colour_type: int) -> bytes:
    """A PNG of 16 bits a channel, which Pillow itself only writes in grey."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_greys_of_16_bits_show_the_same_ramp_whatever_part_of_them_is_used(
    tmp_path: Path, bits: int, ending: str
) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray((RAMP * (2**bits - 1)).astype(np.uint16)).save(path)
    assert np.abs(shown(path)[..., 0] - RAMP * 255).max() < 2


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize(("channels", "colour_type"), [(3, 2), (4, 6), (2, 4)])
def test_colours_of_16_bits_do_too(tmp_path: Path, bits: int, channels: int, colour_type: int) -> None:
    values = np.repeat((RAMP * (2**bits - 1))[..., None], channels, axis=2)
    if channels in (2, 4):
        values[..., -1] = 65535
    (tmp_path / "a.png").write_bytes(png(values.astype(np.uint16), colour_type))
    assert np.abs(shown(tmp_path / "a.png") - RAMP[..., None] * 255).max() < 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (RAMP, RAMP * 255),
        (RAMP * 255, RAMP * 255),
        (RAMP * 2000 - 1000, RAMP * 255),
        (np.where(RAMP > 0.5, np.nan, RAMP), np.where(RAMP > 0.5, 0, RAMP * 255)),
    ],
)
def test_fractions_are_shares_or_greys_or_stretched(tmp_path: Path, values: np.ndarray, expected: np.ndarray) -> None:
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "a.tif")
    away_from_the_edge = np.abs(shown(tmp_path / "a.tif")[..., 0] - expected)[:, [*range(29), *range(35, 64)]]
    assert away_from_the_edge.max() < 3


def test_whole_numbers_of_32_bits_are_read_by_what_they_use(tmp_path: Path) -> None:
    for name, values in {"a.tif": RAMP * 4095, "b.tif": RAMP * 1e6, "c.tif": RAMP * 1e4 - 5e3}.items():
        Image.fromarray(values.astype(np.int32)).save(tmp_path / name)
        assert np.abs(shown(tmp_path / name)[..., 0] - RAMP * 255).max() < 2


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :32] = (90, 90, 90, 255)
    image = Image.fromarray(pixels)
    image = image.convert("LA") if mode == "LA" else image.quantize(4) if mode == "PA" else image
    image.save(tmp_path / "a.png")
    found = shown(tmp_path / "a.png")
    assert np.abs(found[:, :28] - 90).max() < 3 and found[:, 36:].min() > 252


def test_a_colour_that_stands_for_transparent_is_white(tmp_path: Path) -> None:
    pixels = np.full((64, 64, 3), 90, np.uint8)
    pixels[:, 32:] = (1, 2, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=(1, 2, 3))
    assert shown(tmp_path / "a.png")[:, 36:].min() > 252
    Image.fromarray(pixels[..., 0]).save(tmp_path / "b.png", transparency=1)
    assert shown(tmp_path / "b.png")[:, 36:].min() > 252


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_other_colours_become_red_green_and_blue(tmp_path: Path, mode: str) -> None:
    red = Image.new("RGB", (64, 64), (200, 60, 30))
    if mode == "LAB":
        to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        image = ImageCms.applyTransform(red, to_lab)
        assert image is not None
    else:
        image = red.convert(mode)
    image.save(tmp_path / "a.tif")
    assert np.abs(shown(tmp_path / "a.tif") - (200, 60, 30)).max() < 4


def test_a_profile_of_its_own_is_followed_and_srgb_changes_nothing(tmp_path: Path) -> None:
    grey = Image.fromarray((RAMP * 255).astype(np.uint8)).convert("RGB")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey.save(tmp_path / "plain.png")
    grey.save(tmp_path / "srgb.png", icc_profile=srgb)
    grey.save(tmp_path / "broken.png", icc_profile=b"nothing")
    for name in ("srgb.png", "broken.png"):
        assert (shown(tmp_path / name) == shown(tmp_path / "plain.png")).all()


def test_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert np.abs(shown(tmp_path / name) - (255, 0, 0)).max() < 8


def test_white_is_zero_where_the_file_says_so(tmp_path: Path) -> None:
    Image.fromarray((RAMP * 65535).astype(np.uint16)).save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert np.abs(shown(tmp_path / "a.tif")[..., 0] - (255 - RAMP * 255)).max() < 2


def test_a_large_picture_is_read_and_one_beyond_the_bound_is_bad_with_the_flag_that_lifts_it(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("L", (5000, 4000), 90).save(path, compress_level=1)
    assert (decode(str(path), 16) == 90).all()
    with pytest.raises(TooLargeError, match=r"20 megapixels take 0.1 GB to decode, more than --picture-memory 0.05"):
        decode(str(path), 16, most_gb=0.05)
    refused = build_cache([str(path)], 16, tmp_path / "cache", most_gb=0.05)
    assert "--picture-memory" in refused.bad[str(path)]


def test_what_shows_nothing_is_told(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "navy").save(tmp_path / "flat.jpg")
    Image.fromarray((RAMP * 255).astype(np.uint8)).save(tmp_path / "ramp.png")
    assert is_flat(decode(str(tmp_path / "flat.jpg"), 32)) and not is_flat(decode(str(tmp_path / "ramp.png"), 32))
    cache = build_cache([str(path) for path in tmp_path.iterdir()], 16, tmp_path / "cache")
    assert cache.flat == (str(tmp_path / "flat.jpg"),)
