"""What the loop may draw and shows, its other modes, its inputs and its clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from omni.conversation import Text
from omni.events import TextDelta
from omni.generation.loop import GenerationLoop
from omni.options import PUBLISHED, READING, TRANSCRIBING, GenerationOptions, Sampling
from omni.prompting.slots import AudioSlot, CodesSlot, FrameSlot, ImageSlot, Prompt, Slot
from tests.support.scripted import (
    AUDIO_PAD,
    DEFAULT,
    END,
    END_FRAME,
    GREEDY,
    IMAGE_PAD,
    OTHER,
    PAD,
    PROMPT,
    ROWS,
    SIZE,
    SPEAK,
    SPOKEN,
    VIDEO_PLACE,
    A,
    B,
    ByteTokenizer,
    C,
    Picture,
    ScriptedModel,
    Sound,
    finished,
    said,
    start,
    words,
)

# ---- what can be drawn


def drawn_instead(wanted: int, options: GenerationOptions) -> int:
    """What is drawn first when the model likes ``wanted`` best and the letter x next."""
    speaks = [END_FRAME] if wanted == SPEAK and options.speech else []
    _, turn = start([[wanted, 120], *speaks, END, END_FRAME], options)
    list(turn)
    return turn.ids[len(PROMPT.ids)]


@pytest.mark.parametrize("special", [OTHER, PAD, IMAGE_PAD, VIDEO_PLACE, SPOKEN, SIZE, ROWS - 1])
def test_ids_without_sense_are_never_drawn(special: int) -> None:
    assert drawn_instead(special, DEFAULT) == 120
    assert drawn_instead(special, replace(DEFAULT, speech=False)) == 120


def test_the_mark_of_speech_is_drawn_where_speech_is_wanted() -> None:
    assert drawn_instead(SPEAK, DEFAULT) == SPEAK
    assert drawn_instead(SPEAK, replace(DEFAULT, speech=False)) == 120


@pytest.mark.parametrize("special", [PAD, IMAGE_PAD, VIDEO_PLACE, SIZE])
def test_without_the_mask_what_cannot_be_fed_is_still_not_drawn(special: int) -> None:
    assert drawn_instead(special, PUBLISHED) == 120


def test_without_the_mask_other_specials_are_drawn_but_not_shown() -> None:
    _, turn = start([97, OTHER, 98, END, END_FRAME], PUBLISHED)
    events = list(turn)
    assert words(events) == ["ab", ["end"]]
    assert finished(events).parts[0] == Text("ab", (97, OTHER, 98))


# ---- text as it is shown


def test_only_whole_characters_are_shown() -> None:
    text = "né 好🙂"
    _, turn = start([*said(text), END, END_FRAME])
    deltas = [event.text for event in turn if isinstance(event, TextDelta)]
    assert deltas == list(text)


def test_a_character_that_a_limit_divides_is_shown_once_it_is_whole() -> None:
    options = replace(DEFAULT, first_text=replace(GREEDY, max_new=2))
    first, second, third = said("好")
    _, turn = start([first, second, A, END_FRAME, third, END, B, END_FRAME], options)
    events = list(turn)
    assert words(events) == [A, None, "好", B, None, ["end"]]
    texts = [part for part in finished(events).parts if isinstance(part, Text)]
    assert texts == [Text("", (first, second)), Text("好", (third,))]


# ---- draws


def test_a_seed_repeats_a_turn() -> None:
    flat = Sampling(1.0, 0, 1.0, 1.0, 20)
    options = GenerationOptions(first_text=flat, text_only=flat, speech=False)

    def ids(seed: int | None) -> tuple[tuple[int, ...], int]:
        _, turn = start([], replace(options, seed=seed))
        turn._model.lm_head = lambda hidden: torch.zeros(1, ROWS)
        list(turn)
        return turn.ids, turn.seed

    assert ids(3) == ids(3)
    assert ids(3)[0] != ids(4)[0]
    fresh, seed = ids(None)
    assert ids(seed) == (fresh, seed)


def test_the_penalty_of_text_counts_the_whole_context() -> None:
    model, turn = start([])
    strong = Sampling(1.0, 0, 1.0, 4.0, 3, greedy=True)
    turn._options = replace(DEFAULT, speech=False, text_only=strong)
    scores = torch.zeros(1, ROWS)
    scores[0, :108] = torch.arange(108) * 0.001 + 1
    scores[0, 104], scores[0, 105] = 3.0, 3.5  # in the prompt
    model.lm_head = lambda hidden: scores  # type: ignore[method-assign]
    list(turn)
    assert turn.ids[2:] == (107, 106, 103)


def test_the_penalty_of_speech_counts_its_own_call_and_codebook() -> None:
    strong = Sampling(1.0, 0, 1.0, 4.0, 2, greedy=True)
    model, turn = start([], replace(DEFAULT, audio=strong, max_rounds=2))
    texts: Iterator[int] = iter([SPEAK, SPEAK])
    model.lm_head = lambda hidden: preferred_text(next(texts))  # type: ignore[method-assign]

    def frame(hidden: torch.Tensor, pick: Any) -> torch.Tensor:
        first = pick(0, torch.tensor([[1.0, 3.0, 2.0, 1.0, 0.0]]))
        second = pick(1, torch.tensor([[1.0, 3.0, 2.0]]))
        return torch.stack([first, second], dim=1)

    model.audio_head.generate = frame
    assert words(list(turn)) == [(1, 1), (2, 2), None, (1, 1), (2, 2), None, ["limit"]]


def preferred_text(token: int) -> torch.Tensor:
    scores = torch.zeros(1, ROWS)
    scores[0, token] = 100.0
    return scores


# ---- the other modes


def test_transcription_is_one_text_call() -> None:
    model = ScriptedModel([*said("a, b. "), END])
    turn = GenerationLoop(model, ByteTokenizer()).transcribe(PROMPT)
    events = list(turn)
    assert words(events) == ["a, b. ", ["end"]]
    assert TRANSCRIBING.text_only.greedy and not TRANSCRIBING.speech


@pytest.mark.parametrize("keep", [True, False])
def test_reading_aloud_goes_on_from_piece_to_piece(keep: bool) -> None:
    model = ScriptedModel([A, B, C, C, END_FRAME])
    options = replace(READING, audio=replace(GREEDY, max_new=3), keep_cut_token=keep)
    prompts = [Prompt([*said("ab"), SPEAK]), Prompt([*said("c"), SPEAK])]
    turn = GenerationLoop(model, ByteTokenizer()).read_aloud(prompts, options)
    assert words(list(turn)) == [A, B, C, None, C, None, ["limit"]]
    first = [*said("ab"), SPEAK, *[PAD] * (2 + keep), SPOKEN]
    assert turn.ids == (*first, *said("c"), SPEAK, PAD, SPOKEN)
    fed = [-1, -2, -3][: 2 + keep]
    assert model.fed == [*said("ab"), SPEAK, *fed, SPOKEN, *said("c"), SPEAK, -3]


def test_reading_aloud_ends_where_the_pieces_end() -> None:
    model = ScriptedModel([A, END_FRAME])
    turn = GenerationLoop(model, ByteTokenizer()).read_aloud([Prompt([*said("ab"), SPEAK])])
    assert words(list(turn)) == [A, None, ["end"]]


# ---- inputs and timings


def test_media_are_encoded_in_order_and_fed() -> None:
    model = ScriptedModel([END])
    ids = [AUDIO_PAD, AUDIO_PAD, IMAGE_PAD, *[VIDEO_PLACE] * 9, AUDIO_PAD, 5]
    media: tuple[Slot, ...] = (
        AudioSlot([Sound(1), Sound(2)]),
        ImageSlot(Picture(21)),
        *[FrameSlot(Picture(30 + i)) for i in range(9)],
        CodesSlot(np.array([[3, 1]], np.int32)),
    )
    list(GenerationLoop(model, ByteTokenizer()).run(Prompt(ids, media), DEFAULT))
    assert model.fed == [-2, -3, 21, *range(30, 39), -4, 5]
    assert model.calls == [
        "audio [1, 2]",
        "images [21, 30, 31, 32, 33, 34, 35, 36, 37, 38]",
    ]


def test_timings_tell_the_phases_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(n) for n in range(100))
    monkeypatch.setattr("omni.generation.decoding.time.perf_counter", lambda: next(clock))
    _, turn = start([*said("hi"), SPEAK, A, B, END_FRAME, END])
    list(turn)
    timings = turn.timings
    # Each step reads the clock twice; one for the prompt's first token, four more of text.
    assert (timings.encode_s, timings.prefill_s, timings.text_s, timings.audio_s) == (1, 1, 3, 3)
    assert (timings.prompt_tokens, timings.text_tokens, timings.audio_frames) == (2, 2, 2)


def test_the_consumer_s_time_is_in_no_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("omni.generation.decoding.time.perf_counter", lambda: now[0])
    _, turn = start([*said("hi"), SPEAK, A, B, END_FRAME, END])
    for _event in turn:
        now[0] += 10.0
    assert turn.timings.text_s == turn.timings.audio_s == turn.timings.prefill_s == 0.0


def test_the_loop_does_not_leave_inference_mode_on() -> None:
    _, turn = start([*said("hi"), SPEAK, A, END_FRAME, END])
    for _event in turn:
        assert not torch.is_inference_mode_enabled()
