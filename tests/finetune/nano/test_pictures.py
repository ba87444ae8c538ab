"""Pictures agree with their answers: counted and located by their pixels."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from PIL import Image

from finetune.nano.domain.lexicon import TABLES
from finetune.nano.pictures.canvas import PALETTE
from finetune.nano.pictures.picture_questions import (
    COUNTING,
    PICTURE_KINDS,
    Asked,
    ask_more,
    draw_asked_scene,
    kinds,
)
from finetune.nano.pictures.pictures import SIDES, Scene, Thing, draw_scene

NUMBER = {entry.en: int(entry.key) for entry in TABLES["number"]}
NEAR = 48.0  # of 255: a pixel's distance to a palette color
LEAST = 12  # pixels of a blob


Blob = tuple[float, float, int]


def blobs(image: Image.Image, color: str, others: list[str], inside: bool = False) -> list[Blob]:
    """Center (as shares of width and height) and pixels of each region of a color.

    ``inside``: without the outermost pixels, so that edges between two colors, which may look
    like a third one, vanish.
    """
    pixels = np.asarray(image, np.float32)
    distances = {name: np.linalg.norm(pixels - PALETTE[name], axis=2) for name in {color, *others}}
    mask = distances[color] < NEAR
    for name in others:
        if name != color:
            mask &= distances[color] <= distances[name]
    if inside:
        vertical = mask[:-2, 1:-1] & mask[2:, 1:-1]
        mask = np.pad(mask[1:-1, 1:-1] & vertical & mask[1:-1, :-2] & mask[1:-1, 2:], 1)
    found = []
    height, width = mask.shape
    left = mask.copy()
    for y, x in np.argwhere(mask):
        if left[y, x]:
            region = _flood(left, int(y), int(x))
            if len(region) >= LEAST:
                ys, xs = np.array(region).T
                found.append((xs.mean() / width, ys.mean() / height, len(region)))
    return found


def _flood(left: np.ndarray, y: int, x: int) -> list[tuple[int, int]]:
    """The region around a pixel, taken out of ``left``."""
    region, edge = [], [(y, x)]
    left[y, x] = False
    while edge:
        y, x = edge.pop()
        region.append((y, x))
        for ny in range(max(0, y - 2), min(left.shape[0], y + 3)):
            for nx in range(max(0, x - 2), min(left.shape[1], x + 3)):
                if left[ny, nx]:
                    left[ny, nx] = False
                    edge.append((ny, nx))
    return region


def scene_blobs(scene: Scene, color: str) -> list[Blob]:
    """The regions of a color in a scene's picture."""
    colors = [thing.color for thing in scene.things]
    return blobs(scene.image(), color, colors, inside=len(colors) > 1)


def drawn(kind: str, number: int) -> list[tuple[Scene, Asked]]:
    rng = Random(f"{kind}")
    return [draw_asked_scene(rng, "train", "full", kind) for _ in range(number)]


def test_colors_are_counted_as_they_are_painted() -> None:
    for scene, asked in drawn("count-color", 25):
        color = asked.words["color"].key
        expected = NUMBER[asked.answer("en")]
        if expected:
            assert len(scene_blobs(scene, color)) == expected, (scene, asked.answer("en"))
        else:
            assert color not in {thing.color for thing in scene.things}


def test_things_are_where_the_answer_says() -> None:
    thirds = {"left": (0, 0), "right": (0, 2), "top": (1, 0), "bottom": (1, 2)}
    checked = 0
    for scene, asked in drawn("where-color", 40):
        color = asked.words["color"].key
        if [thing.color for thing in scene.things].count(color) > 1:
            continue
        ((x, y, _),) = scene_blobs(scene, color)
        expected = [1, 1]
        for name, (axis, third) in thirds.items():
            if name in asked.answer("en"):
                expected[axis] = third
        assert [int(x * 3), int(y * 3)] == expected, (scene, asked.answer("en"))
        checked += 1
    assert checked > 15


def test_relations_hold_in_the_picture() -> None:
    sides = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
    for scene, asked in drawn("relation", 20):
        axis, sign = sides[asked.words["relation"].key]
        _, color, shape = asked.answer("en").split()
        anchor = next(t for t in scene.things if t.shape == asked.words["shape"].key)
        assert any(thing.look == (color, shape) for thing in scene.things)
        (there,), (here,) = scene_blobs(scene, color), scene_blobs(scene, anchor.color)
        assert (there[axis] - here[axis]) * sign > 0.1


