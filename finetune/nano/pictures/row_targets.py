"""What each row of the vision bridge should know: the thing that is there, and where.

Knows: the blocks of the resized picture, which of them a thing or letter covers, and the words for
what is there. Does not know: how things are painted, losses.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from finetune.nano.domain.lexicon import COLORS, NUMBERS, SHAPES, SIZES, Word, word
from finetune.nano.pictures.pictures import CELLS, Painting, readable_words

IGNORED = -100
# Classes, whatever the width of the domain.
SHAPE_CLASSES = ("nothing", *(word.key for word in SHAPES), "writing")
COLOR_CLASSES = tuple(word.key for word in COLORS)
SIZE_CLASSES = tuple(word.key for word in SIZES)
LETTER_CLASSES = tuple(string.digits + string.ascii_lowercase)
_READ: tuple[Word, ...] = (*NUMBERS, *readable_words("full"))
WORD_CLASSES = tuple(word.key for word in _READ)
NOTHING, WRITING = 0, len(SHAPE_CLASSES) - 1
MOST_THINGS = 6  # that are counted
THIRDS = 3  # the places of a picture, across and down
# The middle of each side and the middle: what "core" knows; corners have longer names.
_PLACE_WORDS = {cell: word("place", key) for key, cell in CELLS.items() if 1 in cell}
# As things are counted: 两, not 二.
_COUNT_WORDS = tuple(replace(number, zh=number.counting) for number in NUMBERS)
SLOTS = 2  # letters of a block: that of its left half and that of its right half

INK = 7  # cells of a patch each way, of whose ink the tower learns
_SAMPLES = 6  # points of a block each way
_COVERED = 0.1  # share of a block from which it is a thing's; less is neither nor
_CORE = 0.8  # of a thing's radius: what every shape but a ring fills, or nearly
_REACH = 1.1  # of a thing's radius: nothing is painted further out, or hardly
_LETTER_COVERED = 0.35  # share of a slot


@dataclass
class RowTargets:
    """Of the rows of one picture or of several; IGNORED where a label means nothing.

    ``shape``, ``color``, ``size``, ``column``, ``line`` int64 (rows,): of the thing that covers the
    block; column and line are thirds of the picture. ``center`` float (rows,): 1 where a thing's
    center is. ``offset`` (rows, 2): from the block's middle to the thing's center, in blocks.
    ``where`` (rows, 2): that center as shares of width and height. ``letters`` int64 (rows, SLOTS).
    ``word`` (rows,): the whole word, of rows with letters. ``picture`` int64 (rows,): whose row it
    is. ``ink`` float (patches, INK * INK): the shares of each patch's cells that a thing or a
    letter covers, in the patches' order. Of each picture: ``number`` (pictures,) of things,
    ``counts`` float (pictures, shapes + colors), ``whole_word`` (pictures,).
    """

    shape: Tensor
    color: Tensor
    size: Tensor
    column: Tensor
    line: Tensor
    center: Tensor
    offset: Tensor
    where: Tensor
    letters: Tensor
    word: Tensor
    picture: Tensor
    ink: Tensor
    number: Tensor
    counts: Tensor
    whole_word: Tensor

    @classmethod
    def joined(cls, parts: Sequence[RowTargets]) -> RowTargets:
        """The targets of several pictures."""
        joined = {f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)}
        lengths = torch.tensor([len(part.shape) for part in parts])
        joined["picture"] = torch.repeat_interleave(torch.arange(len(parts)), lengths)
        return cls(**joined)


def row_targets(painting: Painting, grid: tuple[int, int], merge: int) -> RowTargets:
    """The targets of a painting whose picture was cut into ``grid`` patches, ``merge`` a block."""
    blocks = grid[0] // merge, grid[1] // merge
    rows = _labelled(painting, blocks)
    number = len(painting.placed)
    written = painting.lettering
    whole_word = WORD_CLASSES.index(written.writing.word.key) if written else IGNORED
    return RowTargets(
        **{name: torch.from_numpy(found) for name, found in rows.classes.items()},
        center=torch.from_numpy(rows.center).float(),
        offset=torch.from_numpy(rows.offset).float(),
        where=torch.from_numpy(rows.where).float(),
        letters=torch.from_numpy(rows.letters),
        picture=torch.zeros(blocks[0] * blocks[1], dtype=torch.long),
        ink=_ink(painting, grid, merge),
        number=torch.tensor([number if number <= MOST_THINGS else IGNORED]),
        counts=_counts(painting)[None],
        whole_word=torch.tensor([whole_word]),
    )


def row_words(painting: Painting, blocks: tuple[int, int]) -> list[tuple[Word, ...]]:
    """What can be said of each row of ``blocks`` (lines, columns): nothing of an empty one.

    Of a thing its shape, its color and, unless it is in a corner, its place; if there are others,
    the how many-th of its shape it is and of its color, as the rows come. Of writing its word.
    """
    rows = _labelled(painting, blocks)
    written = painting.lettering
    seen: Counter[Word] = Counter()
    numbers: dict[tuple[float, float], tuple[Word, ...]] = {}  # of the thing with this center
    found: list[tuple[Word, ...]] = []
    for shape, color, column, line, where in zip(
        *(rows.classes[name].tolist() for name in ("shape", "color", "column", "line")),
        map(tuple, rows.where.tolist()),
        strict=True,
    ):
        if shape == WRITING and written:
            found.append((written.writing.word,))
        elif shape in (NOTHING, IGNORED):
            found.append(())
        else:
            look = SHAPES[shape - 1], COLORS[color]
            if where not in numbers:
                seen.update(look)
                numbers[where] = tuple(_COUNT_WORDS[seen[word]] for word in look)
            place = _PLACE_WORDS.get((column, line))
            told = numbers[where] if len(painting.placed) > 1 else ()
            found.append((*look, *([place] if place else []), *told))
    return found


@dataclass
class _Rows:
    """What is known of each row before it is a tensor: see :class:`RowTargets`."""

    classes: dict[str, np.ndarray]  # int (rows,) by name
    offset: np.ndarray
    where: np.ndarray
    center: np.ndarray
    letters: np.ndarray

    @classmethod
    def empty(cls, rows: int) -> _Rows:
        """Rows of a picture with nothing in it."""
        names = ("shape", "color", "size", "column", "line", "word")
        classes = {name: np.full(rows, IGNORED) for name in names}
        classes["shape"][:] = NOTHING
        offset, where, center = np.zeros((rows, 2)), np.zeros((rows, 2)), np.zeros(rows)
        return cls(classes, offset, where, center, np.full((rows, SLOTS), IGNORED))


def _labelled(painting: Painting, blocks: tuple[int, int]) -> _Rows:
    """The rows of a painting that was cut into ``blocks`` (lines, columns)."""
    rows = _Rows.empty(blocks[0] * blocks[1])
    _place_things(painting, blocks, rows)
    if painting.lettering:
        writing = painting.lettering.writing
        rows.letters, touched = _letters(painting, blocks)
        written = (rows.letters != IGNORED).any(1)
        labels = rows.classes
        labels["shape"][touched] = IGNORED
        labels["shape"][written] = WRITING
        labels["color"][written] = COLOR_CLASSES.index(writing.color)
        labels["word"][written] = WORD_CLASSES.index(writing.word.key)
    return rows


def _place_things(painting: Painting, blocks: tuple[int, int], targets: _Rows) -> None:
    """Fill in the rows that things cover."""
    labels = targets.classes
    lines, columns = blocks
    rows = lines * columns
    steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    points_y = (np.arange(lines)[:, None] + steps).ravel()[:, None]
    points_x = (np.arange(columns)[:, None] + steps).ravel()[None]
    line_of, column_of = np.divmod(np.arange(rows), columns)
    most = np.zeros(rows)
    for placed in painting.placed:
        scale = columns / painting.look.width, lines / painting.look.height  # pixels to blocks
        x, y = placed.center[0] * scale[0], placed.center[1] * scale[1]
        across, down = placed.radius * scale[0], placed.radius * scale[1]
        far = np.hypot((points_x - x) / across, (points_y - y) / down)  # in radii
        far = far.reshape(lines, _SAMPLES, columns, _SAMPLES).swapaxes(1, 2).reshape(rows, -1)
        share = (far <= _CORE).mean(1)
        middle = int(y) * columns + int(x)
        targets.center[middle] = 1
        share[middle] = max(share[middle], _COVERED)
        covered = (share > most) & (share >= _COVERED)
        most = np.maximum(most, share)
        brushed = (far <= _REACH).any(1) & (labels["shape"] == NOTHING)
        labels["shape"][brushed] = IGNORED
        for name, found in (
            ("shape", SHAPE_CLASSES.index(placed.thing.shape)),
            ("color", COLOR_CLASSES.index(placed.thing.color)),
            ("size", SIZE_CLASSES.index(placed.thing.size)),
            ("column", int(THIRDS * x / columns)),
            ("line", int(THIRDS * y / lines)),
        ):
            labels[name][covered] = found
        targets.offset[covered] = np.stack([x - column_of - 0.5, y - line_of - 0.5], 1)[covered]
        targets.where[covered] = x / columns, y / lines


def _letters(painting: Painting, blocks: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The letter that fills most of each slot, int (rows, SLOTS), and rows with any ink, bool."""
    lines, columns = blocks
    look = painting.look
    found = np.full((lines, columns * SLOTS), IGNORED)
    most, touched = np.zeros(found.shape), np.zeros(found.shape, bool)
    for letter, (left, top, right, bottom) in painting.letters():
        across = _overlaps(left / look.width, right / look.width, columns * SLOTS)
        down = _overlaps(top / look.height, bottom / look.height, lines)
        share = across * (down >= min(_LETTER_COVERED, down.max()))[:, None]
        touched |= (across > 0) & (down > 0)[:, None]
        filled = (share > most) & (share >= _LETTER_COVERED)
        most = np.maximum(most, share)
        found[filled] = LETTER_CLASSES.index(letter.lower())
    rows = lines * columns
    return found.reshape(rows, SLOTS), touched.reshape(rows, SLOTS).max(1)


def _overlaps(begin: float, end: float, parts: int) -> np.ndarray:
    """How much of each of ``parts`` equal parts of [0, 1] lies between begin and end."""
    edges = np.arange(parts + 1)
    inside = np.minimum(edges[1:], end * parts) - np.maximum(edges[:-1], begin * parts)
    return inside.clip(0, 1)


def _ink(painting: Painting, grid: tuple[int, int], merge: int) -> Tensor:
    """Shares (patches, INK * INK) in the order of the picture's patches."""
    height, width = grid
    small = painting.ink().resize((width * INK, height * INK), Image.Resampling.BOX)
    cells = torch.from_numpy(np.array(small)).float() / 255
    blocks = cells.view(height // merge, merge, INK, width // merge, merge, INK)
    return blocks.permute(0, 3, 1, 4, 2, 5).reshape(height * width, INK * INK)


def _counts(painting: Painting) -> Tensor:
    """float (shapes + colors,): how many things have each."""
    shapes = [placed.thing.shape for placed in painting.placed]
    colors = [placed.thing.color for placed in painting.placed]
    return torch.tensor(
        [float(shapes.count(name)) for name in SHAPE_CLASSES[1:WRITING]]
        + [float(colors.count(name)) for name in COLOR_CLASSES]
    )
