"""What a file's colour numbers mean: its colour profile, or a PNG's gamma, turned into sRGB as viewers do."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

MODES_OF_SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
"""The colour space in a profile's header, and the mode that its numbers come in."""
SAME = 2
"""Grey levels by which no colour of a profile may differ from sRGB, if converting is to be left out."""
SRGB_PRIMARIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""x and y of white, red, green and blue, in the order of a PNG's cHRM chunk."""
NEAR_GAMMA, NEAR_PRIMARIES = 0.005, 0.002
"""By how much a PNG's gamma and primaries may differ from sRGB's to be taken for them."""
D50 = (0.9642, 1.0, 0.8249)
"""The white that the numbers in every profile refer to (ICC.1:2022, 7.2.16)."""
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""From XYZ to the cone responses in which one white is adapted to another (ICC.1:2022, annex E)."""
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""The parameters g, a, b, c and d of sRGB's curve as a parametric curve of type 3."""


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Turns a picture into sRGB.

    A profile that is broken, or for another kind of picture, is left out of account, as viewers do.

    Args:
        image: In the mode L, RGB or CMYK, upright or not.
        profile: An ICC profile, or none.

    Returns:
        In the mode RGB; the very picture if there is nothing to do.
    """
    if profile:
        if profile[16:20] == b"RGB " and image.mode == "L":
            image = image.convert("RGB")
        if MODES_OF_SPACES.get(profile[16:20]) == image.mode and (turn := _transform(profile, image.mode)):
            return turn.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def lab_to_srgb(image: Image.Image) -> Image.Image:
    """Turns CIE L*a*b* (D50) into sRGB, which Pillow's `convert` does not know."""
    return _lab_transform().apply(image)


def png_profile(info: Mapping[Any, Any]) -> bytes | None:
    """The profile that a PNG without one describes by its gamma and primaries; None if it describes none.

    A chunk sRGB goes before both (PNG specification, 4.3). A gamma of 1/2.2 with sRGB's primaries is what writers of
    sRGB put there for readers who know nothing else, so it is read as sRGB.

    Args:
        info: What Pillow read.
    """
    gamma, primaries = info.get("gamma"), info.get("chromaticity", SRGB_PRIMARIES)
    if not gamma or "srgb" in info:
        return None
    if abs(gamma - 1 / 2.2) < NEAR_GAMMA and np.allclose(primaries, SRGB_PRIMARIES, atol=NEAR_PRIMARIES):
        return None
    try:
        return matrix_profile(primaries, (1 / gamma,))
    except (ValueError, TypeError, ZeroDivisionError, np.linalg.LinAlgError, struct.error):  # no such colours
        return None


@lru_cache(maxsize=64)
def matrix_profile(primaries: Sequence[float], curve: Sequence[float]) -> bytes:
    """Writes the profile of a colour space with three primaries.

    Args:
        primaries: x and y of white, red, green and blue.
        curve: From a number to light, both 0 to 1: its exponent alone, or the five parameters of `SRGB_CURVE`.

    Raises:
        ValueError, ZeroDivisionError, LinAlgError, struct.error: There are no such colours.
    """
    if len(primaries) != 8 or not np.isfinite([*primaries, *curve]).all():
        raise ValueError(f"no primaries: {primaries}")
    white, *colours = (
        np.array([x / y, 1, (1 - x - y) / y]) for x, y in zip(primaries[::2], primaries[1::2], strict=True)
    )
    matrix = np.stack(colours, axis=1)
    matrix = matrix * np.linalg.solve(matrix, white)
    cones = np.diag((BRADFORD @ D50) / (BRADFORD @ white))
    matrix = np.linalg.inv(BRADFORD) @ cones @ BRADFORD @ matrix
    tags = {b"wtpt": _xyz(D50)}
    for place, name in enumerate((b"r", b"g", b"b")):
        tags |= {name + b"XYZ": _xyz(matrix[:, place]), name + b"TRC": curve_tag(curve)}
    return icc_profile(b"RGB ", b"XYZ ", tags)


def curve_tag(curve: Sequence[float]) -> bytes:
    """A parametric curve of a profile: an exponent, or the five parameters of `SRGB_CURVE`."""
    return b"para\0\0\0\0" + struct.pack(">HH", 0 if len(curve) == 1 else 3, 0) + b"".join(map(_fixed, curve))


def icc_profile(space: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """Puts a profile together (ICC.1:2022, 7.2 and 7.3).

    Args:
        space: Signature of the space that it describes, such as `RGB `.
        connection: Signature of the space that it leads to, `XYZ ` or `Lab `.
        tags: Signature to content.
    """
    table, content = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", start + len(content), len(tag))
        content += tag + bytes(-len(tag) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    header = struct.pack(">I4sI", start + len(content), b"\0\0\0\0", 0x04300000) + kind + space + connection
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + b"".join(map(_fixed, D50))
    return header.ljust(128, b"\0") + table + content


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


@lru_cache(maxsize=64)  # a data set has few profiles; Pillow's transforms may be used by several threads at once
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None if it is broken or hardly differs from sRGB."""
    try:
        made = ImageCms.ImageCmsTransform(_profile(profile), _srgb(), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if mode == "CMYK":
        return made
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    probe = Image.fromarray(colours if mode == "RGB" else np.arange(256, dtype=np.uint8).reshape(16, 16))
    before, after = np.asarray(probe.convert("RGB"), np.int16), np.asarray(made.apply(probe), np.int16)
    return made if np.abs(after - before).max() > SAME else None


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return ImageCms.ImageCmsTransform(lab, _srgb(), "LAB", "RGB")


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _profile(content: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(content))
