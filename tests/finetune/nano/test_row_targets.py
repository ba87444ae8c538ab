"""Rows are told what the pixels of their blocks show, and pictures stay as they were."""

from __future__ import annotations

import hashlib
from collections import Counter
from random import Random

import numpy as np
import pytest

from finetune.nano.base.checkpoint import nano_config
from finetune.nano.domain.lexicon import NUMBERS, TABLES
from finetune.nano.pictures.canvas import PALETTE
from finetune.nano.pictures.clips import EVENTS, draw_clip
from finetune.nano.pictures.pictures import Painting, Scene, Thing, Writing, draw_scene
from finetune.nano.pictures.row_targets import (
    COLOR_CLASSES,
    IGNORED,
    INK,
    LETTER_CLASSES,
    NOTHING,
    SHAPE_CLASSES,
    WORD_CLASSES,
    WRITING,
    RowTargets,
    row_targets,
    row_words,
)
from omni.media.image import image_patches
from tests.finetune.nano.test_pictures import NEAR, blobs

BLOCK = 28  # pixels


def targets_and_blocks(painting: Painting) -> tuple[RowTargets, np.ndarray]:
    """Targets, and the pixels (rows, BLOCK, BLOCK, 3) of their blocks."""
    image = painting.image()
    lines, columns = round(image.height / BLOCK), round(image.width / BLOCK)
    pixels = np.asarray(image.resize((columns * BLOCK, lines * BLOCK)), np.float32)
    blocks = pixels.reshape(lines, BLOCK, columns, BLOCK, 3).swapaxes(1, 2)
    targets = row_targets(painting, (2 * lines, 2 * columns), merge=2)
    return targets, blocks.reshape(-1, BLOCK, BLOCK, 3)


def share_of(block: np.ndarray, color: str) -> float:
    """The share of a block's pixels that are of a color."""
    return float((np.linalg.norm(block - PALETTE[color], axis=2) < NEAR).mean())


