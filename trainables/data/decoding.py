"""Decodes any picture that Pillow reads to what a viewer shows: 8-bit sRGB, upright, without alpha.

docs/real-folders.md has the decisions for every mode and bit depth in one table.

Letters: `H` height, `W` width.
"""

from __future__ import annotations

import functools
import io
import threading
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps

ORIENTATION = ExifTags.Base.Orientation
MOST_GB = 2.0
"""Memory that decoding one picture may take: 200 megapixels of ordinary colour take .8 GB as PNG, .3 GB as JPEG."""
DEPTHS = (8, 10, 12, 16)
"""Bits that cameras, scanners and microscopes use of the 16 that a file has; the fewest that hold all values."""
FLAT = 2.0
"""Standard deviation (of 255) of every channel below which a picture is nearly one colour: JPEG's own noise is 1."""
_LARGE = 2**26
"""Bytes of a picture above which only one is decoded at a time, whatever the number of threads."""
_WHITE_IS_ZERO, _PHOTOMETRIC = 0, 262
_one_large = threading.Lock()

# A large picture is no attack: what is refused is decided by the memory that it takes, in `open_upright`.
Image.MAX_IMAGE_PIXELS = None


class TooLargeError(ValueError):
    """A picture takes more memory than it may; the message names the bound and the flag."""


def decode(path: str, side: int, most_gb: float = MOST_GB) -> np.ndarray:
    """Decodes the centre square of a picture, turned upright by its EXIF orientation.

    JPEGs are decoded at the smallest scale that is at least `side` (libjpeg's DCT scaling).

    Args:
        path: The file.
        side: Of the square, in pixels.
        most_gb: Most memory that it may take, in GB.

    Returns:
        `(side, side, 3) uint8` in RGB.

    Raises:
        Exception: Whatever Pillow raises for a file that is no picture or a broken one.
    """
    with Image.open(path) as image:
        rgb = open_upright(image, side, most_gb)
        width, height = rgb.size
        short = min(width, height)
        left, top = (width - short) / 2, (height - short) / 2
        square = rgb.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + short, top + short))
    return np.asarray(square)


def is_flat(picture: np.ndarray) -> bool:
    """Whether `picture (H, W, 3) uint8` is nearly one colour."""
    return bool(picture.reshape(-1, 3).std(axis=0).max() < FLAT)


def open_upright(image: Image.Image, side: int, most_gb: float = MOST_GB) -> Image.Image:
    """Decodes an opened picture: RGB, turned upright by its EXIF orientation, no side smaller than `side`.

    Of several frames or pages it is the first. Copies nothing that can be used as it is, so what comes back may be the
    opened picture itself.

    Raises:
        TooLargeError: It takes more memory than it may.
    """
    pixels = image.width * image.height
    image.draft("RGB", (side, side))
    needed = _bytes_needed(image, pixels)
    if needed > most_gb * 1e9:
        raise TooLargeError(
            f"{pixels / 1e6:,.0f} megapixels take {needed / 1e9:.1f} GB to decode, more than --picture-memory "
            f"{most_gb:g} allows"
        )
    if needed < _LARGE:
        return _open_upright(image)
    with _one_large:
        return _open_upright(image)


def _bytes_needed(image: Image.Image, pixels: int) -> int:
    """Memory at the peak: the picture as Pillow holds it and its conversions, and what the decoder keeps."""
    held = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}.get(image.mode, 4)
    converted = 0 if image.mode == "RGB" else 4 if image.mode in ("1", "L") else 12
    decoder = 0
    if image.format == "JPEG" and ("progressive" in image.info or "progression" in image.info):
        decoder = 6 * pixels  # coefficients of all scans, whatever the scale
    elif image.format in ("WEBP", "AVIF", "JPEG2000", "GIF", "TIFF"):
        decoder = 4 * pixels
    return image.width * image.height * (held + converted) + decoder


