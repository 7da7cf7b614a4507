"""One picture file to RGB, as a viewer shows it; docs/decoding.md has a table of every kind of file.

Letters: `P` side in pixels, `W` and `H` width and height.
"""

from __future__ import annotations

import struct
import sys
import threading
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageFile

from trainables.data.colours import lab_to_srgb, png_profile, to_srgb
from trainables.data.levels import float_levels, whole_levels
from trainables.machine.cores import usable_cores
from trainables.machine.memory import total_memory

Image.MAX_IMAGE_PIXELS = None  # Pillow refuses by pixels; what is here refuses by memory
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")  # of broken EXIF, which spoils no picture

MEMORY_SHARE = 0.25
"""Share of the machine's memory that decoding one picture may take."""
LARGE_BYTES = 256_000_000
"""Pictures that take more are decoded one at a time, and so are smaller ones of which one a core would be too much."""

NOTES: Mapping[str, str] = MappingProxyType(
    {
        "flat": "nearly one colour after decoding",
        "frames": "with several frames or pages, of which the first is used",
        "alpha": "transparent in places, laid over white",
        "deep": "of more than 8 bits, scaled by the bits used",
        "profile": "with a colour profile or gamma, turned into sRGB",
        "cut": "whose longer side is more than 1.7 times the shorter, of which only the square in the middle is used",
    }
)
"""What `decode` may have to say of a picture, as it is said of several."""

CUT = 1.7
"""Times a picture's shorter side that the longer one is at least for its cut to be said: 41% of it and more."""
FLAT_LEVELS = 6
"""Grey levels that 99 % of a picture's pixels lie within, in each channel, for it to count as one colour."""
FLAT_TAIL = 0.005
"""Share of the darkest and of the brightest pixels that is left out there: a speck makes no picture."""