@pytest.mark.parametrize("layout", ["few", "number", "word"])
def test_ink_is_where_the_patches_are_white(layout: str) -> None:
    """White things on black: what the tower is given is then the ink itself."""
    config = nano_config().visual
    rng = Random(layout)
    for _ in range(4):
        painting = draw_scene(rng, layout, "core", "train").painting()  # type: ignore[arg-type]
        picture = painting.ink()
        assert picture.size == (painting.look.width, painting.look.height)
        given = image_patches(picture.convert("RGB"), config)
        ink = row_targets(painting, given.grid, config.merge_size).ink
        assert 0.01 < ink.mean() < 0.6
        side = config.patch_size
        seen = given.patches[:, : side * side].view(-1, INK, side // INK, INK, side // INK)
        seen = seen.mean((2, 4)).flatten(1)  # the red channel, a cell's pixels together
        white = (seen - seen.min()) / (seen.max() - seen.min())
        assert (white - ink).abs().mean() < 0.02


@pytest.mark.parametrize("layout", ["few", "row", "crowd"])
def test_rows_are_colored_as_their_blocks(layout: str) -> None:
    rng = Random(layout)
    showing = []
    for _ in range(12):
        painting = draw_scene(rng, layout, "full", "train").painting()  # type: ignore[arg-type]
        targets, blocks = targets_and_blocks(painting)
        assert int(targets.center.sum()) == int(targets.number) == len(painting.placed)
        for row, block in enumerate(blocks):
            color, shape = int(targets.color[row]), int(targets.shape[row])
            if color != IGNORED:
                shows = share_of(block, COLOR_CLASSES[color]) > 0.01
                showing.append(shows)
                # The others leave parts of their circle unpainted: between points, a ring's middle.
                assert shows or SHAPE_CLASSES[shape] != "circle"
            if shape == NOTHING:
                painted = {placed.thing.color for placed in painting.placed}
                assert all(share_of(block, name) < 0.02 for name in painted)
    assert np.mean(showing) > 0.95


def test_centers_are_where_the_pixels_are() -> None:
    rng = Random(1)
    for _ in range(15):
        thing = Thing(
            rng.choice(("circle", "square", "diamond", "cross")), "red", "big", "at the top"
        )
        painting = Scene((thing,), seed=rng.getrandbits(30)).painting()
        ((x, y, _),) = blobs(painting.image(), "red", [])
        (placed,) = painting.placed
        look = painting.look
        assert x * look.width == pytest.approx(placed.center[0], abs=2)
        assert y * look.height == pytest.approx(placed.center[1], abs=2)
        targets, _ = targets_and_blocks(painting)
        for found in targets.where[targets.color != IGNORED].tolist():
            assert found == pytest.approx([x, y], abs=0.02)
        row = int(targets.center.argmax())
        columns = round(look.width / BLOCK)
        across = (row % columns + 0.5 + float(targets.offset[row, 0])) / columns
        assert across == pytest.approx(x, abs=0.02)
        assert set(targets.line[targets.color != IGNORED].tolist()) == {0}
        assert set(targets.column[targets.color != IGNORED].tolist()) == {1}


def test_letters_are_read_from_the_left() -> None:
    words = {word.key: word for word in (*TABLES["animal"], *TABLES["number"])}
    for key, text in (("horse", "Horse"), ("cat", "CAT"), ("10", "10"), ("7", "7")):
        for seed in range(4):
            painting = Scene(writing=Writing(words[key], text, "blue"), seed=seed).painting()
            targets, blocks = targets_and_blocks(painting)
            lines = round(painting.look.height / BLOCK)
            written = (targets.shape == WRITING).reshape(lines, -1).any(1)
            line = targets.letters.reshape(lines, -1)[written][0].tolist()
            read = [LETTER_CLASSES[letter] for letter in line if letter != IGNORED]
            assert "".join(dict.fromkeys(read)) == text.lower()
            assert WORD_CLASSES[int(targets.whole_word)] == key
            for row in (targets.shape == NOTHING).nonzero()[:, 0].tolist():
                assert share_of(blocks[row], "blue") < 0.02


def test_letters_boxes_hold_the_ink() -> None:
    words = {word.key: word for word in TABLES["animal"]}
    for seed in range(6):
        scene = Scene(writing=Writing(words["tiger"], "tiger", "red"), seed=seed)
        painting = scene.painting()
        ink = (
            np.linalg.norm(np.asarray(painting.image(), np.float32) - PALETTE["red"], axis=2) < NEAR
        )
        ys, xs = np.nonzero(ink)
        boxes = [box for _, box in painting.letters()]
        assert boxes[0][0] == pytest.approx(xs.min(), abs=4)
        assert boxes[-1][2] == pytest.approx(xs.max(), abs=4)
        assert boxes[0][1] == pytest.approx(ys.min(), abs=3)
        assert boxes[0][3] == pytest.approx(ys.max(), abs=3)


def test_frames_tell_the_color_and_place_of_their_moment() -> None:
    rng = Random(6)
    for event in EVENTS:
        for _ in range(3):
            clip = draw_clip(rng, "full", "train", event)
            for painting in clip.paintings():
                targets, blocks = targets_and_blocks(painting)
                assert int(targets.number) == len(painting.placed)
                for row in (targets.center > 0).nonzero()[:, 0].tolist():
                    color = COLOR_CLASSES[int(targets.color[row])]
                    near = blocks[row] if SHAPE_CLASSES[int(targets.shape[row])] != "ring" else None
                    assert near is None or share_of(near, color) > 0.05


def test_pictures_look_as_they_always_did() -> None:
    """A checkpoint was trained on these pixels; they were fixed before there were paintings."""
    seen = hashlib.blake2b(digest_size=12)
    for layout in ("few", "row", "crowd", "number", "word"):
        rng = Random(layout)
        for width in ("core", "full"):
            for _ in range(12):
                image = draw_scene(rng, layout, width, "train").image()  # type: ignore[arg-type]
                seen.update(str(image.size).encode() + image.tobytes())
    assert seen.hexdigest() == "21adcd380dcf236491843ad6"
    seen = hashlib.blake2b(digest_size=12)
    for event in EVENTS:
        rng = Random(event)
        for _ in range(8):
            for image in draw_clip(rng, "full", "train", event).frames():
                seen.update(str(image.size).encode() + image.tobytes())
    assert seen.hexdigest() == "051c4832ff68eab27e16912d"


def test_rows_are_named_by_what_covers_them() -> None:
    rng = Random(4)
    for layout in ("few", "word"):
        for _ in range(6):
            painting = draw_scene(rng, layout, "core", "train").painting()  # type: ignore[arg-type]
            blocks = round(painting.look.height / BLOCK), round(painting.look.width / BLOCK)
            shapes = row_targets(painting, (2 * blocks[0], 2 * blocks[1]), merge=2).shape.tolist()
            words = row_words(painting, blocks)
            assert [bool(said) for said in words] == [shape > 0 for shape in shapes]
            found = {entry.key for said in words for entry in said}
            if painting.lettering:
                assert found == {painting.lettering.writing.word.key}
            for placed in painting.placed:
                thing = placed.thing
                assert {thing.shape, thing.color, thing.place} <= found


def test_things_of_a_kind_are_numbered_as_the_rows_come() -> None:
    rng = Random(7)
    for _ in range(12):
        scene = draw_scene(rng, "mixed", "core", "train")
        words = named_rows(scene)
        for place, name in ((-2, "shape"), (-1, "color")):
            counted = Counter(getattr(thing, name) for thing in scene.things)
            for key, many in counted.items():
                told = [said[place] for said in words if key in said]
                assert list(dict.fromkeys(told)) == [NUMBERS[n].en for n in range(1, many + 1)]


def test_one_thing_alone_is_not_numbered() -> None:
    (said,) = set(map(tuple, named_rows(Scene((Thing("star", "red", "big", "in the middle"),)))))
    assert said == ("star", "red", "in the middle")


def named_rows(scene: Scene) -> list[list[str]]:
    """The words of the rows that show something, in English."""
    painting = scene.painting()
    blocks = round(painting.look.height / BLOCK), round(painting.look.width / BLOCK)
    return [[entry.en for entry in said] for said in row_words(painting, blocks) if said]
