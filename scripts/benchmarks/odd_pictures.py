"""Small pictures of every kind that a file may have, drawn so that it is known what each should look like.

The tests decode them, and `scripts/benchmarks/decoding.py` shows them to a browser and to ImageMagick.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from trainables.data.colours import SRGB_CURVE, SRGB_PRIMARIES, curve_tag, icc_profile, matrix_profile

WIDTH, HEIGHT = 48, 32
DISPLAY_P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
ADOBE_RGB = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
X = np.tile(np.linspace(0.05, 0.95, WIDTH), (HEIGHT, 1))
Y = np.tile(np.linspace(0.1, 0.9, HEIGHT)[:, None], (1, WIDTH))
COLOURS = np.stack([X, Y, 1 - X * 0.7], axis=-1)
"""`(HEIGHT, WIDTH, 3)` from 0 to 1: every side of it looks different."""
TURNED_BACK = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}
"""What lies in a file of that EXIF orientation for the picture to look as it should."""


@dataclass(frozen=True)
class OddPicture:
    """A file and what it should look like."""

    name: str
    """Of the file; its ending is that of its format."""
    kind: str
    """In words, as in the table of the docs."""
    content: bytes
    expected: np.ndarray
    """`(H, W, 3) uint8`."""
    tolerance: int = 1
    """Grey levels that a right decoder may be off: rounding, or what the format loses."""


def odd_pictures() -> Iterator[OddPicture]:
    """All kinds, in the order of the table in docs/decoding.md."""
    yield from _plain()
    yield from _transparent()
    yield from _inks()
    yield from _deep()
    yield from _measured()
    yield from _profiles()
    yield from _turned()
    yield from _framed()


def _plain() -> Iterator[OddPicture]:
    colours, grey = levels(COLOURS), levels(X)
    picture = Image.fromarray(colours)
    yield OddPicture("1.png", "1: one bit", saved(Image.fromarray(grey > 127), "PNG"), shown((grey > 127) * 255))
    yield OddPicture("l.png", "L: 8 bit grey", saved(Image.fromarray(grey), "PNG"), shown(grey))
    yield OddPicture("rgb.png", "RGB", saved(picture, "PNG"), colours)
    yield OddPicture("rgb.jpg", "RGB, JPEG", saved(picture, "JPEG", quality=98, subsampling=0), colours, 6)
    yield OddPicture("rgb.jp2", "RGB, JPEG 2000", saved(picture, "JPEG2000"), colours)
    yield OddPicture("rgb.avif", "RGB, AVIF", saved(picture, "AVIF", quality=100, subsampling="4:4:4"), colours, 6)
    few = picture.quantize(16)
    yield OddPicture("p.png", "P: palette", saved(few, "PNG"), np.asarray(few.convert("RGB")))
    yield OddPicture("ycbcr.tif", "YCbCr", saved(picture.convert("YCbCr"), "TIFF"), colours, 3)


def _transparent() -> Iterator[OddPicture]:
    colours, grey, alpha = levels(COLOURS), levels(X), levels(Y)
    rgba, la = np.dstack([colours, alpha]), np.dstack([grey, alpha])
    over, grey_over = over_white(colours, alpha), over_white(shown(grey), alpha)
    yield OddPicture("rgba.png", "RGBA", saved(Image.fromarray(rgba), "PNG"), over)
    yield OddPicture("rgba.webp", "RGBA, WebP", saved(Image.fromarray(rgba), "WEBP", lossless=True, exact=True), over)
    yield OddPicture("la.png", "LA", saved(Image.fromarray(la, "LA"), "PNG"), grey_over)
    weakened = (rgba[..., :3].astype(int) * alpha[..., None] + 127) // 255
    content = tiff(np.dstack([weakened, alpha]).astype(np.uint8), 2, extra=1)
    yield OddPicture("rgba-premultiplied.tif", "RGBa: colours times alpha", content, over, 3)
    weakened = (grey.astype(int) * alpha + 127) // 255
    content = tiff(np.dstack([weakened, alpha]).astype(np.uint8), 1, extra=1)
    yield OddPicture("la-premultiplied.tif", "La: grey times alpha", content, grey_over, 3)
    few = Image.fromarray(colours).quantize(16)
    opaque = np.asarray(few) != 3
    expected = np.where(opaque[..., None], np.asarray(few.convert("RGB")), 255)
    yield OddPicture("p-index.png", "P, one index transparent", saved(few, "PNG", transparency=3), expected)
    yield OddPicture("p-index.gif", "P, GIF, transparent", saved(few, "GIF", transparency=3), expected)
    shares = bytes(range(0, 256, 16))
    expected = over_white(np.asarray(few.convert("RGB")), np.frombuffer(shares, np.uint8)[np.asarray(few)])
    yield OddPicture("p-shares.png", "P, an alpha for each index", saved(few, "PNG", transparency=shares), expected)
    content = tiff(np.dstack([np.asarray(few), alpha]), 3, extra=2, palette=few.getpalette() or ())
    expected = over_white(np.asarray(few.convert("RGB")), alpha)
    yield OddPicture("pa.tif", "PA: palette and alpha", content, expected)
    key = (int(colours[3, 5, 0]), int(colours[3, 5, 1]), int(colours[3, 5, 2]))
    expected = np.where((colours == key).all(axis=-1, keepdims=True), 255, colours).astype(np.uint8)
    yield OddPicture("rgb-key.png", "RGB, one colour transparent", _png8(colours, key), expected)
    expected = shown(np.where(grey == grey[0, 40], 255, grey))
    yield OddPicture("l-key.png", "L, one grey transparent", _png8(grey, int(grey[0, 40])), expected)


def _inks() -> Iterator[OddPicture]:
    inks = np.dstack([1 - COLOURS, X * 0.3])
    picture = Image.fromarray(levels(inks), "CMYK")
    expected = levels((1 - inks[..., :3]) * (1 - inks[..., 3:]))
    yield OddPicture("cmyk.jpg", "CMYK, JPEG (Adobe's, inverted)", saved(picture, "JPEG", quality=98), expected, 8)
    yield OddPicture("cmyk.tif", "CMYK, TIFF", saved(picture, "TIFF"), expected, 2)
    lightness = 1 - levels(inks).mean(axis=-1) / 255
    content = saved(picture, "JPEG", quality=98, icc_profile=ink_profile())
    expected = shown(levels(encoded(light_of(lightness))))
    yield OddPicture("cmyk-profile.jpg", "CMYK with a profile", content, expected, 8)
    lab = np.dstack([levels(X), np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)])
    yield OddPicture("lab.tif", "LAB", tiff(lab, 8), shown(levels(encoded(light_of(levels(X) / 255)))), 2)


def _deep() -> Iterator[OddPicture]:
    for bits in (8, 10, 12, 16):
        values = np.round(X * (2**bits - 1)).astype(np.uint16)
        yield OddPicture(f"i16-{bits}.png", f"I;16: {bits} of 16 bits used", png16(values), shown(levels(X)))
    values = np.round(X * 4095).astype(np.uint16)
    yield OddPicture("i16.tif", "I;16, TIFF, 12 bits used", tiff(values, 1), shown(levels(X)))
    yield OddPicture("i16b.tif", "I;16B, TIFF, 12 bits used", tiff(values, 1, order=">"), shown(levels(X)))
    yield OddPicture("i16-white-is-zero.tif", "I;16, white is zero", tiff(4095 - values, 0), shown(levels(X)), 3)
    keyed = np.where(values == values[0, 40], 255, levels(X))
    yield OddPicture("i16-key.png", "I;16, one grey transparent", png16(values, int(values[0, 40])), shown(keyed))
    for bits in (12, 16):
        values = np.round(COLOURS * (2**bits - 1)).astype(np.uint16)
        yield OddPicture(f"rgb16-{bits}.png", f"RGB, {bits} of 16 bits used", png16(values), levels(COLOURS))
        yield OddPicture(f"rgb16-{bits}.tif", f"RGB, TIFF, {bits} of 16 bits used", tiff(values, 2), levels(COLOURS))
        alpha = np.round(Y * 65535).astype(np.uint16)
        over = over_white(levels(COLOURS), levels(Y))
        content = png16(np.dstack([values, alpha]))
        yield OddPicture(f"rgba16-{bits}.png", f"RGBA, {bits} of 16 bits used", content, over, 2)
        content = png16(np.dstack([values[..., 0], alpha]))
        over = over_white(shown(levels(X)), levels(Y))
        yield OddPicture(f"la16-{bits}.png", f"LA, {bits} of 16 bits used", content, over, 2)
    grey = np.round(X * 1000).astype(">u2")
    content = f"P5 {WIDTH} {HEIGHT} 1000\n".encode() + grey.tobytes()
    yield OddPicture("maxval1000.pgm", "I: PGM whose white is 1000", content, shown(levels(X)))


def _measured() -> Iterator[OddPicture]:
    expected = shown(levels(X))
    whole = levels((X - X.min()) / (X.max() - X.min()))
    signed = np.round(X * 4000 - 1000).astype("<i2")
    yield OddPicture("i16-signed.tif", "I: negative numbers", tiff(signed, 1), shown(whole))
    yield OddPicture("i32.tif", "I: 32 bits, 12 used", tiff(np.round(X * 4095).astype("<i4"), 1), expected)
    unsigned = np.round(X * (2**32 - 1)).astype("<u4")
    yield OddPicture("u32.tif", "I: 32 bits without a sign", tiff(unsigned, 1), shown(whole))
    yield OddPicture("f-0-1.tif", "F: 0 to 1", tiff(X.astype("<f4"), 1), expected)
    yield OddPicture("f-0-255.tif", "F: 0 to 255", tiff((X * 255).astype("<f4"), 1), expected)
    yield OddPicture("f-12-bit.tif", "F: whole, 12 bits", tiff(np.round(X * 4095).astype("<f4"), 1), expected)
    yield OddPicture("f-any.tif", "F: anything else", tiff((X * 7e4 - 3e4).astype("<f4"), 1), shown(whole))
    holes = np.where(Y > 0.8, np.nan, X)
    expected = shown(np.where(Y > 0.8, 0, levels(X)))
    yield OddPicture("f-nan.tif", "F: NaN", tiff(holes.astype("<f4"), 1), expected)


def _profiles() -> Iterator[OddPicture]:
    picture, grey = Image.fromarray(levels(COLOURS)), Image.fromarray(levels(X))
    for name, kind, primaries, curve in (
        ("srgb", "profile sRGB", SRGB_PRIMARIES, SRGB_CURVE),
        ("display-p3", "profile Display P3", DISPLAY_P3, SRGB_CURVE),
        ("adobe-rgb", "profile Adobe RGB", ADOBE_RGB, (563 / 256,)),
    ):
        profile = matrix_profile(primaries, curve)
        expected = levels(in_srgb(levels(COLOURS) / 255, primaries, curve))
        yield OddPicture(f"{name}.png", kind, saved(picture, "PNG", icc_profile=profile), expected, 2)
        if name == "display-p3":
            content = saved(picture, "JPEG", quality=98, subsampling=0, icc_profile=profile)
            yield OddPicture(f"{name}.jpg", f"{kind}, JPEG", content, expected, 8)
            content = saved(picture, "WEBP", lossless=True, icc_profile=profile)
            yield OddPicture(f"{name}.webp", f"{kind}, WebP", content, expected, 2)
    profile = icc_profile(b"GRAY", b"XYZ ", {b"kTRC": curve_tag((1.8,))})
    expected = shown(levels(encoded((levels(X) / 255) ** 1.8)))
    yield OddPicture(
        "grey-gamma.png", "grey profile of gamma 1.8", saved(grey, "PNG", icc_profile=profile), expected, 2
    )
    content = saved(picture, "PNG", icc_profile=b"no profile")
    yield OddPicture("broken-profile.png", "broken profile", content, levels(COLOURS))
    linear = levels(in_srgb(levels(COLOURS) / 255, SRGB_PRIMARIES, (1.0,)))
    yield OddPicture("gamma-1.png", "gAMA 1.0", _with_chunks(picture, gamma=1.0), linear, 2)
    yield OddPicture("gamma-srgb.png", "gAMA 1/2.2", _with_chunks(picture, gamma=0.45455), levels(COLOURS), 2)
    content = _with_chunks(picture, gamma=0.45455, primaries=SRGB_PRIMARIES)
    yield OddPicture("gamma-srgb-primaries.png", "gAMA 1/2.2 and sRGB's cHRM", content, levels(COLOURS), 2)
    content = _with_chunks(picture, gamma=0.45455, primaries=DISPLAY_P3)
    expected = levels(in_srgb(levels(COLOURS) / 255, DISPLAY_P3, (2.2,)))
    yield OddPicture("gamma-primaries.png", "gAMA 1/2.2 and cHRM", content, expected, 2)
    content = _with_chunks(picture, gamma=1.0, srgb=True)
    yield OddPicture("srgb-chunk.png", "sRGB chunk beside gAMA 1.0", content, levels(COLOURS))


def _turned() -> Iterator[OddPicture]:
    expected = levels(COLOURS)
    for orientation, turn in TURNED_BACK.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        lying = Image.fromarray(np.ascontiguousarray(turn(expected)))
        content = saved(lying, "JPEG", quality=98, subsampling=0, exif=exif)
        yield OddPicture(f"exif-{orientation}.jpg", f"EXIF orientation {orientation}", content, expected, 6)
        if orientation == 6:
            for form, ending, more in (("PNG", "png", {}), ("WEBP", "webp", {"lossless": True}), ("TIFF", "tif", {})):
                content = saved(lying, form, exif=exif, **more)
                yield OddPicture(f"exif-6.{ending}", f"EXIF orientation 6, {form}", content, expected)


def _framed() -> Iterator[OddPicture]:
    first, second = Image.fromarray(levels(COLOURS)), Image.new("RGB", (WIDTH, HEIGHT), (0, 255, 0))
    more: dict[str, Any] = {"save_all": True, "append_images": [second]}
    few = first.quantize(16)
    yield OddPicture("frames.gif", "GIF of two frames", saved(few, "GIF", **more), np.asarray(few.convert("RGB")))
    yield OddPicture("pages.tif", "TIFF of two pages", saved(first, "TIFF", **more), levels(COLOURS))
    yield OddPicture("frames.webp", "WebP of two frames", saved(first, "WEBP", lossless=True, **more), levels(COLOURS))
    yield OddPicture("frames.png", "animated PNG", saved(first, "PNG", **more), levels(COLOURS))
    content = saved(second, "PNG", save_all=True, append_images=[first, second], default_image=True)
    yield OddPicture("still.png", "animated PNG with a still beside", content, levels(COLOURS))
    content = saved(first, "MPO", quality=98, **more)
    yield OddPicture("two.mpo", "MPO: a JPEG with a second picture", content, levels(COLOURS), 12)


def levels(share: np.ndarray) -> np.ndarray:
    """From 0 to 1 to `uint8`."""
    return np.round(np.clip(share, 0, 1) * 255).astype(np.uint8)


def shown(grey: np.ndarray) -> np.ndarray:
    """Grey as RGB."""
    return np.repeat(grey[..., None].astype(np.uint8), 3, axis=-1)


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`uint8` colours over white."""
    share = alpha[..., None] / 255
    return levels(colours / 255 * share + 1 - share)