FRAMED = frozenset(("GIF", "PNG", "WEBP", "TIFF", "AVIF", "FLI", "DCX"))
"""Formats whose frames or pages count; others have none, or hold previews and layers (MPO, ICO, PSD)."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by its EXIF orientation."""
PHOTOMETRIC, BITS_PER_SAMPLE, PLANES, SAMPLE_FORMAT = 262, 258, 284, 339
"""Tags of a TIFF."""
DEEP_PLANES = "16 bit colours in separate planes, which Pillow reads wrong; save it with interleaved channels"
SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""The other byte order: read in it, the lower bytes of 16 bit colours come out as if they were the upper ones."""


class PictureTooLargeError(ValueError):
    """Decoding a picture would take more memory than one may; the message names both, and the flag."""


def decode(path: str, side: int, memory_bytes: int | None = None) -> np.ndarray:
    """Decodes the centre square of a picture, as a viewer shows it.

    Args:
        path: Of the file.
        side: Of the square, in pixels.
        memory_bytes: What decoding it may take; by default `memory_bound()`.

    Returns:
        `(P, P, 3) uint8` in RGB.

    Raises:
        PictureTooLargeError: It would take more memory.
        Exception: Whatever Pillow raises for a file that is no picture or a broken one.
    """
    return decode_noted(path, side, memory_bytes)[0]


def decode_noted(path: str, side: int, memory_bytes: int | None = None) -> tuple[np.ndarray, frozenset[str]]:
    """Does what `decode` does, and says what is worth knowing of the picture: keys of `NOTES`."""
    rgb, notes = read_upright(path, side, memory_bytes)
    width, height = rgb.size
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    square = rgb.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + short, top + short))
    pixels = np.asarray(square)
    found = {"flat": _is_flat(square, pixels), "cut": max(width, height) > CUT * short}
    return pixels, notes | {kind for kind, is_so in found.items() if is_so}


def read_upright(path: str, side: int, memory_bytes: int | None = None) -> tuple[Image.Image, frozenset[str]]:
    """Decodes a whole picture: sRGB, over white, turned upright, no side smaller than `side`.

    JPEGs are decoded at the smallest scale that is at least `side` (libjpeg's DCT scaling).

    Returns:
        The picture in the mode RGB, and keys of `NOTES`.

    Raises:
        As `decode`.
    """
    with Image.open(path) as image:
        notes = set()
        if image.format in FRAMED and getattr(image, "is_animated", False):
            notes.add("frames")
            if image.info.get("default_image"):  # an animated PNG, whose still picture is for who shows no animation
                image.seek(1)
        full_size = image.size
        image.draft("RGB", (side, side))
        needed = _decoding_bytes(image, full_size)
        large = needed > _large_bytes()
        if memory_bytes is None and large:  # asking the machine takes as long as a small picture
            memory_bytes = memory_bound()
        if memory_bytes is not None and needed > memory_bytes:
            raise PictureTooLargeError(_too_large(image, full_size, needed, memory_bytes))
        with _one_large if large else nullcontext():
            return _upright(image, path, notes), frozenset(notes)


def memory_bound() -> int:
    """What decoding one picture may take on this machine, in bytes, where nothing else is said."""
    return int(total_memory() * MEMORY_SHARE)


@cache
def _large_bytes() -> int:
    """Pictures that take more are decoded one at a time: one a core of those that take less are within the bound."""
    return min(LARGE_BYTES, memory_bound() // usable_cores())


_one_large = threading.Lock()


def _too_large(image: Image.Image, full_size: tuple[int, int], needed: int, bound: int) -> str:
    width, height = full_size
    return (
        f"{width:,} x {height:,} pixels ({image.format}, {image.mode}) take {needed / 1e9:.2f} GB to decode, and one "
        f"picture may take {bound / 1e9:.2f} GB: --max-picture-gb {needed / 1e9 + 0.01:.2f} lifts that"
    )


def _decoding_bytes(image: Image.Image, full_size: tuple[int, int]) -> int:
    """What decoding an opened picture takes at most at the same time; measured, see docs/decoding.md."""
    mode = image.mode
    if mode in ("1", "L", "P"):
        each = 1 + 4
    elif mode.startswith("I;16"):
        each = 2 + 2 + 1 + 4
    elif mode in ("I", "F"):
        each = 4 + 4 + 8 + 8 + 1 + 4
    else:
        each = 4 + (4 if mode != "RGB" or "icc_profile" in image.info else 0)
    if image.has_transparency_data:
        each += 4 + 1
    if image.format in ("WEBP", "AVIF", "JPEG2000"):  # whose decoders hold the picture once more
        each += 16 if image.format == "JPEG2000" else 12
    pixels, full_pixels = image.size[0] * image.size[1], full_size[0] * full_size[1]
    coefficients = 6 * full_pixels if image.info.get("progressive") and image.format in ("JPEG", "MPO") else 0
    return pixels * each + coefficients


def _upright(image: ImageFile.ImageFile, path: str, notes: set[str]) -> Image.Image:
    """An opened picture in sRGB over white and upright; adds to `notes`."""
    tiles = list(image.tile)
    if _has_deep_planes(image) and tiles[0].codec_name == "raw":
        raise ValueError(DEEP_PLANES)
    image.load()
    colours, alpha = _colours(image, path, tiles, notes)
    profile = image.info.get("icc_profile") or (png_profile(image.info) if image.format == "PNG" else None)
    rgb = to_srgb(colours, profile)
    if profile and rgb is not colours and colours.mode != "L":
        notes.add("profile")
    if alpha is not None and np.asarray(alpha).min(initial=255) < 255:
        notes.add("alpha")
        white = Image.new("RGB", rgb.size, "white")
        white.paste(rgb, mask=alpha)
        rgb = white
    turn = TURNS.get(_orientation(image))
    return rgb if turn is None else rgb.transpose(turn)


def _orientation(image: Image.Image) -> Any:
    """As EXIF says it; 1 where EXIF is broken, which spoils no picture."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except (
        OSError,
        SyntaxError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        struct.error,
    ):  # what its parser raises
        return 1


def _colours(
    image: Image.Image, path: str, tiles: list[Any], notes: set[str]
) -> tuple[Image.Image, Image.Image | None]:
    """The colours of a loaded picture in the mode L, RGB or CMYK, and its alpha channel if it has one."""
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        notes.add("deep")
        return _deep_grey(image, tiles)
    if mode == "LAB":
        return lab_to_srgb(image), None
    image = _without_dark_bytes(image, path, tiles, notes)
    if image.has_transparency_data:
        rgba = (image.convert("LA") if mode == "La" else image).convert("RGBA")
        return rgba.convert("RGB"), rgba.getchannel("A")
    return (image if mode in ("L", "RGB", "CMYK") else image.convert("RGB")), None