def test_big_is_bigger_than_small() -> None:
    rng = Random(3)
    for _ in range(20):
        shape = rng.choice([word.key for word in TABLES["shape"]])
        seed = rng.getrandbits(30)
        big = Scene((Thing(shape, "red", "big", "at the top left"),), seed=seed)
        small = Scene((Thing(shape, "red", "small", "at the top left"),), seed=seed)
        areas = [scene_blobs(scene, "red")[0][2] for scene in (big, small)]
        assert areas[0] > 1.9 * areas[1]


def test_shapes_fill_their_boxes_as_geometry_says() -> None:
    expected = {"circle": 0.785, "triangle": 0.5, "diamond": 0.5, "cross": 0.55, "square": 0.93}
    for shape, fill in expected.items():
        found = []
        for seed in range(6):
            scene = Scene((Thing(shape, "blue", "big", "in the middle"),), seed=seed)
            pixels = np.asarray(scene.image(), np.float32)
            mask = np.linalg.norm(pixels - PALETTE["blue"], axis=2) < NEAR
            ys, xs = np.nonzero(mask)
            box = (np.ptp(ys) + 1) * (np.ptp(xs) + 1)
            found.append(mask.sum() / box)
        assert np.mean(found) == pytest.approx(fill, abs=0.1), shape


def test_writing_is_visible_and_answers_read_it() -> None:
    for kind in ("read-number", "read-word"):
        for scene, asked in drawn(kind, 12):
            assert scene.writing is not None
            written = scene.writing.text.lower()
            if kind == "read-number":
                assert int(written) == NUMBER[asked.answer("en")]
            else:
                assert written == asked.answer("en")
            pixels = np.asarray(scene.image(), np.float32)
            ink = np.linalg.norm(pixels - PALETTE[scene.writing.color], axis=2) < NEAR
            assert 0.005 < ink.mean() < 0.5


def test_every_kind_answers_in_both_languages_and_widths() -> None:
    assert set(kinds("core")) < set(PICTURE_KINDS) == set(kinds("full"))
    for width in ("core", "full"):
        for kind in kinds(width):
            scene, asked = draw_asked_scene(Random(4), "test", width, kind)
            assert scene.split == "test"
            for language in ("en", "zh"):
                question, answer = asked.question(language), asked.answer(language)
                assert question and answer and "{" not in question + answer


@pytest.mark.parametrize("again", [False, True])
def test_nothing_is_asked_twice_about_a_picture(again: bool) -> None:
    rng = Random(5)
    repeated = 0
    for number in range(40):
        scene, asked = draw_asked_scene(rng, "train", "core", COUNTING[number % 3])
        rounds = [asked]
        while len(rounds) < 6 and (more := ask_more(scene, rounds, rng, "core", again)):
            rounds.append(more)
        questions = [(one.kind, *(w.key for w in one.words.values())) for one in rounds]
        assert len(set(questions)) == len(questions)
        repeated += len({one.kind for one in rounds}) < len(rounds)
    assert repeated > 20 if again else repeated == 0


def test_yes_and_no_are_about_as_frequent() -> None:
    for kind in ("is-color", "is-there"):
        answers = [asked.answer("en") for _, asked in drawn(kind, 300)]
        assert 0.4 < answers.count("yes") / 300 < 0.6


def test_scenes_of_different_sides_never_meet() -> None:
    for layout in ("few", "row", "crowd", "number", "word"):
        contents = {}
        for split in ("train", "test"):
            rng = Random(0)
            scenes = [draw_scene(rng, layout, "full", split) for _ in range(250)]
            contents[split] = {(scene.things, scene.writing) for scene in scenes}
        assert not contents["train"] & contents["test"]


def test_pictures_repeat_by_seed_and_vary_without() -> None:
    scene, _ = draw_asked_scene(Random(8), "train", "full", "describe")
    first, again = np.asarray(scene.image()), np.asarray(scene.image())
    assert np.array_equal(first, again)
    other = np.asarray(Scene(scene.things, scene.writing, scene.seed + 1).image())
    assert first.shape != other.shape or not np.array_equal(first, other)
    sizes = {Scene(scene.things, seed=seed).image().size for seed in range(20)}
    assert len(sizes) > 10
    assert all(SIDES[0] <= min(size) <= SIDES[1] for size in sizes)
