"""Pictures: what is in them and how it is drawn.

Knows: scenes of one to six colored shapes (nine to learn from), or a number or word to read; their
held-out combinations; how they become a picture. Does not know: questions, how paint works
(:mod:`finetune.nano.pictures.canvas`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from finetune.nano.domain.lexicon import ANIMALS, COLORS, NUMBERS, THINGS, Word, table
from finetune.nano.domain.splits import Split, split_of
from finetune.nano.domain.width import DomainWidth, within
from finetune.nano.pictures.canvas import (
    TILT,
    Box,
    Canvas,
    Color,
    Look,
    Point,
    draw_look,
    jittered,
    letter_boxes,
)

SIDES = (168, 252)  # pixels, the shorter side: 36 to 81 merged patches in a square
# Columns and rows of the places, from the top left.
CELLS: Mapping[str, tuple[int, int]] = {
    "on the left": (0, 1),
    "on the right": (2, 1),
    "at the top": (1, 0),
    "at the bottom": (1, 2),
    "in the middle": (1, 1),
    "at the top left": (0, 0),
    "at the top right": (2, 0),
    "at the bottom left": (0, 2),
    "at the bottom right": (2, 2),
}
# Radius as a share of the shorter side; a thing alone in the middle may be larger.
BIG = (0.125, 0.155)
BIG_ALONE = (0.14, 0.38)
SMALL = (0.065, 0.085)
_BLACK: Color = (0, 0, 0)
_WHITE: Color = (255, 255, 255)
_SHIFT = 0.028  # of the side: how far off its place's middle a thing may be

Layout: TypeAlias = Literal["few", "row", "crowd", "mixed", "filled", "number", "word"]


@dataclass(frozen=True)
class Thing:
    """A shape in a picture; the fields are keys of the lexicon."""

    shape: str
    color: str
    size: str
    place: str

    @property
    def cell(self) -> tuple[int, int]:
        """Column and row, 0 to 2."""
        return CELLS[self.place]

    @property
    def look(self) -> tuple[str, str]:
        """What a description tells: color and shape."""
        return self.color, self.shape


@dataclass(frozen=True)
class Writing:
    """Text in a picture. ``word`` is its meaning; ``text`` what is written."""

    word: Word
    text: str
    color: str


@dataclass(frozen=True)
class Placed:
    """A thing as it is painted: ``center`` and ``radius`` in pixels, ``angle`` in degrees."""

    thing: Thing
    center: Point
    radius: float
    angle: float
    paint: Color


@dataclass(frozen=True)
class Lettering:
    """Writing as it is painted, in the middle; ``share`` of the picture's width."""

    writing: Writing
    paint: Color
    share: float


@dataclass(frozen=True)
class Painting:
    """Where everything in one picture or frame is; things in the order in which they are painted.

    Positions are in pixels of the finished picture, from its top left corner.
    """

    look: Look
    placed: tuple[Placed, ...] = ()
    lettering: Lettering | None = None

    def image(self) -> Image.Image:
        """The picture: RGB of the look's size."""
        canvas = Canvas(self.look)
        for one in self.placed:
            canvas.shape(one.thing.shape, one.center, one.radius, one.angle, one.paint)
        if self.lettering:
            written = self.lettering
            canvas.writing(written.writing.text, written.paint, written.share)
        return canvas.finish()

    def ink(self) -> Image.Image:
        """Where things and writing are: white on black, grey at their borders, of the same size."""
        plain = replace(
            self.look, background=(_BLACK, _BLACK), gradient="plain", noise=0, blur=0, outline=False
        )
        placed = tuple(replace(one, paint=_WHITE) for one in self.placed)
        lettering = replace(self.lettering, paint=_WHITE) if self.lettering else None
        return Painting(plain, placed, lettering).image().convert("L")

    def letters(self) -> list[tuple[str, Box]]:
        """Each letter of the writing with its box, from the left."""
        if self.lettering is None:
            return []
        text = self.lettering.writing.text
        return list(zip(text, letter_boxes(self.look, text, self.lettering.share), strict=True))


@dataclass(frozen=True)
class Scene:
    """What is in a picture, in reading order; ``seed`` decides everything else about its look."""

    things: tuple[Thing, ...] = ()
    writing: Writing | None = None
    seed: int = 0

    @property
    def split(self) -> Split:
        """The side of the combination of all that is in the picture, whatever its look."""
        if self.writing:
            return split_of("writing", self.writing.word.key, self.writing.color)
        contents = sorted((t.shape, t.color, t.size, t.place) for t in self.things)
        return split_of("picture", *contents)

    def image(self) -> Image.Image:
        """The picture: RGB, the shorter side within :data:`SIDES`."""
        return self.painting().image()

    def painting(self) -> Painting:
        """Where everything is, without painting it."""
        rng = np.random.default_rng(self.seed)
        if self.writing:
            return _written(self.writing, rng)
        colors = [jittered(rng, thing.color) for thing in self.things]
        look = draw_look(rng, SIDES, colors)
        width, height = look.width, look.height
        alone = len(self.things) == 1 and self.things[0].cell == (1, 1)
        placed = []
        for thing, color in zip(self.things, colors, strict=True):
            radius = draw_radius(rng, thing.size, alone) * min(width, height)
            shift = rng.uniform(-_SHIFT, _SHIFT, 2) * min(width, height)
            column, row = thing.cell
            center = (
                inside(width * (2 * column + 1) / 6 + shift[0], radius, width),
                inside(height * (2 * row + 1) / 6 + shift[1], radius, height),
            )
            placed.append(Placed(thing, center, radius, rng.uniform(-TILT, TILT), color))
        return Painting(look, tuple(placed))


