"""Encoded media kept by content: encoded once for a session, and never mistaken for others."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from omni.events import Finished
from omni.generation.loop import GenerationLoop
from omni.generation.session_cache import SessionCache
from omni.media.audio import AudioPiece
from omni.media.image import ImagePatches
from omni.options import GenerationOptions
from omni.prompting.slots import AudioSlot, FrameSlot, ImageSlot, Prompt, Slot
from tests.support.embedding import embed_prompt
from tests.support.golden_model import assert_close, golden_model
from tests.support.scripted import (
    AUDIO_PAD,
    END,
    IMAGE_PAD,
    VIDEO_PLACE,
    ByteTokenizer,
    Picture,
    ScriptedModel,
    Sound,
)

OPTIONS = GenerationOptions(speech=False, seed=1)


def prompt(*values: int, text: int = 5) -> Prompt:
    """Sounds and pictures by their value: below 20 a sound."""
    ids = [AUDIO_PAD if value < 20 else IMAGE_PAD for value in values]
    slots = [
        AudioSlot([Sound(value)]) if value < 20 else ImageSlot(Picture(value)) for value in values
    ]
    return Prompt([*ids, text], tuple(slots))


def calls(turns: Sequence[tuple[Prompt, str | None]], limit: int = 1 << 20) -> list[str]:
    """What the model was asked to encode, turn by turn; a turn is a prompt and its session."""
    model = ScriptedModel([END] * len(turns))
    loop = GenerationLoop(model, ByteTokenizer(), session_cache=SessionCache(limit))
    for asked, session in turns:
        list(loop.run(asked, OPTIONS, session=session))
    return model.calls


def test_known_media_are_not_encoded_again() -> None:
    turns = [(prompt(1, 21), "a"), (prompt(2, 1, 22, 21), "a")]
    assert calls(turns) == ["audio [1]", "images [21]", "audio [2]", "images [22]"]


def test_the_same_twice_in_a_turn_is_encoded_once() -> None:
    assert calls([(prompt(1, 1, 21, 21), None)]) == ["audio [1]", "images [21]"]


@pytest.mark.parametrize("other", ["b", None])
def test_nobody_else_gets_them(other: str | None) -> None:
    assert calls([(prompt(1), "a"), (prompt(1), other)]) == ["audio [1]", "audio [1]"]


def test_without_room_all_are_encoded_again() -> None:
    assert calls([(prompt(1), "a"), (prompt(1), "a")], limit=0) == ["audio [1]", "audio [1]"]


def test_a_clip_s_frames_and_pictures_are_one_batch() -> None:
    model = ScriptedModel([END])
    frames = [FrameSlot(Picture(30 + i)) for i in range(2)]
    slots: tuple[Slot, ...] = (ImageSlot(Picture(21)), *frames)
    asked = Prompt([VIDEO_PLACE, IMAGE_PAD, VIDEO_PLACE, 5], slots)
    list(GenerationLoop(model, ByteTokenizer()).run(asked, OPTIONS, session="a"))
    assert model.calls == ["images [21, 30, 31]"]
    assert model.fed == [30, 21, 31, 5]


def test_what_was_kept_gives_the_same_inputs() -> None:
    model = golden_model()
    source = torch.Generator().manual_seed(1)
    mel = torch.randn(model.config.audio.num_mel_bins, 64, generator=source)
    image = ImagePatches(torch.randn(16, 1176, generator=source), (4, 4))
    pads = model.config.audio.audio_pad_token_id, model.config.visual.image_pad_token_id
    piece = AudioPiece(mel, 32, 8)
    asked = Prompt([*[pads[0]] * 8, *[pads[1]] * 4, 5], (AudioSlot([piece]), ImageSlot(image)))
    from omni.generation.inputs import PromptInputs

    memory = SessionCache()
    memory.begin("a")
    fresh = embed_prompt(model, asked)
    for _ in range(2):
        inputs = PromptInputs(model, asked, lambda: None, (*pads, -1), memory, "a")
        assert_close(inputs.embed(), fresh, 0)
        for start in (1, 7, 8, 9, 12):
            inputs = PromptInputs(model, asked, lambda: None, (*pads, -1), memory, "a")
            assert_close(inputs.embed(start), fresh[:, start:], 0)
    assert memory.bytes > 0


def test_a_stop_is_heard_inside_the_encoder() -> None:
    model = golden_model()
    stop = threading.Event()
    piece = AudioPiece(torch.zeros(model.config.audio.num_mel_bins, 64), 32, 8)
    pad = model.config.audio.audio_pad_token_id
    reached = []
    layers = model.audio_tokenizer.audio_model.layers

    def note(index: int) -> Any:
        def before(*_: Any) -> None:
            reached.append(index)
            stop.set()

        return before

    hooks = [layer.register_forward_pre_hook(note(i)) for i, layer in enumerate(layers)]
    try:
        turn = GenerationLoop(model, ByteTokenizer()).run(
            Prompt([*[pad] * 8, 5], (AudioSlot([piece]),)), OPTIONS, stop
        )
        assert list(turn) == [Finished("stopped", ())]
    finally:
        for hook in hooks:
            hook.remove()
    assert reached == [0] and len(layers) > 1
    assert not any(layer._forward_pre_hooks for layer in layers)
