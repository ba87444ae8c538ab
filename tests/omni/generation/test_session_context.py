"""What a session keeps of its context: used where it is equal, and equal to computing it again."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from omni.conversation import Speech, Text
from omni.events import AudioFrame, Finished
from omni.generation.decoding import ModelRunner
from omni.generation.loop import GenerationLoop, GenerationRun
from omni.generation.session_cache import SessionCache
from omni.media.image import ImagePatches
from omni.model.layers.key_values import KeyValues
from omni.options import GenerationOptions, Sampling
from omni.prompting.slots import CodesSlot, ImageSlot, Prompt
from tests.support.embedding import embed_prompt
from tests.support.golden_model import ATOL, assert_close, golden_model
from tests.support.scripted import END, SPEAK, SPOKEN, ByteTokenizer

GREEDY = Sampling(1.0, 0, 1.0, 1.0, 6, greedy=True)
OPTIONS = GenerationOptions(
    first_text=GREEDY,
    next_text=GREEDY,
    text_only=GREEDY,
    audio=replace(GREEDY, max_new=5),
    max_rounds=2,
    next_stops=(),
    seed=3,
)
TEXT = [104, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100]


class Bytes(ByteTokenizer):
    """Bytes for text, and the golden model's own pads, so that it can embed what is spoken."""

    def __init__(self) -> None:
        config = golden_model().config
        pads = {
            "audio_pad": config.audio.audio_pad_token_id,
            "image_pad": config.visual.image_pad_token_id,
            "video_place": config.video.video_place_token_id,
        }
        self.special = SimpleNamespace(**{**vars(ByteTokenizer.special), **pads})

    def piece(self, token: int) -> str:
        return super().piece(token) if token <= END else "<pad>"


@pytest.fixture
def loop() -> GenerationLoop:
    return GenerationLoop(golden_model(), Bytes())


def picture(seed: int) -> ImagePatches:
    source = torch.Generator().manual_seed(seed)
    return ImagePatches(torch.randn(16, 1176, generator=source), (4, 4))


def shown(loop: GenerationLoop, *pictures: ImagePatches, text: list[int] = TEXT) -> Prompt:
    pad = loop.tokenizer.special.image_pad
    ids = [*[pad] * (4 * len(pictures)), *text]
    return Prompt(ids, tuple(ImageSlot(image) for image in pictures))


def history(loop: GenerationLoop, prompt: Prompt, done: Finished, said: list[int]) -> Prompt:
    """The prompt of the next turn: all that was, and ``said``."""
    ids, media = list(prompt.ids), list(prompt.media)
    for part in done.parts:
        if isinstance(part, Text):
            ids += part.ids or ()
        else:
            assert isinstance(part, Speech) and part.codes is not None
            pads = [loop.tokenizer.special.audio_pad] * len(part.codes)
            ids += [SPEAK, *pads, SPOKEN]
            media.append(CodesSlot(part.codes))
    return Prompt(ids + said, tuple(media))


def told(turn: GenerationRun) -> tuple[list[Any], Finished]:
    """Everything that was said, as plain values."""
    events = list(turn)
    done = events[-1]
    assert isinstance(done, Finished)
    said: list[Any] = [part.ids for part in done.parts if isinstance(part, Text)]
    return said + [event.codes.tolist() for event in events if isinstance(event, AudioFrame)], done


def two_turns(
    loop: GenerationLoop, prompt: Prompt, said: list[int]
) -> tuple[Prompt, GenerationRun]:
    """The next prompt, and its turn in the same session, not yet begun."""
    _, done = told(loop.run(prompt, OPTIONS, session="a"))
    following = history(loop, prompt, done, said)
    return following, loop.run(following, OPTIONS, session="a")


