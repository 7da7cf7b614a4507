"""Draws stylised portraits: people, each with a `Look` of their own, wearing a mask well, badly or not at all.

Lengths are in half head widths. A picture is drawn at `SUPERSAMPLE` times its size and reduced at the end.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Point = tuple[float, float]

SUPERSAMPLE = 2
"""Edges are smooth enough at 2 (each pixel averages 4); 3 takes twice as long."""
CROWN = -1.42
"""Top of the skull; the eyes are near 0 and so in the middle of the head, as portrait manuals teach."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Everything that a person's seven pictures share. Shares without a unit run from 0 to 1."""

    skin: Colour
    hair: Colour
    grey: float
    """Share of white strands."""
    hair_style: str
    """cropped, parted, swept, fringe or bald, seen from the front."""
    hair_length: float
    """How far the hair falls below the eyes, in half head widths; under 0.6 it stays behind the ears."""
    hair_volume: float
    """How far the hair stands off the skull, in half head widths."""
    hair_wave: float
    parting: float
    """Where the hair parts, -1 (left) to 1 (right)."""
    receding: float
    face_width: float
    """Half width of the face, about 1."""
    chin: float
    """Distance of the chin from the eyes, about 1.25."""
    jaw: float
    """0 is a pointed chin, 1 a square jaw."""
    brow: float
    """Thickness of the eyebrows."""
    brow_arch: float
    eye_size: float
    """Relative to the average eye."""
    eye_colour: Colour
    lashes: float
    nose: float
    """Width of the nose relative to the average."""
    lips: float
    """Fullness of the lips."""
    lip_colour: float
    """0 is the skin's own red, 1 a red lipstick."""
    blush: float
    stubble: float
    wrinkles: float
    sag: float
    """How far lids and mouth corners hang."""
    glasses: str
    """none, round, square or half."""
    frame_colour: Colour
    earrings: Colour | None
    neck: float
    """Half width of the neck."""
    shoulders: float
    """Half width of the shoulders."""
    clothing: str
    """crew, vee, shirt, hood or turtle."""
    clothing_colour: Colour
    clothing_second: Colour
    clothing_pattern: str
    """plain, stripes or dots."""
    backdrop: str
    """plain, panels, blinds, window, shelf, tiles or bokeh."""
    backdrop_colour: Colour
    backdrop_second: Colour
    backdrop_seed: int
    tint: tuple[float, float, float]
    """Factor of each colour channel: the light of the room and the camera's white balance."""
    light: tuple[float, float]
    """Change of brightness from the middle to the right and to the lower edge."""
    zoom: float
    """Half head width as a share of the picture's width."""
    centre: Point
    """Place of the eyes as shares of the picture's width and height."""
    tilt: float
    """Usual tilt of the head in degrees."""


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """The colour that lies `share` (0 to 1) of the way from `a` to `b`."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def darker(colour: Colour, share: float) -> Colour:
    """The colour in shadow: towards a warm dark brown, not towards black, which looks dirty on skin."""
    return mix(colour, (48, 24, 28), share)


class Canvas:
    """A picture under construction and the map from head coordinates to its pixels."""

    def __init__(self, look: Look, height: int, rng: np.random.Generator) -> None:
        self.look = look
        self.rng = rng
        self.width, self.height = height * 3 // 4 * SUPERSAMPLE, height * SUPERSAMPLE
        self.image = Image.new("RGB", (self.width, self.height), look.backdrop_colour)
        self.pen = ImageDraw.Draw(self.image)
        self.unit = self.width * look.zoom * rng.uniform(0.96, 1.04)
        self.x = self.width * (look.centre[0] + rng.normal(0, 0.012))
        self.y = self.height * (look.centre[1] + rng.normal(0, 0.010))
        self.turn = float(np.clip(rng.normal(0, 0.45), -1, 1))
        angle = math.radians(look.tilt + rng.normal(0, 1.8))
        self.cos, self.sin = math.cos(angle), math.sin(angle)

    def place(self, points: Iterable[Point], *, depth: float = 0.0, still: bool = False) -> list[Point]:
        """Pixels of head coordinates; a turned head moves them by their `depth`, `still` leaves out the tilt."""
        cos, sin = (1.0, 0.0) if still else (self.cos, self.sin)
        shift = self.turn * depth * 0.12
        return [
            (
                self.x + self.unit * ((x + shift) * cos - y * sin),
                self.y + self.unit * ((x + shift) * sin + y * cos),
            )
            for x, y in points
        ]

    def fill(self, points: Iterable[Point], colour: Colour, *, depth: float = 0.0, still: bool = False) -> None:
        """Fills a polygon."""
        self.pen.polygon(self.place(points, depth=depth, still=still), fill=colour)

    def stroke(
        self,
        points: Iterable[Point],
        colour: Colour,
        width: float,
        *,
        depth: float = 0.0,
        still: bool = False,
    ) -> None:
        """Draws a line; `width` in half head widths."""
        pixels = max(1, round(width * self.unit))
        self.pen.line(self.place(points, depth=depth, still=still), fill=colour, width=pixels, joint="curve")

    def soft(
        self, shapes: Iterable[tuple[list[Point], float]], colour: Colour, *, blur: float, inside: list[Point]
    ) -> None:
        """Lays blurred shapes over the picture, each with its opacity, cut off at the polygon `inside`.

        Drawn at a quarter of the size, since a blur has no detail to lose, and only where `inside` is.
        """
        xs, ys = zip(*inside, strict=True)
        left, top = max(0, int(min(xs)) // 4), max(0, int(min(ys)) // 4)
        right, low = min(self.width // 4, int(max(xs)) // 4 + 1), min(self.height // 4, int(max(ys)) // 4 + 1)
        if right <= left or low <= top:
            return
        size = (right - left, low - top)
        veil, cut = Image.new("L", size), Image.new("L", size)
        pen = ImageDraw.Draw(veil)
        for points, opacity in shapes:
            pen.polygon([(x / 4 - left, y / 4 - top) for x, y in points], fill=round(255 * opacity))
        ImageDraw.Draw(cut).polygon([(x / 4 - left, y / 4 - top) for x, y in inside], fill=255)
        veil = ImageChops.multiply(veil.filter(ImageFilter.BoxBlur(blur * self.unit / 4)), cut)
        veil = veil.resize((4 * size[0], 4 * size[1]), Image.Resampling.BILINEAR)
        self.image.paste(colour, (4 * left, 4 * top, 4 * right, 4 * low), mask=veil)


@functools.cache
def unit_circle(num: int) -> list[Point]:
    """Points on the circle of radius 1."""
    return [(math.cos(2 * math.pi * k / num), math.sin(2 * math.pi * k / num)) for k in range(num)]


def oval(x: float, y: float, a: float, b: float, num: int = 28) -> list[Point]:
    """An ellipse around (`x`, `y`)."""
    return [(x + a * cos, y + b * sin) for cos, sin in unit_circle(num)]


@functools.cache
def lagrange_weights(order: int, num: int) -> np.ndarray:
    """`(num, order)`: weights of `order` points in `num` points of the polynomial through them."""
    at, to = np.linspace(0, 1, order), np.linspace(0, 1, num)
    return np.stack([np.prod([(to - b) / (a - b) for b in at if b != a], axis=0) for a in at], axis=1)


def curve(points: list[Point], num: int = 16) -> list[Point]:
    """A smooth line through two to four points (a polynomial in the order of the points)."""
    x, y = np.einsum("kj,jd->dk", lagrange_weights(len(points), num), np.array(points)).tolist()
    return list(zip(x, y, strict=True))


def mirrored(points: list[Point]) -> list[Point]:
    """The left half's points, followed by their reflections on the way back."""
    return points + [(-x, y) for x, y in reversed(points)]


