"""A step in memory set aside ahead equals transformers' cache; a captured one equals both."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from omni.generation.captured_steps import CapturedSteps
from omni.generation.decoding import CapturedRunner, ModelRunner
from omni.generation.sampling import _highest, penalize
from omni.generation.steps import DepthLoop, Draws
from omni.model.layers.key_values import FixedWindow, KeyValues
from omni.options import SPEECH
from tests.support.golden_model import ATOL, assert_close, golden_model

SPLITS = [(7,), (1, 1, 1, 1, 1, 1, 1), (3, 4), (3, 1, 2, 1), (1, 6)]


def embeds(count: int = 7) -> Tensor:
    source = torch.Generator().manual_seed(5)
    return torch.randn(1, count, golden_model().config.hidden_size, generator=source)


@torch.inference_mode()
def reference(rows: Tensor) -> Tensor:
    """All states, by transformers' cache in one pass."""
    return golden_model().hidden(rows, past_key_values=DynamicCache())


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_gives_the_states_of_one_pass(split: tuple[int, ...]) -> None:
    rows = embeds()
    want = reference(rows)
    decoder = ModelRunner(golden_model())
    for chunk in rows.split(list(split), dim=1):
        feed = decoder.step if chunk.shape[1] == 1 else decoder.prefill
        have = feed(chunk)
        assert_close(have, want[:, decoder.length - 1], ATOL)
    assert decoder.length == rows.shape[1]


def test_what_was_cropped_leaves_no_trace() -> None:
    rows = embeds()
    decoder = ModelRunner(golden_model())
    decoder.prefill(rows[:, :3])
    decoder.prefill(rows.flip(1))
    decoder.crop(3)
    assert_close(decoder.prefill(rows[:, 3:]), reference(rows)[:, -1], ATOL)


@torch.inference_mode()
def test_a_fixed_window_sees_what_stands_before_its_position() -> None:
    model, rows = golden_model(), embeds()
    want = reference(rows)
    past = KeyValues(model.config.num_hidden_layers)
    model.hidden(rows[:, :4], past_key_values=past)
    # What a window leaves out by its mask alone: more than zeros.
    for key, value in (past.memory(rows, rows, layer) for layer in range(2)):
        key[:, :, 4:].fill_(9.0)
        value[:, :, 4:].fill_(9.0)
    position = torch.zeros(1, dtype=torch.int64)
    window = FixedWindow(past, position, 16)
    for index in range(4, 7):
        position.fill_(index)
        state = model.hidden(rows[:, index : index + 1], past_key_values=window)
        assert_close(state[:, 0], want[:, index], ATOL)


def test_the_cpu_has_nothing_to_record() -> None:
    assert not CapturedSteps.possible(golden_model())


@pytest.mark.parametrize("size", [152_064, 152_001, 30_000, 500])
@pytest.mark.parametrize("count", [5, 84])
def test_the_highest_of_many_are_found_by_stretches(size: int, count: int) -> None:
    source = torch.Generator().manual_seed(size)
    scores = torch.randn(1, size, generator=source).bfloat16().float()  # with ties
    likely, ids = _highest(scores, count)
    assert torch.equal(likely, torch.topk(scores, count).values)
    assert torch.equal(scores.gather(1, ids), likely)
    assert len(set(ids[0].tolist())) == count


def test_a_penalty_of_a_few_ids_changes_nothing_else() -> None:
    scores = torch.tensor([[2.0, -2.0, 0.0, 3.0, -torch.inf, 1.0]])
    seen = torch.tensor([[True, True, True, False, True, False]])
    have = penalize(scores, seen, 2.0)
    assert have.tolist() == [[1.0, -4.0, 0.0, 3.0, -torch.inf, 1.0]]
    both = penalize(scores.repeat(2, 1), seen.repeat(2, 1), 2.0)  # the way of many rows
    assert torch.equal(both[:1], have)
    assert scores[0, 0] == 2.0


@torch.inference_mode()
def test_a_packed_audio_head_gives_the_same() -> None:
    model = golden_model()
    packed = copy.deepcopy(model.audio_head)
    packed.pack()
    packed.pack()  # once is enough
    assert not any(name.endswith("linear1.weight") for name, _ in packed.named_parameters())
    hidden = embeds(3)[0]
    for rows in (hidden, hidden[:1]):
        want = model.audio_head.generate(rows, lambda _, scores: scores.argmax(-1))
        have = packed.generate(rows, lambda _, scores: scores.argmax(-1))
        assert torch.equal(have, want)
        for mine, theirs in zip(packed(rows, want), model.audio_head(rows, want), strict=True):
            assert_close(mine, theirs, ATOL)
    assert packed.unpack() and not packed.unpack()
    for name, tensor in model.audio_head.state_dict().items():
        assert torch.equal(packed.state_dict()[name], tensor)


@pytest.mark.gpu
@torch.inference_mode()
def test_captured_steps_and_frames_equal_those_that_are_run() -> None:
    model = golden_model()
    model.to("cuda")  # type: ignore[arg-type]
    try:
        captured = CapturedSteps(model)
        assert CapturedSteps.possible(model) and captured.acquire()
        rows = embeds(520).cuda()  # past the first window
        plain, replayed = ModelRunner(model), CapturedRunner(captured)
        assert_close(replayed.prefill(rows[:, :505]), plain.prefill(rows[:, :505]), ATOL)
        for index in range(505, 520):
            row = rows[:, index : index + 1]
            have, want = replayed.step(row).clone(), plain.step(row)
            assert_close(have, want, ATOL)
        assert captured.works
        for seed in (1, 2, 1):
            eager = DepthLoop(model, SPEECH, Draws(seed))
            draws = Draws(seed, captured.source)
            assert draws.on(torch.device("cuda", 0)) is captured.source
            frames = captured.depth_loop(SPEECH)
            for _ in range(4):
                for mine, theirs in zip(frames(have), eager(have), strict=True):
                    assert_close(mine, theirs, 1e-3)
        captured.release()
    finally:
        model.to("cpu")  # type: ignore[arg-type]