def _open_upright(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    image = _deep_colour(image)
    upright = ImageOps.exif_transpose(image) if image.getexif().get(ORIENTATION, 1) != 1 else image
    if upright.mode.startswith("I;16"):
        values = np.asarray(upright).astype(np.float32)
        grey = values * (255 / (2 ** _depth(values.max(initial=0)) - 1))
        if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            grey = 255 - grey
        return Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")
    if upright.mode in ("I", "F"):
        return Image.fromarray(_to_bytes(np.asarray(upright))).convert("RGB")
    if upright.mode == "LAB":
        return _from_lab(upright)
    if upright.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in upright.info:
        upright = _on_white(upright)
    if profile and upright.mode in ("RGB", "L", "CMYK"):
        upright = _to_srgb(upright, profile)
    return upright if upright.mode == "RGB" else upright.convert("RGB")


def _depth(largest: float) -> int:
    return next((bits for bits in DEPTHS if largest < 2**bits), DEPTHS[-1])


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Greys `(H, W)` of 32 bits as `uint8`.

    Whole numbers from 0 to 65,535 count like 16-bit greys; fractions from 0 to 1 as shares of white, from 0 to 255 as
    they are; all else is stretched from its smallest to its largest value. What is no number is black.
    """
    good = np.isfinite(values)
    low, high = (values[good].min(), values[good].max()) if good.any() else (0.0, 0.0)
    whole = np.issubdtype(values.dtype, np.integer)
    if low >= 0 and high <= (65535 if whole else 255):
        scale = 255 / (2 ** _depth(float(high)) - 1) if whole else (255.0 if high <= 1 else 1.0)
        start = 0.0
    else:
        start, scale = float(low), 255 / max(float(high) - float(low), 1e-30)
    with np.errstate(invalid="ignore", over="ignore"):
        grey = (values.astype(np.float64) - start) * scale
    return np.rint(np.where(good, np.clip(grey, 0, 255), 0)).astype(np.uint8)


def _deep_colour(image: Image.Image) -> Image.Image:
    """Colours of 16 bits of which 12 or fewer are used, scaled up; any other picture as it is.

    Pillow keeps the upper byte of each value, which is black where 8 bits are used. The lower one is read by decoding
    once more as if the bytes stood the other way round.
    """
    if not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return image
    mode = _raw_mode(image.tile[0].args)
    if mode not in ("RGB;16B", "RGB;16L", "RGBA;16B", "RGBA;16L", "LA;16B"):
        return image
    image.load()
    pixels = np.asarray(image)
    if not image.filename or pixels[..., :3].max(initial=0) >= 16:
        return image
    again = "RGBA" if mode == "LA;16B" else mode[:-1] + {"B": "L", "L": "B"}[mode[-1]]
    with Image.open(image.filename) as second:
        second.tile = [tile._replace(args=_with_raw_mode(tile.args, again)) for tile in second.tile]
        lower = np.asarray(second)
    if mode == "LA;16B":  # its four bytes are grey and alpha, the upper before the lower
        values = np.repeat(lower[..., :1].astype(np.float32) * 256 + lower[..., 1:2], 3, axis=2)
    else:
        values = pixels[..., :3].astype(np.float32) * 256 + lower[..., :3]
    scaled = np.rint(values * (255 / (2 ** _depth(values.max(initial=0)) - 1))).astype(np.uint8)
    found = Image.fromarray(np.dstack([scaled, pixels[..., 3:]]) if image.mode == "RGBA" else scaled)
    found.info.update(image.info)
    return found


def _raw_mode(args: Any) -> str:
    """How a decoder is told that the bytes stand: alone, or before what else it is told."""
    return str(args if isinstance(args, str) or not args else args[0])


def _with_raw_mode(args: Any, mode: str) -> Any:
    return mode if isinstance(args, str) else (mode, *list(args)[1:])


def _on_white(image: Image.Image) -> Image.Image:
    """Lays what is transparent on white, as a page does."""
    if image.mode == "La":
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    if rgba.getchannel("A").getextrema() == (255, 255):
        return rgba.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def _from_lab(image: Image.Image) -> Image.Image:
    transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
    return _applied(transform, image)


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The colours that a picture's own profile means; without a profile that fits, as they are."""
    transform = _transform(profile, image.mode)
    return image if transform is None else _applied(transform, image)


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    found = ImageCms.applyTransform(image, transform)
    assert found is not None  # it is nothing only in place
    return found


@functools.lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; none where it is sRGB itself, broken, or of another kind of colours."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(opened).lower():
            return None
        return ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