def face_half_width(look: Look, y: float) -> float:
    """Half width of the face at height `y`, 0 outside of it."""
    if y <= 0:
        return look.face_width * max(0.0, 1 - (y / CROWN) ** 2.4) ** 0.5
    square = 1.75 + 1.5 * look.jaw
    return look.face_width * max(0.0, 1 - (y / look.chin) ** square) ** (0.62 - 0.1 * look.jaw)


def face_outline(look: Look) -> list[Point]:
    """The face from crown to chin and back, with more points where it bends more."""
    heights = [CROWN * math.cos(math.pi / 2 * k / 14) for k in range(15)]
    heights += [look.chin * math.sin(math.pi / 2 * k / 18) for k in range(1, 19)]
    return mirrored([(-face_half_width(look, y), y) for y in heights])


def hair_colour(look: Look) -> Colour:
    """The hair as it looks from afar, white strands included."""
    return mix(look.hair, (214, 212, 210), 0.85 * look.grey)


def draw_backdrop(c: Canvas) -> None:
    """The wall behind the person; its details are the person's own, only the camera moves a little."""
    look, pen, w, h = c.look, c.pen, c.width, c.height
    rng = np.random.default_rng(look.backdrop_seed)
    first, second = look.backdrop_colour, look.backdrop_second
    dx, dy = (float(v) for v in c.rng.normal(0, 0.015, 2) * w)
    if look.backdrop == "panels":
        step = w * rng.uniform(0.18, 0.4)
        for k in range(-1, 8):
            left = k * step + dx
            pen.rectangle([left, 0, left + step * 0.46, h], fill=second)
    elif look.backdrop == "blinds":
        step = h * rng.uniform(0.05, 0.1)
        for k in range(-1, 24):
            pen.rectangle([0, k * step + dy, w, k * step + dy + step * 0.3], fill=second)
    elif look.backdrop == "window":
        left, top = w * rng.uniform(-0.1, 0.5) + dx, h * rng.uniform(0.0, 0.2) + dy
        wide, high = w * rng.uniform(0.4, 0.6), h * rng.uniform(0.35, 0.6)
        frame = max(2, round(w * 0.025))
        pen.rectangle(
            [left, top, left + wide, top + high],
            fill=second,
            outline=mix(first, (255, 255, 255), 0.6),
            width=frame,
        )
        pen.line(
            [left + wide / 2, top, left + wide / 2, top + high],
            fill=mix(first, (255, 255, 255), 0.6),
            width=frame,
        )
    elif look.backdrop == "shelf":
        for k in range(1, 4):
            base = h * (0.2 * k + rng.uniform(-0.02, 0.02)) + dy
            x = dx - w * 0.05
            while x < w:
                wide, high = w * rng.uniform(0.04, 0.1), h * rng.uniform(0.08, 0.15)
                red, green, blue = (int(v) for v in rng.integers(60, 210, 3))
                pen.rectangle([x, base - high, x + wide, base], fill=mix(second, (red, green, blue), 0.55))
                x += wide * rng.choice([1.0, 1.0, 1.0, 2.2])
            pen.rectangle([0, base, w, base + h * 0.012], fill=darker(first, 0.4))
    elif look.backdrop == "tiles":
        step = w * rng.uniform(0.14, 0.25)
        for k in range(-1, 12):
            pen.line([k * step + dx, 0, k * step + dx, h], fill=second, width=max(2, round(w * 0.012)))
            pen.line([0, k * step + dy, w, k * step + dy], fill=second, width=max(2, round(w * 0.012)))
    elif look.backdrop == "bokeh":
        for _ in range(16):
            x, y, r = rng.uniform(0, w) + dx, rng.uniform(0, h) + dy, w * rng.uniform(0.03, 0.11)
            pen.ellipse([x - r, y - r, x + r, y + r], fill=mix(first, second, float(rng.uniform(0.2, 0.9))))


