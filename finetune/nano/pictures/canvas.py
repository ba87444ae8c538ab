"""Shapes and writing in paint: how anything looks.

Knows: outlines of the shapes, colors, backgrounds, noise, sizes of pictures, all varied by a seed.
Does not know: what is in a scene, questions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Color = tuple[int, int, int]
Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom

PALETTE: Mapping[str, Color] = {
    "red": (220, 30, 35),
    "green": (30, 160, 60),
    "blue": (40, 75, 220),
    "yellow": (250, 220, 30),
    "black": (18, 18, 20),
    "white": (250, 250, 250),
    "orange": (250, 135, 15),
    "purple": (135, 40, 175),
    "pink": (250, 135, 190),
    "brown": (120, 70, 30),
    "gray": (135, 137, 140),
}
_BACKGROUNDS: tuple[Color, ...] = (
    (245, 245, 240),
    (225, 235, 245),
    (240, 230, 215),
    (205, 225, 205),
    (190, 200, 215),
    (160, 190, 200),
    (90, 110, 120),
    (45, 50, 65),
    (30, 55, 50),
    (70, 45, 60),
    (15, 15, 25),
)
SHADE = 10  # of 255, at most: lighter or darker than the palette
TINT = 5  # of 255, at most, of each channel
MIN_CONTRAST = 95.0  # Euclidean, of 255, between a background and everything on it
TILT = 9.0  # degrees at most: a square must not become a diamond
_SUPERSAMPLING = 2
_NOISE = 7.0  # of 255, the largest standard deviation
_GRAIN_SIDE = 640  # pixels, more than any side of a picture


@dataclass(frozen=True)
class Look:
    """How a picture looks apart from its content: a function of its seed."""

    width: int  # pixels
    height: int
    background: tuple[Color, Color]  # from, to
    gradient: str  # "plain" | "down" | "right" | "stripes"
    noise: float  # standard deviation of 255
    blur: float  # pixels
    outline: bool  # a thin dark line around the things
    seed: int


def draw_look(rng: np.random.Generator, sides: tuple[int, int], colors: Sequence[Color]) -> Look:
    """A look on which all ``colors`` stand out; the shorter side within ``sides``, in pixels."""
    short = int(rng.integers(sides[0], sides[1] + 1))
    long = int(short * rng.uniform(1.0, 1.6))
    width, height = (long, short) if rng.random() < 0.6 else (short, long)
    allowed = [ground for ground in _BACKGROUNDS if _stands_out(ground, colors)]
    ground = allowed[int(rng.integers(len(allowed)))] if allowed else _farthest(colors)
    shade = tuple(int(np.clip(channel + rng.integers(-25, 26), 0, 255)) for channel in ground)
    other: Color = shade if _stands_out(shade, colors) else ground  # type: ignore[assignment]
    kind = ("plain", "down", "right", "stripes")[int(rng.choice(4, p=(0.4, 0.25, 0.2, 0.15)))]
    return Look(
        width,
        height,
        (ground, other),
        kind,
        noise=float(rng.uniform(0, _NOISE)) if rng.random() < 0.7 else 0.0,
        blur=float(rng.uniform(0.3, 0.9)) if rng.random() < 0.3 else 0.0,
        outline=bool(rng.random() < 0.25),
        seed=int(rng.integers(2**31)),
    )


def jittered(rng: np.random.Generator, name: str) -> Color:
    """A shade of a named color."""
    shift = int(rng.integers(-SHADE, SHADE + 1)) + rng.integers(-TINT, TINT + 1, 3)
    red, green, blue = np.clip(shift + PALETTE[name], 0, 255).tolist()
    return red, green, blue


class Canvas:
    """A picture being painted, in pixels of the finished picture."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self._image = _ground(look)
        self._draw = ImageDraw.Draw(self._image)

    def shape(self, name: str, center: Point, radius: float, angle: float, color: Color) -> None:
        """Paint a shape that fills about a circle of ``radius``, turned by ``angle`` degrees."""
        scale = _SUPERSAMPLING
        x, y, r = center[0] * scale, center[1] * scale, radius * scale
        line = (20, 20, 20) if self.look.outline and min(color) > 60 else None
        width = max(1, round(r * 0.06)) if line else 0
        box = (x - r, y - r, x + r, y + r)
        if name == "circle":
            self._draw.ellipse(box, fill=color, outline=line, width=width)
        elif name == "ring":
            self._draw.ellipse(box, outline=color, width=max(2, round(r * 0.42)))
        else:
            turn = math.radians(angle)
            points = [
                (
                    x + r * (px * math.cos(turn) - py * math.sin(turn)),
                    y + r * (px * math.sin(turn) + py * math.cos(turn)),
                )
                for px, py in outline(name)
            ]
            self._draw.polygon(points, fill=color, outline=line, width=max(1, width))

    def writing(self, text: str, color: Color, share: float) -> None:
        """Write in the middle, ``share`` of the width wide, with Pillow's own font."""
        width, height = self._image.size
        font = _fitting_font(width, height, text, share)
        self._draw.text((width / 2, height / 2), text, fill=color, font=font, anchor="mm")

    def finish(self) -> Image.Image:
        """The picture: RGB of the look's size."""
        look = self.look
        image = self._image.reduce(_SUPERSAMPLING)
        if look.blur:
            image = image.filter(ImageFilter.BoxBlur(look.blur))
        if look.noise:
            pixels = np.asarray(image, dtype=np.float32)
            grain = _grain(look) * np.float32(look.noise)
            image = Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8))
        return image