def _deep_grey(image: Image.Image, tiles: list[Any]) -> tuple[Image.Image, Image.Image | None]:
    """A grey picture of 12, 16 or 32 bits in 8, and its alpha channel if a value stands for transparent."""
    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    clear = image.info.get("transparency")
    alpha = None if clear is None else Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))
    if image.mode == "F":
        levels = float_levels(values)
    else:
        if image.mode == "I" and tags.get(BITS_PER_SAMPLE) == (32,) and tags.get(SAMPLE_FORMAT, (1,)) == (1,):
            values = values.view(np.uint32)  # Pillow has only signed ones
        levels = whole_levels(values, _declared_white(image, tiles))
    if tags and tags.get(PHOTOMETRIC) == 0:  # white is zero, which Pillow minds for 8 bits only
        levels = 255 - levels
    return Image.fromarray(levels), alpha


def _declared_white(image: Image.Image, tiles: list[Any]) -> int | None:
    """The number that the file itself says is white; None where it says no more than how many bits it has."""
    if not tiles:
        return None
    args = tiles[0].args if isinstance(tiles[0].args, tuple) else (tiles[0].args,)
    if args[0] == "I;12":
        return 4095
    if image.format == "PPM" and isinstance(args[-1], int) and args[-1] != 65535:
        return 65535  # Pillow has scaled it
    return None


def _without_dark_bytes(image: Image.Image, path: str, tiles: list[Any], notes: set[str]) -> Image.Image:
    """A picture with 16 bits a colour, of which Pillow keeps the upper 8, by the bits that are used.

    Where the upper bytes are next to nothing, the lower ones are read as well.
    """
    raw = _raw_mode(tiles)
    if ";16" not in raw or raw.startswith("RGBa"):
        return image
    notes.add("deep")
    colours = len(image.getbands()) - (image.mode == "RGBA")
    if max(high for _, high in np.atleast_2d(image.getextrema())[:colours]) >= 64:
        return image
    if _has_deep_planes(image):
        raise ValueError(DEEP_PLANES)
    with Image.open(path) as again:
        if image.info.get("default_image"):
            again.seek(1)
        lower = "RGBA" if raw == "LA;16B" else raw[:-1] + SWAPPED[raw[-1]]
        again.tile = [tile._replace(args=_with_raw_mode(tile.args, lower)) for tile in again.tile]
        again.load()
        upper, low = np.asarray(image), np.asarray(again)
    if raw == "LA;16B":  # read as four bytes: grey, its lower byte, alpha, its lower byte
        values = low[..., [0, 0, 0, 2]].astype(np.uint16) << 8 | low[..., [1, 1, 1, 3]]
    else:
        values = upper.astype(np.uint16) << 8 | low
    levels = values[..., :colours]
    shown = whole_levels(levels)
    if colours < values.shape[-1]:
        opaque = whole_levels(values[..., colours:])
        shown = np.concatenate([shown, opaque], axis=-1)
    made = Image.fromarray(shown, image.mode)
    made.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return made


def _has_deep_planes(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {})
    return tags.get(PLANES) == 2 and len(image.getbands()) > 1 and max(tags.get(BITS_PER_SAMPLE, (8,))) > 8


def _raw_mode(tiles: list[Any]) -> str:
    if not tiles:
        return ""
    args = tiles[0].args
    return str(args if isinstance(args, str) else args[0] if args else "")


def _with_raw_mode(args: Any, raw: str) -> Any:
    return raw if isinstance(args, str) else (raw, *args[1:])


def _is_flat(square: Image.Image, pixels: np.ndarray) -> bool:
    """Whether nearly all pixels of an RGB picture have nearly one colour."""
    side = len(pixels)
    few = pixels[side // 4 :: max(1, side // 2), side // 8 :: max(1, side // 4)].reshape(-1, 3).T.tolist()
    if any(seen[-3] - seen[2] > FLAT_LEVELS for seen in map(sorted, few) if len(seen) >= 8):
        return False  # most pictures show it by eight of their pixels
    counts = np.asarray(square.histogram()).reshape(3, 256)
    upto = counts.cumsum(axis=1)
    tail = FLAT_TAIL * upto[0, -1]
    low = (upto > tail).argmax(axis=1)
    high = (upto >= upto[0, -1] - tail).argmax(axis=1)
    return bool((high - low <= FLAT_LEVELS).all())