def encoded(light: np.ndarray) -> np.ndarray:
    """Light as sRGB's numbers, both 0 to 1 (IEC 61966-2-1)."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def light_of(lightness: np.ndarray) -> np.ndarray:
    """The light of a CIE lightness, both 0 to 1."""
    root = (lightness * 100 + 16) / 116
    return np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29))


def in_srgb(numbers: np.ndarray, primaries: Sequence[float], curve: Sequence[float]) -> np.ndarray:
    """Colours of a space with sRGB's white as sRGB's numbers, 0 to 1; written apart from what is tested by it."""

    def to_xyz(p: Sequence[float]) -> np.ndarray:
        columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in zip(p[2::2], p[3::2], strict=True)]).T
        white = np.array([p[0] / p[1], 1, (1 - p[0] - p[1]) / p[1]])
        return columns * (np.linalg.inv(columns) @ white)

    if len(curve) == 1:
        light = numbers ** curve[0]
    else:
        light = np.where(numbers <= 0.04045, numbers / 12.92, ((numbers + 0.055) / 1.055) ** 2.4)
    return encoded(light @ (np.linalg.inv(to_xyz(SRGB_PRIMARIES)) @ to_xyz(primaries)).T)


def ink_profile() -> bytes:
    """A profile of four inks each of which takes a quarter of the lightness; no real printer's."""
    corners = [[255 * (4 - bin(corner).count("1")) // 4, 128, 128] for corner in range(16)]
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table += bytes(range(256)) * 4 + bytes(np.array(corners, np.uint8)) + bytes(range(256)) * 3
    return icc_profile(b"CMYK", b"Lab ", {b"A2B0": table})


def saved(picture: Image.Image, form: str, **more: Any) -> bytes:
    """The content of a file."""
    content = io.BytesIO()
    picture.save(content, form, **more)
    return content.getvalue()


def png16(values: np.ndarray, key: int | None = None) -> bytes:
    """A PNG of 16 bits a channel, of `(H, W)` or `(H, W, channels) uint16`, with a transparent grey."""
    return _png(values.astype(">u2"), 16, None if key is None else struct.pack(">H", key))


def _png8(values: np.ndarray, key: int | tuple[int, ...]) -> bytes:
    keys = (key,) if isinstance(key, int) else key
    return _png(values, 8, struct.pack(f">{len(keys)}H", *keys))


def _png(values: np.ndarray, bits: int, key: bytes | None) -> bytes:
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2] if values.ndim == 3 else 1]
    height, width = values.shape[:2]
    lines = b"".join(b"\0" + line.tobytes() for line in values)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))]
    chunks += [] if key is None else [(b"tRNS", key)]
    chunks += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    packed = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def tiff(
    values: np.ndarray,
    photometric: int,
    *,
    extra: int | None = None,
    palette: Sequence[int] = (),
    order: Literal["<", ">"] = "<",
) -> bytes:
    """A TIFF without compression, in one strip; Pillow writes but a few of the kinds that it reads."""
    height, width = values.shape[:2]
    samples = values.shape[2] if values.ndim == 3 else 1
    bits = [values.dtype.itemsize * 8] * samples
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    content = values.astype(values.dtype.newbyteorder(order)).tobytes()
    tags: dict[int, tuple[str, list[int]]] = {
        256: ("L", [width]), 257: ("L", [height]), 258: ("H", bits), 259: ("H", [1]), 262: ("H", [photometric]),
        273: ("L", [8]), 277: ("H", [samples]), 278: ("L", [height]), 279: ("L", [len(content)]),
        339: ("H", [kind] * samples),
    }  # fmt: skip
    if extra is not None:
        tags[338] = ("H", [extra])
    if palette:
        colours = [*palette, *[0] * (768 - len(palette))]
        tags[320] = ("H", [value * 257 for channel in range(3) for value in colours[channel::3]])
    body, entries = content + bytes(len(content) % 2), []
    for tag, (code, numbers) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}{code}", *numbers)
        if len(packed) > 4:
            place = struct.pack(f"{order}L", 8 + len(body))
            body += packed + bytes(len(packed) % 2)
        else:
            place = packed.ljust(4, b"\0")
        entries.append(struct.pack(f"{order}HHL", tag, {"H": 3, "L": 4}[code], len(numbers)) + place)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HL", 42, 8 + len(body))
    return head + body + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)


def _with_chunks(picture: Image.Image, *, gamma: float, primaries: Sequence[float] = (), srgb: bool = False) -> bytes:
    info = PngInfo()
    if srgb:
        info.add(b"sRGB", b"\0")
    info.add(b"gAMA", struct.pack(">I", round(gamma * 1e5)))
    if primaries:
        info.add(b"cHRM", struct.pack(">8I", *(round(value * 1e5) for value in primaries)))
    return saved(picture, "PNG", pnginfo=info)
