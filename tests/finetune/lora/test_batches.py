"""The order of a training is a function of its seed; like lengths go together."""

from __future__ import annotations

import numpy as np
import torch

from finetune.lora.batches import Drawing, places_needed, training_order
from finetune.lora.data.examples import IGNORED, Example

PAD = 7
SIZES = (16, 8)


def example(frames: int = 0, heard: int = 0) -> Example:
    """Heard codes, then as many frames said."""
    ids = [1, *[PAD] * heard, 2, 3, *[PAD] * frames, 4]
    start = 2 + heard
    return Example(
        name="",
        ids=torch.tensor(ids),
        text_targets=torch.full((len(ids),), IGNORED),
        codes=torch.zeros(heard + frames, 2, dtype=torch.long),
        frame_places=torch.arange(start, start + frames + 1) if frames else torch.zeros(0).long(),
        frame_targets=torch.zeros(frames + 1 if frames else 0, 2, dtype=torch.long),
        image_features=torch.zeros(0, 4),
        video_features=torch.zeros(0, 4),
    )


def test_every_row_comes_once_before_any_comes_again() -> None:
    order = training_order(list(range(10)), 4, 25, seed=3)
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))
    assert len(order) == 25
    assert order == training_order(list(range(10)), 4, 25, seed=3)
    assert order != training_order(list(range(10)), 4, 25, seed=4)


def test_a_longer_training_begins_as_the_shorter_one() -> None:
    lengths = list(np.random.default_rng(0).integers(1, 100, 50))
    assert training_order(lengths, 4, 120, 0)[:60] == training_order(lengths, 4, 60, 0)


def test_rows_of_like_length_share_a_batch() -> None:
    rng = np.random.default_rng(1)
    lengths = [int(n) for n in rng.integers(10, 500, 256)]
    order = training_order(lengths, 8, 256, 0)
    batches = [[lengths[i] for i in order[n : n + 8]] for n in range(0, 256, 8)]
    padded = sum(8 * max(batch) for batch in batches)
    assert padded < 1.15 * sum(lengths) < 256 * max(lengths)
    longest = [max(batch) for batch in batches]
    assert longest != sorted(longest)  # the batches themselves come in any order


def test_steps_of_a_training() -> None:
    assert places_needed(rows=10, epochs=3, steps=0, batch=4) == 8 * 4
    assert places_needed(rows=10, epochs=3, steps=5, batch=4) == 5 * 4
    assert places_needed(rows=1, epochs=0.1, steps=0, batch=4) == 4


def test_rows_that_are_mixed_in_come_once_in_all_and_all_the_time() -> None:
    places = places_needed(rows=10, epochs=4, steps=0, batch=4, once=82)
    assert places == 31 * 4
    order = training_order(list(range(92)), 4, places, seed=3, once=82)
    counts = np.bincount(order[: 4 * 10 + 82], minlength=92)
    assert (counts[:10] == 4).all() and (counts[10:] == 1).all()
    for half in (order[:61], order[61:122]):
        assert 37 <= sum(index >= 10 for index in half) <= 45  # 41 would be even
    short = training_order(list(range(92)), 4, 40, seed=3, once=82)  # not room for all
    assert sorted(index for index in short if index < 10) == list(range(10))
    assert len(short) == len(set(short)) == 40
    assert training_order([5, 6], 2, 4, seed=0, once=0) == training_order([5, 6], 2, 4, seed=0)


def test_only_what_the_model_said_is_replaced_by_chance() -> None:
    known = example(frames=200, heard=100)
    drawn = Drawing([known], [0, 0], SIZES, PAD, code_noise=0.5, seed=5)[1].codes
    changed = (drawn != known.codes).any(1)
    assert not changed[:100].any() and changed[100:].any()
    assert (drawn < torch.tensor(SIZES)).all() and (drawn >= 0).all()
    again = Drawing([known], [0, 0], SIZES, PAD, code_noise=0.5, seed=5)
    torch.testing.assert_close(again[1].codes, drawn)
    assert not torch.equal(again[0].codes, drawn)
    assert torch.equal(Drawing([known], [0], SIZES, PAD)[0].codes, known.codes)