def test_a_new_turn_computes_just_what_is_new_and_says_the_same(loop: GenerationLoop) -> None:
    prompt = shown(loop, picture(1))
    following, turn = two_turns(loop, prompt, [32, 97, 98])
    again, _ = told(turn)
    fresh, _ = told(loop.run(following, OPTIONS))
    assert again == fresh
    # Three new ids, and what the first turn ended with, which was never fed.
    assert len(following.ids) - 6 <= turn.timings.cached_tokens < len(following.ids) - 2
    assert any(isinstance(said, list) for said in fresh)  # frames were compared too


def test_states_of_a_resumed_context_equal_those_of_a_fresh_one(loop: GenerationLoop) -> None:
    model = golden_model()
    following, _ = two_turns(loop, shown(loop, picture(1)), [32, 97])
    embeds = embed_prompt(model, following)
    want = ModelRunner(model).prefill(embeds)
    past = loop.session_cache.take("a", "context")
    resumed = ModelRunner(model)
    resumed.resume(past.values)
    start = past.common(turn_keys(loop, following))
    assert start > len(following.ids) - 6
    resumed.crop(start)
    have = resumed.prefill(embeds[:, start:])
    assert_close(have, want, ATOL)
    with torch.inference_mode():
        assert_close(model.lm_head(have), model.lm_head(want), ATOL)


def turn_keys(loop: GenerationLoop, prompt: Prompt) -> list[Any]:
    from omni.generation.inputs import PromptInputs

    special = loop.tokenizer.special
    pads = special.audio_pad, special.image_pad, special.video_place
    return PromptInputs(loop.model, prompt, lambda: None, pads).keys()


def test_another_picture_under_the_same_pads_is_another_context(loop: GenerationLoop) -> None:
    told(loop.run(shown(loop, picture(1), picture(2)), OPTIONS, session="a"))
    other = shown(loop, picture(1), picture(3))
    turn = loop.run(other, OPTIONS, session="a")
    assert told(turn)[0] == told(loop.run(other, OPTIONS))[0]
    assert turn.timings.cached_tokens == 4  # the first picture


def test_other_codes_under_the_same_pads_are_another_context(loop: GenerationLoop) -> None:
    pad = loop.tokenizer.special.audio_pad
    codes = np.zeros((3, golden_model().config.audio.num_codebooks), np.int32)
    prompt = Prompt([104, pad, pad, pad, 105], (CodesSlot(codes),))
    told(loop.run(prompt, OPTIONS, session="a"))
    changed = codes.copy()
    changed[1, -1] = 1
    turn = loop.run(Prompt(prompt.ids, (CodesSlot(changed),)), OPTIONS, session="a")
    told(turn)
    assert turn.timings.cached_tokens == 2


def test_the_last_id_is_always_computed(loop: GenerationLoop) -> None:
    prompt = Prompt(TEXT)
    first, _ = told(loop.run(prompt, OPTIONS, session="a"))
    turn = loop.run(prompt, OPTIONS, session="a")
    assert told(turn)[0] == first
    assert turn.timings.cached_tokens == len(TEXT) - 1


def test_sessions_do_not_see_each_other(loop: GenerationLoop) -> None:
    told(loop.run(Prompt(TEXT), OPTIONS, session="a"))
    other = loop.run(Prompt(TEXT), OPTIONS, session="b")
    told(other)
    nobody = loop.run(Prompt(TEXT), OPTIONS)
    told(nobody)
    assert (other.timings.cached_tokens, nobody.timings.cached_tokens) == (0, 0)


@pytest.mark.parametrize("how", ["stopped", "closed"])
def test_a_turn_cut_short_leaves_what_it_computed(loop: GenerationLoop, how: str) -> None:
    stop = threading.Event()
    turn = loop.run(Prompt(TEXT), OPTIONS, stop, session="a")
    next(turn)
    if how == "closed":
        turn.close()
    else:
        stop.set()
        list(turn)
    following = loop.run(Prompt([*TEXT, 32]), OPTIONS, session="a")
    fresh, _ = told(loop.run(Prompt([*TEXT, 32]), OPTIONS))
    assert told(following)[0] == fresh
    assert following.timings.cached_tokens >= len(TEXT) - 1


