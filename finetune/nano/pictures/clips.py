"""Clips: one thing happens in a few frames.

Knows: what can happen (a shape moves, appears, disappears, changes its color), its held-out
combinations, how the frames are drawn. Does not know: questions, video files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, TypeAlias, get_args

import numpy as np
from PIL import Image

from finetune.nano.domain.lexicon import table
from finetune.nano.domain.splits import Split, split_of
from finetune.nano.domain.width import DomainWidth
from finetune.nano.pictures.canvas import TILT, Color, Look, Point, draw_look, jittered
from finetune.nano.pictures.pictures import Painting, Placed, Thing, draw_radius, inside

SIDES = (112, 154)  # pixels, the shorter side of a frame
FRAMES = (4, 8)  # at one a second
Event: TypeAlias = Literal["moves", "appears", "disappears", "changes"]
EVENTS: tuple[Event, ...] = get_args(Event)

_STEPS: Mapping[str, tuple[int, int]] = {
    "to the left": (-1, 0),
    "to the right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
}
_BORDER = 1 / 6  # of the picture: where a move begins or ends
_LANE_PLACES = {  # the places a thing that moves passes through in the middle of its way
    True: ("at the top", "in the middle", "at the bottom"),
    False: ("on the left", "in the middle", "on the right"),
}


@dataclass(frozen=True)
class ClipScene:
    """What happens, to which thing, beside which other thing.

    ``thing``: with the color that it has first and the place where it is (of a thing that moves:
    the middle of its way). ``direction`` belongs to moves, ``new_color`` to changes.
    ``seed`` decides everything else: the look, the number of frames, when it happens.
    """

    event: Event
    thing: Thing
    direction: str = ""
    new_color: str = ""
    other: Thing | None = None
    seed: int = 0

    @property
    def split(self) -> Split:
        """The side of the combination of all that is in the clip, whatever its look."""
        thing = self.thing
        other = (self.other.shape, self.other.color) if self.other else ()
        return split_of(
            "clip", self.event, thing.shape, thing.color, thing.place, self.direction,
            self.new_color, *other,
        )  # fmt: skip

    def frames(self) -> list[Image.Image]:
        """The frames, one a second: RGB of one size, the shorter side within :data:`SIDES`."""
        return [painting.image() for painting in self.paintings()]

    def paintings(self) -> list[Painting]:
        """Where everything is in each frame, without painting it; colors are those of then."""
        rng = np.random.default_rng(self.seed)
        number = int(rng.integers(FRAMES[0], FRAMES[1] + 1))
        change = int(rng.integers(1, number))  # the first frame in which it has happened
        colors = {thing: jittered(rng, thing.color) for thing in self.things}
        new = jittered(rng, self.new_color) if self.new_color else colors[self.thing]
        look = draw_look(rng, SIDES, [*colors.values(), new])
        film = _Film(look, rng, self.things)
        paintings = []
        for index in range(number):
            placed = []
            if self.other:
                placed.append(film.place(self.other, colors[self.other]))
            happened = index >= change
            if not (self.event == "appears" and not happened) and not (
                self.event == "disappears" and happened
            ):
                at = self._position(index / (number - 1)) if self.event == "moves" else None
                one = film.place(self.thing, colors[self.thing], at)
                if self.event == "changes" and happened:
                    recolored = replace(self.thing, color=self.new_color)
                    one = replace(one, thing=recolored, paint=new)
                placed.append(one)
            paintings.append(Painting(film.look_of(index), tuple(placed)))
        return paintings

    @property
    def things(self) -> tuple[Thing, ...]:
        """All things that are seen in some frame."""
        return (self.thing, self.other) if self.other else (self.thing,)

    def _position(self, done: float) -> Point:
        """Where a moving thing is, as shares of width and height."""
        column, row = self.thing.cell
        along = _BORDER + (1 - 2 * _BORDER) * done
        x, y = (2 * column + 1) / 6, (2 * row + 1) / 6
        step = _STEPS[self.direction]
        if step[0]:
            return (along if step[0] > 0 else 1 - along), y
        return x, (along if step[1] > 0 else 1 - along)


class _Film:
    """What stays the same from frame to frame: sizes, tilts, offsets."""

    def __init__(self, look: Look, rng: np.random.Generator, things: tuple[Thing, ...]) -> None:
        self._look = look
        short = min(look.width, look.height)
        self._radius = {
            thing: max(draw_radius(rng, thing.size, False) * short, 5.0) for thing in things
        }
        self._tilt = {thing: float(rng.uniform(-TILT, TILT)) for thing in things}
        self._shift = {thing: rng.uniform(-0.02, 0.02, 2) for thing in things}

    def look_of(self, index: int) -> Look:
        """The look, with fresh grain in every frame."""
        look = self._look
        return Look(**{**look.__dict__, "seed": look.seed + index})

    def place(self, thing: Thing, color: Color, at: Point | None = None) -> Placed:
        """A thing at its place, or ``at`` shares of width and height."""
        column, row = thing.cell
        x, y = at or ((2 * column + 1) / 6, (2 * row + 1) / 6)
        radius, shift = self._radius[thing], self._shift[thing]
        width, height = self._look.width, self._look.height
        center = (
            inside((x + shift[0]) * width, radius, width),
            inside((y + shift[1]) * height, radius, height),
        )
        return Placed(thing, center, radius, self._tilt[thing], color)


def draw_clip(
    rng: Random, width: DomainWidth, split: Split, event: Event | None = None
) -> ClipScene:
    """A random clip of one side."""
    while True:
        happens: Event = event if event else rng.choice(EVENTS)
        clip = _any_clip(rng, width, happens)
        if clip.split == split:
            return clip


def _any_clip(rng: Random, width: DomainWidth, event: Event) -> ClipScene:
    places, shapes, colors, sizes = (
        [word.key for word in table(name, width)] for name in ("place", "shape", "color", "size")
    )
    shape, other_shape = rng.sample(shapes, 2)
    color, other_color, new_color = rng.sample(colors, 3)
    size, other_size = rng.choice(sizes), rng.choice(sizes)
    direction = rng.choice([word.key for word in table("direction", width)])
    across = _STEPS[direction][0] != 0
    place = rng.choice(_LANE_PLACES[across] if event == "moves" else places)
    thing = Thing(shape, color, size, place)
    free = [key for key in places if not _in_the_way(thing, key, event == "moves", across)]
    other = None
    if rng.random() < 0.5:
        other = Thing(other_shape, other_color, other_size, rng.choice(free))
    return ClipScene(
        event,
        thing,
        direction if event == "moves" else "",
        new_color if event == "changes" else "",
        other,
        seed=rng.getrandbits(32),
    )


def _in_the_way(thing: Thing, place: str, moves: bool, across: bool) -> bool:
    """Whether another thing at ``place`` would touch the thing on its way."""
    other = Thing(thing.shape, thing.color, thing.size, place)
    if not moves:
        return other.cell == thing.cell
    axis = 1 if across else 0
    return other.cell[axis] == thing.cell[axis]