def letter_boxes(look: Look, text: str, share: float) -> list[Box]:
    """Where :meth:`Canvas.writing` puts each letter: its advance wide, the line's ink high."""
    scale = _SUPERSAMPLING
    width, height = look.width * scale, look.height * scale
    font = _fitting_font(width, height, text, share)
    _, top, _, bottom = font.getbbox(text, anchor="mm")
    ends = [font.getlength(text[:count]) for count in range(len(text) + 1)]
    start = (width - ends[-1]) / 2
    return [
        (
            (start + left) / scale,
            (height / 2 + top) / scale,
            (start + right) / scale,
            (height / 2 + bottom) / scale,
        )
        for left, right in pairwise(ends)
    ]


def _fitting_font(width: int, height: int, text: str, share: float) -> ImageFont.FreeTypeFont:
    """The size in which a text is ``share`` of ``width`` wide, unless that is too high."""
    probe = 100
    left, top, right, bottom = _font(probe).getbbox(text)
    size = min(share * width / (right - left), 0.6 * height / (bottom - top)) * probe
    return _font(round(size))


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(max(8, size))
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's own, whenever a size is given
    return font


@lru_cache(maxsize=16)
def outline(name: str) -> tuple[Point, ...]:
    """A polygon within the unit circle, y downwards.

    Raises:
        KeyError: no such shape.
    """
    if name == "heart":
        steps = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        x = np.sin(steps) ** 3
        waves = 13 * np.cos(steps) - 5 * np.cos(2 * steps) - 2 * np.cos(3 * steps)
        y = (waves - np.cos(4 * steps)) / -17
        return tuple(zip(x.tolist(), (y + 0.08).tolist(), strict=True))
    if name == "star":
        return tuple(_polar(0.42 if point % 2 else 1.05, 36 * point) for point in range(10))
    return _POLYGONS[name]


def _polar(radius: float, degrees: float) -> Point:
    """Clockwise from the top."""
    return radius * math.sin(math.radians(degrees)), -radius * math.cos(math.radians(degrees))


_ARM = 0.33
_POLYGONS: Mapping[str, tuple[Point, ...]] = {
    "square": ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)),
    "triangle": tuple(_polar(1.08, degrees) for degrees in (0, 120, 240)),
    "diamond": ((0.0, -1.08), (0.68, 0.0), (0.0, 1.08), (-0.68, 0.0)),
    "cross": (
        (-_ARM, -1.0),
        (_ARM, -1.0),
        (_ARM, -_ARM),
        (1.0, -_ARM),
        (1.0, _ARM),
        (_ARM, _ARM),
        (_ARM, 1.0),
        (-_ARM, 1.0),
        (-_ARM, _ARM),
        (-1.0, _ARM),
        (-1.0, -_ARM),
        (-_ARM, -_ARM),
    ),
}


@lru_cache(maxsize=1)
def _grain_field() -> np.ndarray:
    """Drawn once and cut from: drawing it for every picture took most of the time."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((_GRAIN_SIDE, _GRAIN_SIDE, 3), dtype=np.float32)


def _grain(look: Look) -> np.ndarray:
    """A look's grain (height, width, 3) of unit deviation."""
    top, left = (
        look.seed % (_GRAIN_SIDE - look.height),
        look.seed // 977 % (_GRAIN_SIDE - look.width),
    )
    return _grain_field()[top : top + look.height, left : left + look.width]


def _stands_out(ground: Sequence[int], colors: Sequence[Color]) -> bool:
    return all(math.dist(ground, color) >= MIN_CONTRAST for color in colors)


def _farthest(colors: Sequence[Color]) -> Color:
    return max(_BACKGROUNDS, key=lambda ground: min(math.dist(ground, c) for c in colors))


def _ground(look: Look) -> Image.Image:
    """The background at painting size."""
    width, height = look.width * _SUPERSAMPLING, look.height * _SUPERSAMPLING
    first, second = look.background
    if look.gradient == "plain" or first == second:
        return Image.new("RGB", (width, height), first)
    if look.gradient == "stripes":
        image = Image.new("RGB", (width, height), first)
        draw = ImageDraw.Draw(image)
        step = max(8, width // 9)
        for left in range(0, width, 2 * step):
            draw.rectangle((left, 0, left + step, height), fill=second)
        return image
    ramp = Image.linear_gradient("L")  # black at the top
    if look.gradient == "right":
        ramp = ramp.rotate(90)
    mask = ramp.resize((width, height), Image.Resampling.BILINEAR)
    return Image.composite(
        Image.new("RGB", (width, height), second), Image.new("RGB", (width, height), first), mask
    )
