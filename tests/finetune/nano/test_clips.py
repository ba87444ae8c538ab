"""Clips agree with their answers: what happens is found in the frames' pixels."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import numpy as np

from finetune.nano.pictures.clip_questions import CLIP_KINDS, draw_asked_clip, kinds
from finetune.nano.pictures.clips import EVENTS, FRAMES, ClipScene, Event, draw_clip
from tests.finetune.nano.test_pictures import blobs


def clips(event: Event, number: int) -> list[ClipScene]:
    rng = Random(event)
    return [draw_clip(rng, "full", "train", event) for _ in range(number)]


def colors(clip: ClipScene) -> list[str]:
    found = [thing.color for thing in clip.things]
    return [*found, clip.new_color] if clip.new_color else found


def test_moves_go_where_the_answer_says() -> None:
    ways = {"to the left": (0, -1), "to the right": (0, 1), "up": (1, -1), "down": (1, 1)}
    for clip in clips("moves", 10):
        frames = clip.frames()
        track = [blobs(frame, clip.thing.color, colors(clip))[0] for frame in frames]
        axis, sign = ways[clip.direction]
        steps = np.diff([place[axis] for place in track]) * sign
        assert (steps > 0.02).all() and steps.sum() > 0.4
        assert np.ptp([place[1 - axis] for place in track]) < 0.1


def test_things_appear_disappear_and_change_once() -> None:
    for event in ("appears", "disappears", "changes"):
        for clip in clips(event, 6):
            frames = clip.frames()
            first = [bool(blobs(f, clip.thing.color, colors(clip))) for f in frames]
            assert sum(a != b for a, b in pairwise(first)) == 1
            assert first[0] == (event != "appears")
            if event == "changes":
                later = [bool(blobs(f, clip.new_color, colors(clip))) for f in frames]
                assert later == [not there for there in first]


def test_the_other_thing_stays() -> None:
    rng = Random(2)
    checked = 0
    while checked < 10:
        clip = draw_clip(rng, "full", "train")
        if clip.other is None:
            continue
        places = [blobs(f, clip.other.color, colors(clip))[0] for f in clip.frames()]
        assert np.ptp([place[0] for place in places]) < 0.02
        assert np.ptp([place[1] for place in places]) < 0.02
        checked += 1


def test_frames_are_of_one_size_and_count() -> None:
    numbers = set()
    for event in EVENTS:
        for clip in clips(event, 8):
            frames = clip.frames()
            assert len({frame.size for frame in frames}) == 1
            numbers.add(len(frames))
    assert numbers <= set(range(FRAMES[0], FRAMES[1] + 1)) and len(numbers) > 3


def test_every_kind_answers_in_both_languages_and_widths() -> None:
    assert set(kinds("core")) < set(CLIP_KINDS) == set(kinds("full"))
    for width in ("core", "full"):
        for kind in kinds(width):
            clip, asked = draw_asked_clip(Random(4), "test", width, kind)
            assert clip.split == "test"
            for language in ("en", "zh"):
                question, answer = asked.question(language), asked.answer(language)
                assert question and answer and "{" not in question + answer


def test_answers_name_what_happened() -> None:
    rng = Random(5)
    for _ in range(200):
        clip, asked = draw_asked_clip(rng, "train", "full")
        answer = asked.answer("en")
        if asked.kind == "happens":
            assert clip.thing.color in answer and clip.thing.shape in answer
            assert clip.direction in answer and clip.new_color in answer
        elif asked.kind == "does-move":
            moving = clip.event == "moves" and asked.words["shape"].key == clip.thing.shape
            assert answer == ("yes" if moving else "no")
        elif asked.kind in ("new-color", "old-color"):
            assert answer == (clip.new_color if asked.kind == "new-color" else clip.thing.color)


def test_clips_of_different_sides_never_meet_and_repeat_by_seed() -> None:
    contents = {}
    for split in ("train", "test"):
        rng = Random(0)
        drawn = [draw_clip(rng, "full", split) for _ in range(600)]
        contents[split] = {
            (c.event, c.thing, c.direction, c.new_color, c.other and c.other.look) for c in drawn
        }
    assert not contents["train"] & contents["test"]
    clip = draw_clip(Random(1), "full", "train")
    for one, other in zip(clip.frames(), clip.frames(), strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))