def draw_radius(rng: np.random.Generator, size: str, alone: bool) -> float:
    """A radius as a share of the shorter side."""
    if size == "small":
        return rng.uniform(*SMALL)
    return rng.uniform(*(BIG_ALONE if alone else BIG))


def inside(position: float, radius: float, size: int) -> float:
    """A position moved so that a shape around it stays in the picture (corners reach further)."""
    margin = min(1.12 * radius + 1, size / 2)
    return min(max(position, margin), size - margin)


def _written(writing: Writing, rng: np.random.Generator) -> Painting:
    color = jittered(rng, writing.color)
    look = draw_look(rng, SIDES, [color])
    share = rng.uniform(0.25, 0.5) if len(writing.text) < 3 else rng.uniform(0.45, 0.8)
    return Painting(look, lettering=Lettering(writing, color, share))


def readable_words(width: DomainWidth) -> tuple[Word, ...]:
    """Words short enough to be read in a picture."""
    words = within((*ANIMALS, *COLORS, *THINGS), width)
    return tuple(word for word in words if len(word.en) <= 5)


def draw_scene(rng: Random, layout: Layout, width: DomainWidth, split: Split) -> Scene:
    """A random scene of one side."""
    draw = _LAYOUTS[layout]
    while True:
        scene = draw(rng, width)
        if scene.split == split:
            return scene


def _keys(name: str, width: DomainWidth) -> list[str]:
    return [word.key for word in table(name, width)]


def _scene(things: list[Thing], rng: Random) -> Scene:
    ordered = sorted(things, key=lambda thing: (thing.cell[1], thing.cell[0]))
    return Scene(tuple(ordered), seed=rng.getrandbits(32))


def _few(rng: Random, width: DomainWidth) -> Scene:
    """One to four things, mostly of different shapes and colors."""
    number = rng.choices((1, 2, 3, 4), (4, 3, 2, 1))[0]
    places = rng.sample(_keys("place", width), number)
    shapes, colors = _keys("shape", width), _keys("color", width)
    if rng.random() < 0.75:
        kinds = list(zip(rng.sample(shapes, number), rng.sample(colors, number), strict=True))
    else:
        kinds = [(rng.choice(shapes), rng.choice(colors)) for _ in range(number)]
    sizes = _keys("size", width)
    things = [
        Thing(shape, color, rng.choice(sizes), place)
        for (shape, color), place in zip(kinds, places, strict=True)
    ]
    return _scene(things, rng)


def _row(rng: Random, width: DomainWidth) -> Scene:
    """Two or three different things in one row or column."""
    number = rng.choices((2, 3), (3, 1))[0]
    line = rng.choice((0, 1, 2)) if width == "full" else 1
    across = rng.random() < 0.5
    steps = rng.sample((0, 1, 2), number)
    cells = [(step, line) if across else (line, step) for step in steps]
    by_cell = {cell: place for place, cell in CELLS.items()}
    shapes = rng.sample(_keys("shape", width), number)
    colors = rng.sample(_keys("color", width), number)
    sizes = _keys("size", width)
    things = [
        Thing(shape, color, rng.choice(sizes), by_cell[cell])
        for shape, color, cell in zip(shapes, colors, cells, strict=True)
    ]
    return _scene(things, rng)


def _crowd(rng: Random, width: DomainWidth) -> Scene:
    """One to six things (core: five) of few shapes and colors, to be counted."""
    places = _keys("place", width)
    number = rng.randint(1, min(6, len(places)))
    shapes = rng.sample(_keys("shape", width), rng.choice((1, 2)))
    colors = rng.sample(_keys("color", width), rng.choice((1, 2)))
    sizes = _keys("size", width)
    things = [
        Thing(rng.choice(shapes), rng.choice(colors), rng.choice(sizes), place)
        for place in rng.sample(places, number)
    ]
    return _scene(things, rng)


def _mixed(rng: Random, width: DomainWidth) -> Scene:
    """A crowd of two shapes and two colors."""
    while True:
        scene = _crowd(rng, width)
        if min(len({getattr(t, name) for t in scene.things}) for name in ("shape", "color")) == 2:
            return scene


def _filled(rng: Random, width: DomainWidth) -> Scene:
    """Any thing at each of the nine places: nobody asks about it, but it has most to learn from."""
    shapes, colors, sizes = (_keys(name, width) for name in ("shape", "color", "size"))
    things = [
        Thing(rng.choice(shapes), rng.choice(colors), rng.choice(sizes), place) for place in CELLS
    ]
    return _scene(things, rng)


def _number(rng: Random, width: DomainWidth) -> Scene:
    word = rng.choice(within(NUMBERS, width))
    return _writing(rng, word, word.key, width)


def _word(rng: Random, width: DomainWidth) -> Scene:
    word = rng.choice(readable_words(width))
    form = rng.choice((str.lower, str.upper, str.capitalize))
    return _writing(rng, word, form(word.en), width)


def _writing(rng: Random, word: Word, text: str, width: DomainWidth) -> Scene:
    color = rng.choice(_keys("color", width))
    return Scene(writing=Writing(word, text, color), seed=rng.getrandbits(32))


_LAYOUTS = {
    "few": _few,
    "row": _row,
    "crowd": _crowd,
    "mixed": _mixed,
    "filled": _filled,
    "number": _number,
    "word": _word,
}