def draw_body(c: Canvas) -> None:
    """Shoulders and clothing, cut off by the lower edge."""
    look = c.look
    top, wide, low = look.chin + 0.42, look.shoulders, 4.5
    cloth, second = look.clothing_colour, look.clothing_second
    left = [
        (-wide * 1.08, low),
        *curve([(-wide, top + 1.1), (-wide * 0.86, top + 0.42), (-look.neck * 1.15, top)], 14),
    ]
    torso = mirrored(left)
    if look.clothing == "hood":
        c.fill(oval(0, top + 0.25, look.neck * 1.9, 0.62), darker(cloth, 0.18), still=True)
    c.fill(torso, cloth, still=True)
    if look.clothing_pattern == "stripes":
        for k in range(7):
            y = top + 0.55 + 0.36 * k
            c.fill(
                mirrored([(-wide * (0.83 if k == 0 else 0.96), y), (-wide * (0.88 if k == 0 else 0.97), y + 0.15)]),
                second,
                still=True,
            )
    elif look.clothing_pattern == "dots":
        for k in range(40):
            x, y = -wide * 0.85 + (k % 8 + 0.5 * (k // 8 % 2)) * wide * 0.23, top + 0.6 + (k // 8) * 0.32
            c.fill(oval(x, y, 0.06, 0.06, 10), second, still=True)
    pixels = c.place(torso, still=True)
    under_chin = c.place(oval(0, look.chin + 0.5, 1.25, 0.55), still=True)
    arm = c.place(oval(-wide, 3.4, 0.5, 2), still=True)
    c.soft([(under_chin, 0.5), (arm, 0.3)], darker(cloth, 0.55), blur=0.22, inside=pixels)


def draw_neck(c: Canvas) -> None:
    """Neck and collar."""
    look = c.look
    top, neck = look.chin + 0.42, look.neck
    cloth, second = look.clothing_colour, look.clothing_second
    skin = darker(look.skin, 0.1)
    deep = {"vee": 0.95, "shirt": 0.6, "hood": 0.45, "crew": 0.32, "turtle": 0.1}[look.clothing]
    if look.clothing in ("vee", "shirt"):
        opening = [(-neck * 1.12, top), (0, top + deep), (neck * 1.12, top)]
    else:
        opening = curve(
            [
                (-neck * 1.15, top - 0.02),
                (-neck * 0.6, top + deep * 0.8),
                (neck * 0.6, top + deep * 0.8),
                (neck * 1.15, top - 0.02),
            ]
        )
    throat = [(-neck * 0.96, 0.4), (-neck, top - 0.1), *opening, (neck, top - 0.1), (neck * 0.96, 0.4)]
    c.fill(throat, skin, still=True)
    c.soft(
        [(c.place(oval(0.1, look.chin + 0.02, 0.95, 0.36), depth=0.5), 0.75)],
        darker(look.skin, 0.5),
        blur=0.12,
        inside=c.place(throat, still=True),
    )
    if look.clothing == "shirt":
        for side in (-1, 1):
            flap = [
                (side * neck * 1.1, top - 0.16),
                (side * neck * 1.45, top + 0.1),
                (side * 0.42, top + 0.72),
                (0, top + deep),
            ]
            c.fill(flap, mix(second, cloth, 0.25 if side < 0 else 0.1), still=True)
        c.stroke([(0, top + deep), (0, 4.4)], darker(cloth, 0.3), 0.03, still=True)
    elif look.clothing == "turtle":
        roll = [
            (-neck * 1.12, top - 0.42),
            *curve([(-neck * 1.12, top - 0.42), (0, top - 0.22), (neck * 1.12, top - 0.42)]),
            (neck * 1.22, top + 0.12),
            (0, top + 0.3),
            (-neck * 1.22, top + 0.12),
        ]
        c.fill(roll, darker(cloth, 0.1), still=True)
    else:
        c.stroke(opening, mix(second, cloth, 0.3), 0.09, still=True)


def hair_half_width(look: Look, y: float) -> float:
    """Half width of the whole hair at height `y`, round over the skull and wavy below."""
    top = CROWN - look.hair_volume
    if y <= -0.2:
        dome = max(0.0, 1 - ((y + 0.2) / (top + 0.2)) ** 2.2) ** 0.5
        return look.face_width * (1.0 + look.hair_volume) * dome
    flare = 1 + 0.05 * (y + 0.2) + look.hair_wave * 0.07 * math.sin((y + 0.2) * 6.5)
    return look.face_width * (1.0 + look.hair_volume) * flare


def draw_back_hair(c: Canvas) -> None:
    """Hair behind face and neck, down to its length."""
    look, end = c.look, c.look.hair_length
    if look.hair_style == "bald" or end < 0.3:
        return
    top = CROWN - look.hair_volume
    heights = [-0.2 + (top + 0.2) * math.cos(math.pi / 2 * k / 12) for k in range(13)]
    heights += [-0.2 + (end + 0.2) * math.sin(math.pi / 2 * k / 18) for k in range(1, 19)]
    side = [(-hair_half_width(look, y) * (1 - max(0.0, (y - end + 0.4) / 0.4) ** 3), y) for y in heights]
    c.fill(mirrored(side), darker(hair_colour(look), 0.22), depth=-0.3)


def draw_side_locks(c: Canvas) -> None:
    """Long hair that falls over the shoulders, in front of ears and mask straps."""
    look, end = c.look, c.look.hair_length
    if look.hair_style == "bald" or end < 0.6:
        return
    tone = hair_colour(look)
    heights = [-0.8 + (end + 0.8) * math.sin(math.pi / 2 * k / 20) for k in range(21)]
    for side in (-1, 1):
        outer = [hair_half_width(look, y) * 1.01 for y in heights]
        inner = [
            max(look.face_width * (0.86 + 0.14 * min(1.0, max(0.0, y + 0.2))), out - 0.46)
            for y, out in zip(heights, outer, strict=True)
        ]
        tip = [max(0.0, (y - end + 0.5) / 0.5) ** 2 for y in heights]
        lock = [
            (side * (out + (low - out) * 0.35 * t), y)
            for out, low, t, y in zip(outer, inner, tip, heights, strict=True)
        ]
        lock += [
            (side * (low + (out - low) * 0.65 * t), y)
            for out, low, t, y in zip(outer, inner, tip, heights, strict=True)
        ][::-1]
        c.fill(lock, tone, depth=0.1)
        for share, light in ((0.3, 0.14), (0.62, 0.07)):
            strand = [
                (side * (out + (low - out) * share), y) for out, low, y in zip(outer, inner, heights, strict=True)
            ]
            c.stroke(strand[2:-4], mix(tone, (255, 240, 225), light), 0.04, depth=0.1)


def draw_front_hair(c: Canvas) -> None:
    """Hair over the crown and forehead; the hairline carries style and age."""
    look = c.look
    fw, tone = look.face_width, hair_colour(look)
    if look.hair_style == "bald":
        for side in (-1, 1):
            outside = curve([(0.86, -0.78), (1.1, -0.62), (1.1, -0.1), (1.02, 0.16)], 12)
            patch = outside + curve([(0.97, 0.16), (0.9, -0.3), (0.86, -0.78)], 8)
            c.fill([(side * fw * x, y) for x, y in patch], tone, depth=0.2)
        return
    s = np.linspace(-1, 1, 33)
    top = CROWN - look.hair_volume
    rise = [(top - 0.1) * math.cos(math.pi / 2 * k / 16) + 0.1 for k in range(17)]
    close = 1.0 if look.hair_length >= 0.6 else (1.04 + 0.55 * look.hair_volume) / (1.0 + look.hair_volume)
    right = [(hair_half_width(look, y) * close, y) for y in rise]
    outer = [(-x, y) for x, y in reversed(right)] + right
    sides = np.abs(s) ** 4
    line = -0.98 + 0.9 * sides - 0.36 * look.receding * (1 - sides)
    if look.hair_style == "fringe":
        line = line + (1 - sides) * (0.45 + 0.05 * np.sin(s * 17 + look.backdrop_seed % 7)) * (1 - 0.7 * look.receding)
    elif look.hair_style == "parted":
        away = np.abs(s - look.parting)
        line = line + (1 - sides) * (0.55 * np.clip(away, 0, 1.2) ** 0.8 - 0.12)
    elif look.hair_style == "swept":
        line = line + (1 - sides) * (0.16 * s * np.sign(look.parting) - 0.02)
    else:
        line = line + 0.05 * (1 - sides) * np.cos(s * 9)
    line = line - 0.3 * look.receding * np.exp(-(((np.abs(s) - 0.55) / 0.22) ** 2))
    inner = [(float(fw * 0.96 * x), float(y)) for x, y in zip(s[::-1], line[::-1], strict=True)]
    cap = outer + inner
    c.soft(
        [(c.place([(x, y + 0.1) for x, y in cap], depth=0.35), 0.42)],
        darker(look.skin, 0.5),
        blur=0.1,
        inside=c.place(face_outline(look)),
    )
    c.fill(cap, tone, depth=0.2)
    shine, white = mix(tone, (255, 240, 225), 0.2), (228, 226, 224)
    strands = np.random.default_rng(look.backdrop_seed + 1)
    for _ in range(14):
        at = float(strands.uniform(-0.85, 0.85))
        start = (fw * (look.parting * 0.3 + at * 0.35), top + 0.1 + 0.25 * at * at)
        k = int(np.argmin(np.abs(s - at)))
        end = (fw * 0.93 * at, float(line[k]) - 0.08)
        bend = ((start[0] + end[0]) / 2 + 0.12 * at, (start[1] + end[1]) / 2 - 0.04)
        colour = white if strands.random() < look.grey else (shine if strands.random() < 0.5 else darker(tone, 0.25))
        c.stroke(curve([start, bend, end], 8), colour, 0.018, depth=0.25)


def draw_face(c: Canvas) -> None:
    """Ears, skin and the marks of age; eyes, nose and mouth."""
    look = c.look
    fw, skin = look.face_width, look.skin
    shadow = darker(skin, 0.35)
    for side in (-1, 1):
        c.fill(oval(side * fw * 1.02, 0.16, 0.15, 0.32), darker(skin, 0.08), depth=-0.4)
        c.fill(oval(side * fw * 1.03, 0.18, 0.07, 0.19), darker(skin, 0.2), depth=-0.4)
        if look.earrings:
            c.fill(oval(side * fw * 1.05, 0.55, 0.065, 0.065, 12), look.earrings, depth=-0.4)
    outline = face_outline(look)
    c.fill(outline, skin)
    pixels = c.place(outline)
    away = 1 if look.light[0] < 0 else -1
    shade = [
        (c.place(oval(away * fw * 1.15, 0.2, 0.4, 1.4)), 0.34),
        (c.place(oval(0, look.chin + 0.1, 0.8, 0.24)), 0.3),
    ]
    shade += [
        (c.place(oval(side * 0.42, -0.02, 0.3, 0.18), depth=0.7), 0.12 + 0.28 * look.wrinkles) for side in (-1, 1)
    ]
    shade += [(c.place(oval(0, 0.42, 0.2 * look.nose, 0.12), depth=1.1), 0.3)]
    if look.wrinkles > 0.25:
        shade += [(c.place(oval(side * 0.66, 0.62, 0.16, 0.36), depth=0.5), 0.3 * look.wrinkles) for side in (-1, 1)]
    c.soft(shade, darker(skin, 0.5), blur=0.13, inside=pixels)
    rosy = [(c.place(oval(side * 0.56, 0.36, 0.3, 0.2), depth=0.7), 0.55 * look.blush) for side in (-1, 1)]
    c.soft(rosy, (228, 104, 104), blur=0.16, inside=pixels)
    if look.stubble > 0.05:
        beard = [
            (-0.74 * fw, 0.42),
            (-0.3, 0.6),
            (0, 0.55),
            (0.3, 0.6),
            (0.74 * fw, 0.42),
            (0.8 * fw, 1.4),
            (-0.8 * fw, 1.4),
        ]
        c.soft(
            [(c.place(beard, depth=0.4), 0.5 * look.stubble)],
            mix((58, 58, 66), hair_colour(look), 0.45),
            blur=0.1,
            inside=pixels,
        )
    draw_wrinkles(c)
    for side in (-1, 1):
        draw_eye(c, side)
    wide = 0.17 * look.nose
    nose = curve([(-wide, 0.4), (-wide * 0.55, 0.49), (wide * 0.55, 0.49), (wide, 0.4)], 10)
    c.stroke(
        [(0.06 * look.light[0] * 5, -0.02), (0.08 * look.light[0] * 5, 0.3)],
        darker(skin, 0.14),
        0.03,
        depth=1.0,
    )
    c.stroke(nose, shadow, 0.035, depth=1.15)
    draw_mouth(c)


def draw_wrinkles(c: Canvas) -> None:
    """Forehead lines, crow's feet, bags under the eyes and the folds beside the mouth."""
    look, w = c.look, c.look.wrinkles
    if w < 0.08:
        return
    tone = darker(look.skin, 0.12 + 0.4 * w)
    thin = 0.016 + 0.03 * w
    for k in range(round(3.4 * w)):
        y = -0.62 - 0.13 * k
        c.stroke(
            curve([(-0.45 + 0.05 * k, y + 0.02), (-0.1, y - 0.02), (0.15, y + 0.02), (0.45 - 0.05 * k, y)], 12),
            tone,
            thin,
            depth=0.8,
        )
    for side in (-1, 1):
        for k in range(round(3 * w)):
            c.stroke(
                [(side * 0.72, 0.0 + 0.05 * k), (side * (0.8 + 0.06 * w), -0.05 + 0.09 * k)],
                tone,
                thin,
                depth=0.5,
            )
        c.stroke(
            curve([(side * 0.6, 0.14), (side * 0.44, 0.2 + 0.03 * w), (side * 0.26, 0.15)], 8),
            tone,
            thin,
            depth=0.7,
        )
        if w > 0.2:
            c.stroke(
                curve([(side * 0.2, 0.46), (side * 0.36, 0.62), (side * 0.4, 0.62 + 0.24 * w)], 8),
                tone,
                thin * 1.3,
                depth=0.8,
            )


def draw_eye(c: Canvas, side: int) -> None:
    """One eye with its brow; `side` is -1 for the left of the picture."""
    look = c.look
    size, x = look.eye_size, side * 0.43
    a, b = 0.185 * size, 0.085 * size * (1 - 0.3 * look.sag)
    droop = 0.05 * look.sag
    upper = curve([(x - side * a, 0.03), (x, -b * 1.15), (x + side * a, droop)], 10)
    lower = curve([(x + side * a, droop), (x, b * 0.8 + 0.01), (x - side * a, 0.03)], 10)
    c.fill(upper + lower, (246, 243, 240), depth=0.85)
    gaze = 0.03 * c.turn
    c.fill(oval(x + gaze, -0.003, b * 0.95, b * 0.98, 16), look.eye_colour, depth=0.85)
    c.fill(oval(x + gaze, -0.003, b * 0.48, b * 0.5, 12), (18, 14, 14), depth=0.85)
    c.fill(oval(x + gaze - 0.025, -0.03, 0.018, 0.018, 8), (255, 255, 255), depth=0.85)
    c.stroke(upper, (44, 30, 30), 0.022 + 0.035 * look.lashes, depth=0.85)
    if look.lashes > 0.45:
        c.stroke([(x + side * a, droop), (x + side * a * 1.3, droop - 0.06)], (44, 30, 30), 0.04, depth=0.8)
    c.stroke([(px, py - 0.07) for px, py in upper], darker(look.skin, 0.3), 0.016, depth=0.85)
    thick, arch = 0.035 + 0.085 * look.brow, 0.06 + 0.08 * look.brow_arch
    brow = curve([(x - side * 0.21, -0.25), (x + side * 0.05, -0.27 - arch), (x + side * 0.27, -0.23 + droop)], 10)
    under = [(px, py + thick * (1 - 0.65 * k / 9)) for k, (px, py) in enumerate(brow)]
    tone = mix(darker(look.hair, 0.1), (170, 168, 166), 0.7 * look.grey)
    c.fill(brow + under[::-1], mix(tone, look.skin, 0.15), depth=0.85)


def draw_mouth(c: Canvas) -> None:
    """The mouth, with a slightly different smile in every picture."""
    look = c.look
    smile = float(c.rng.normal(0.045, 0.02)) - 0.035 * look.sag
    y, a, full = 0.78 * look.chin / 1.25, 0.3, 0.04 + 0.075 * look.lips
    colour = mix(mix(look.skin, (176, 84, 84), 0.45), (196, 44, 62), look.lip_colour)
    corner = y - smile
    upper = [
        *curve([(-a, corner), (-0.1, y - full), (-0.03, y - full * 0.85)], 8),
        *curve([(0.03, y - full * 0.85), (0.1, y - full), (a, corner)], 8),
    ]
    lower = curve([(a, corner), (0, y + full * 1.5), (-a, corner)], 12)
    c.fill(upper + lower, colour, depth=1.0)
    c.stroke(
        curve([(-a * 1.03, corner), (0, y + 0.012), (a * 1.03, corner)], 12),
        darker(colour, 0.5),
        0.026,
        depth=1.0,
    )
    c.stroke(
        curve([(-0.12, y + full * 1.9), (0, y + full * 2.1), (0.12, y + full * 1.9)], 6),
        darker(look.skin, 0.2),
        0.02,
        depth=1.0,
    )


def draw_glasses(c: Canvas) -> None:
    """Frames, over the upper edge of a mask as people wear them."""
    look = c.look
    if look.glasses == "none":
        return
    for side in (-1, 1):
        x = side * 0.43
        if look.glasses == "round":
            rim = oval(x, 0.02, 0.29, 0.26)
        elif look.glasses == "square":
            rim = [(x - 0.3, -0.17), (x + 0.3, -0.17), (x + 0.27, 0.22), (x - 0.27, 0.22)]
        else:
            rim = curve([(x - 0.28, 0.02), (x - 0.2, 0.26), (x + 0.2, 0.26), (x + 0.28, 0.02)], 12)
        c.stroke([*rim, rim[0]], look.frame_colour, 0.04, depth=0.95)
        c.stroke([(side * 0.72, -0.02), (side * look.face_width * 1.02, 0.02)], look.frame_colour, 0.04, depth=0.4)
    c.stroke(curve([(-0.15, 0.0), (0, -0.05), (0.15, 0.0)], 6), look.frame_colour, 0.04, depth=0.95)


MASK_COLOURS: tuple[Colour, ...] = (
    (236, 240, 244), (240, 240, 238), (150, 196, 222), (128, 178, 210), (44, 46, 52), (58, 62, 70),
    (232, 184, 192), (150, 156, 162), (110, 152, 124), (206, 176, 140), (98, 78, 134), (178, 60, 66),
)  # fmt: skip
"""Mostly white, surgical blue and black, as sold; cloth in any colour."""


def draw_mask(c: Canvas, position: str) -> None:
    """A mask of any make: `worn` covers nose and mouth, `nose` leaves the nose free, `chin` the mouth too."""
    look, rng = c.look, c.rng
    make = str(rng.choice(["surgical", "folded", "cloth"]))
    colour = MASK_COLOURS[int(rng.integers(6 if make == "surgical" else len(MASK_COLOURS)))]
    top = {"worn": 0.2, "nose": 0.62, "chin": 1.0}[position] + float(rng.uniform(-0.05, 0.06))
    low = look.chin + {"worn": 0.08, "nose": 0.1, "chin": 0.2}[position] + float(rng.uniform(-0.03, 0.06))
    lean = float(rng.normal(0, 0.025))
    bridge = top - {"surgical": 0.1, "folded": 0.2, "cloth": 0.12}[make] * (1.0 if position == "worn" else 0.4)
    side_top = top + (0.04 if position == "worn" else 0.0)
    side_low = (side_top + low) / 2 + 0.12

    def reach(y: float) -> float:
        return max(face_half_width(look, min(y, look.chin * 0.93)) * 1.01, 0.5)

    left = [*curve([(-reach(side_low) * 0.99, side_low), (-reach(low) * 0.86, low - 0.14), (-0.24, low + 0.01)], 10)]
    rim = curve([(-reach(side_top), side_top + lean), (-0.45, top - 0.03 + lean / 2), (-0.2, bridge + 0.02)], 10)
    rim += curve([(0.2, bridge + 0.02), (0.45, top - 0.03 - lean / 2), (reach(side_top), side_top - lean)], 10)
    shape = [*rim, *[(-x, y) for x, y in left], *reversed(left)]
    strap = mix(colour, (250, 250, 250), 0.5) if sum(colour) > 300 else mix(colour, (120, 120, 120), 0.2)
    for side in (-1, 1):
        ear = (side * look.face_width * 1.04, 0.02)
        c.stroke([(side * reach(side_top), side_top), ear], strap, 0.03, depth=0.1)
        c.stroke([(side * reach(side_low) * 0.98, side_low), (ear[0], 0.42)], strap, 0.03, depth=0.1)
    c.soft(
        [(c.place([(x * 1.02, y + 0.05) for x, y in shape], depth=0.6), 0.5)],
        darker(look.skin, 0.6),
        blur=0.07,
        inside=c.place([(-1.1, -1), (1.1, -1), (1.1, 2), (-1.1, 2)]),
    )
    c.fill(shape, colour, depth=0.55)
    ridge = darker(colour, 0.16) if sum(colour) > 200 else mix(colour, (140, 140, 150), 0.3)
    if make == "surgical":
        for share in (0.32, 0.52, 0.72):
            y = bridge + 0.08 + (low - bridge) * share
            c.stroke(
                curve([(-reach(y) * 0.9, y - 0.03), (0, y + 0.05), (reach(y) * 0.9, y - 0.03)], 12),
                ridge,
                0.02,
                depth=0.6,
            )
        c.stroke(
            curve([(-0.34, bridge + 0.1), (0, bridge + 0.05), (0.34, bridge + 0.1)], 8),
            ridge,
            0.028,
            depth=0.8,
        )
    elif make == "folded":
        middle = (bridge + low) / 2 - 0.08
        c.stroke(
            curve(
                [
                    (-reach(middle) * 0.93, middle + 0.06),
                    (0, middle - 0.06),
                    (reach(middle) * 0.93, middle + 0.06),
                ],
                12,
            ),
            ridge,
            0.03,
            depth=0.8,
        )
        c.stroke(
            curve([(-reach(low) * 0.6, low - 0.2), (0, low - 0.3), (reach(low) * 0.6, low - 0.2)], 12),
            ridge,
            0.022,
            depth=0.7,
        )
    else:
        c.stroke([(0, bridge + 0.04), (0.02, (bridge + low) / 2), (0, low)], ridge, 0.025, depth=0.9)
        pattern = str(rng.choice(["plain", "dots", "stripes"]))
        accent = mix(colour, (255, 255, 255), 0.45) if sum(colour) < 450 else mix(colour, (70, 90, 140), 0.45)
        for y in np.arange(top + 0.14, low - 0.1, 0.16).tolist():
            half = reach(y) * 0.82 * min(1.0, (low + 0.25 - y) / 0.6)
            if pattern == "stripes":
                c.stroke([(-half, y), (half, y)], accent, 0.045, depth=0.6)
            elif pattern == "dots":
                for x in np.arange(-half + 0.05, half, 0.2).tolist():
                    c.fill(oval(x, y, 0.038, 0.038, 8), accent, depth=0.6)
    c.soft(
        [
            (
                c.place(oval((1 if look.light[0] < 0 else -1) * 0.9, (top + low) / 2, 0.4, 0.7), depth=0.6),
                0.4,
            ),
            (c.place(oval(0, low, 0.8, 0.2), depth=0.6), 0.35),
        ],
        darker(colour, 0.45),
        blur=0.14,
        inside=c.place(shape, depth=0.55),
    )


def develop(c: Canvas) -> Image.Image:
    """Reduces the canvas and exposes it: light, tint, exposure and sensor noise."""
    look, rng = c.look, c.rng
    small = np.array(c.image.reduce(SUPERSAMPLE), dtype=np.float32)
    high, wide = small.shape[:2]
    x, y = np.linspace(-1, 1, wide, dtype=np.float32), np.linspace(-1, 1, high, dtype=np.float32)
    falloff = (1 + look.light[0] * x)[None, :] * (1 + look.light[1] * y)[:, None]
    exposure = rng.normal(1, 0.04) * np.asarray(look.tint) * rng.normal(1, 0.012, 3)
    small *= falloff[..., None] * exposure.astype(np.float32)
    small += rng.standard_normal((high, wide, 1), dtype=np.float32) * np.float32(rng.uniform(1, 3))
    return Image.fromarray(np.clip(small, 0, 255, out=small).astype(np.uint8))


def draw_portrait(look: Look, mask: str, height: int, rng: np.random.Generator) -> Image.Image:
    """Draws one picture of a person.

    Args:
        look: What all pictures of the person share.
        mask: worn, nose (the nose is free), chin (nose and mouth are free) or none.
        height: Height of the picture in pixels, a multiple of 4; the width is three quarters of it.
        rng: Source of this picture's own pose, smile, light, noise and make of mask.

    Returns:
        An RGB picture.
    """
    canvas = Canvas(look, height, rng)
    draw_backdrop(canvas)
    draw_body(canvas)
    draw_back_hair(canvas)
    draw_neck(canvas)
    draw_face(canvas)
    if mask != "none":
        draw_mask(canvas, mask)
    draw_front_hair(canvas)
    draw_side_locks(canvas)
    draw_glasses(canvas)
    return develop(canvas)