def test_an_error_leaves_nothing(loop: GenerationLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    told(loop.run(Prompt(TEXT), OPTIONS, session="a"))

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(golden_model().lm_head, "forward", fail)
        with pytest.raises(RuntimeError, match="broken"):
            list(loop.run(Prompt(TEXT), OPTIONS, session="a"))
    assert loop.session_cache.bytes == 0


def test_a_session_forgotten_during_its_turn_keeps_nothing(loop: GenerationLoop) -> None:
    turn = loop.run(Prompt(TEXT), OPTIONS, session="a")
    next(turn)
    loop.session_cache.forget("a")
    list(turn)
    assert loop.session_cache.bytes == 0


def test_memory_stays_within_its_bound_and_drops_who_came_first() -> None:
    size = context_bytes(golden_model(), 256)
    loop = GenerationLoop(golden_model(), Bytes(), session_cache=SessionCache(2 * size))
    reused = []
    for session in ("a", "b", "a", "c", "a", "b"):
        turn = loop.run(Prompt(TEXT), OPTIONS, session=session)
        told(turn)
        reused.append(turn.timings.cached_tokens > 0)
        assert loop.session_cache.bytes <= 2 * size
    assert reused == [False, False, True, False, True, False]


def context_bytes(model: Any, positions: int) -> int:
    """Bytes of a context of ``positions``."""
    config = model.config
    return (
        2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4 * positions
    )


def test_no_bytes_keep_nothing() -> None:
    loop = GenerationLoop(golden_model(), Bytes(), session_cache=SessionCache(0))
    for _ in range(2):
        turn = loop.run(Prompt(TEXT), OPTIONS, session="a")
        told(turn)
        assert turn.timings.cached_tokens == 0
    assert loop.session_cache.bytes == 0


# ---- the cache of keys and values itself


def rows(seed: int, count: int) -> torch.Tensor:
    return torch.randn(1, 2, count, 4, generator=torch.Generator().manual_seed(seed))


def test_keys_grow_crop_and_trim_without_changing() -> None:
    past = KeyValues(1, capacity=1)
    written = [rows(seed, count) for seed, count in enumerate((1, 200, 1, 300, 1))]
    for new in written:
        past.reserve(new.shape[2])
        key, value = past.update(new, -new, 0)
        past.advance(new.shape[2])
    whole = torch.cat(written, dim=2)
    assert torch.equal(key, whole) and torch.equal(value, -whole)
    past.crop(150)
    past.trim()
    assert (past.length, past.capacity) == (150, 256)
    past.reserve(1)
    key, _ = past.update(rows(9, 1), rows(9, 1), 0)
    assert torch.equal(key[:, :, :150], whole[:, :, :150])
    key = key.clone()
    twin = past.copy()
    past.crop(0)
    past.update(rows(8, 1), rows(8, 1), 0)
    assert torch.equal(twin.update(rows(9, 1), rows(9, 1), 0)[0], key)


def test_what_was_prepared_is_not_read_again(loop: GenerationLoop) -> None:
    context = [*TEXT, *TEXT]
    image = picture(1)
    asked = shown(loop, image, text=[*context, 63])
    ready = shown(loop, image, text=[*context, 46])
    (done,) = loop.prepare(ready, None, "me")
    assert done == Finished("end", ())
    turn = loop.run(asked, OPTIONS, session="me")
    prepared = told(turn)
    assert turn.timings.cached_tokens == len(asked.ids) - 1
    plain = told(loop.run(asked, OPTIONS))
    assert prepared[0] == plain[0]


def test_preparing_can_be_stopped(loop: GenerationLoop) -> None:
    stop = threading.Event()
    stop.set()
    (done,) = loop.prepare(shown(loop, picture(1)), stop, "me")
    assert done == Finished("stopped", ())
