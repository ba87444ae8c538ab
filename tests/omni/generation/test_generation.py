"""The loop against a scripted model: what is said, fed, kept and lost, and where it ends."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from omni.conversation import Speech, Text
from omni.events import AudioFrame, Finished
from omni.generation.loop import GenerationLoop, GenerationRun
from omni.options import PUBLISHED
from omni.prompting.slots import ImageSlot, Prompt
from tests.support.scripted import (
    DEFAULT,
    END,
    END_FRAME,
    GREEDY,
    IMAGE_PAD,
    PAD,
    PROMPT,
    SPEAK,
    SPOKEN,
    A,
    B,
    ByteTokenizer,
    C,
    Picture,
    ScriptedModel,
    finished,
    history,
    run,
    said,
    start,
    words,
)


def test_text_and_speech_alternate_until_the_text_ends() -> None:
    script = [*said("hi"), SPEAK, A, B, END_FRAME, *said(" you"), SPEAK, C, END_FRAME, END]
    model, turn = start(script)
    events = list(turn)
    assert words(events) == ["hi", A, B, None, " you", C, None, ["end"]]
    expected = [*said("hi"), SPEAK, PAD, PAD, SPOKEN, *said(" you"), SPEAK, PAD, SPOKEN]
    assert turn.ids == (*PROMPT.ids, *expected)
    # Frames are fed as the embeddings of their codes; the end frame and the end of text never.
    frames = [*said("hi"), SPEAK, -1, -2, SPOKEN, *said(" you"), SPEAK, -3, SPOKEN]
    assert model.fed == [*PROMPT.ids, *frames]
    assert not model.script


def test_the_parts_are_the_message_for_the_history() -> None:
    _, turn = start([*said("hi"), SPEAK, A, B, END_FRAME, END])
    events = list(turn)
    text, speech = finished(events).parts
    assert text == Text("hi", tuple(said("hi")))
    assert isinstance(speech, Speech) and speech.codes is not None
    assert speech.codes.dtype == np.int32 and speech.codes.tolist() == [list(A), list(B)]
    assert (*PROMPT.ids, *history((text, speech))) == turn.ids


def test_frames_are_int32_arrays_of_their_own() -> None:
    frames = [e.codes for e in run([SPEAK, A, B, END_FRAME, END]) if isinstance(e, AudioFrame)]
    assert [f.dtype for f in frames] == [np.int32] * 2
    assert [tuple(f) for f in frames] == [A, B]


def test_an_end_of_text_alone_ends_the_turn_in_silence() -> None:
    events = run([END])
    assert events == [Finished("end", ())]


def test_an_end_of_text_behind_text_gets_speech_and_ends_the_turn() -> None:
    model, turn = start([*said("hi"), END, A, END_FRAME])
    assert words(list(turn)) == ["hi", A, None, ["end"]]
    assert turn.ids == (*PROMPT.ids, *said("hi"), SPEAK, PAD, SPOKEN)
    assert model.fed == [*PROMPT.ids, *said("hi"), SPEAK, -1]


def test_text_alone() -> None:
    options = replace(DEFAULT, speech=False)
    model, turn = start([*said("a, b. c"), END], options)
    events = list(turn)
    assert words(events) == ["a, b. c", ["end"]]
    assert finished(events).parts == (Text("a, b. c", tuple(said("a, b. c"))),)
    assert model.fed == [*PROMPT.ids, *said("a, b. c")]


# ---- pauses


def test_a_pause_keeps_the_mark_in_the_context() -> None:
    # The token behind the comma is drawn to see that it is no number, and drawn again later.
    script = [SPEAK, A, END_FRAME, *said("so, "), B, END_FRAME, *said(" on"), END, C, END_FRAME]
    model, turn = start(script)
    assert words(list(turn)) == [A, None, "so,", B, None, " on", C, None, ["end"]]
    assert turn.ids[2:] == (SPEAK, PAD, SPOKEN, *said("so,"), SPEAK, PAD, SPOKEN, *said(" on"),
                            SPEAK, PAD, SPOKEN)  # fmt: skip
    assert model.fed == [*PROMPT.ids, SPEAK, -1, SPOKEN, *said("so,"), SPEAK, -2, SPOKEN,
                         *said(" on"), SPEAK, -3]  # fmt: skip
    assert turn.timings.text_tokens == len("so, on")


def test_numbers_and_abbreviations_are_not_split() -> None:
    text = "e.g. 3,000 or 3.14 for J. Bach"
    script = [SPEAK, A, END_FRAME, *said(text), SPEAK, B, END_FRAME, END]
    assert words(run(script)) == [A, None, text, B, None, ["end"]]


def test_the_first_text_pauses_at_its_own_stops() -> None:
    options = replace(DEFAULT, first_stops=("!",), next_stops=())
    script = [*said("oh! "), A, END_FRAME, *said("no! no"), END, B, END_FRAME]
    assert words(run(script, options)) == ["oh!", A, None, "no! no", B, None, ["end"]]


def test_the_model_may_ask_for_speech_or_end_right_behind_a_mark() -> None:
    script = [SPEAK, END_FRAME, *said("a,"), SPEAK, A, END_FRAME, *said("b."), END, B, END_FRAME]
    assert words(run(script)) == ["a,", A, None, "b.", B, None, ["end"]]


@pytest.mark.parametrize("inside_words", [True, False])
def test_a_cut_token_can_be_lost_as_published(inside_words: bool) -> None:
    options = replace(PUBLISHED, seed=1, stop_inside_words=inside_words)
    ahead = [] if inside_words else said(" ")
    script = [SPEAK, A, END_FRAME, *said("so,"), *ahead, B, END_FRAME, END]
    model, turn = start(script, options)
    events = list(turn)
    assert words(events) == [A, None, "so,", B, None, ["end"]]
    assert turn.ids[2:] == (SPEAK, PAD, SPOKEN, *said("so"), SPEAK, PAD, SPOKEN)
    assert model.fed == [*PROMPT.ids, SPEAK, -1, SPOKEN, *said("so"), SPEAK, -2, SPOKEN]
    # The mark was shown, and the history repeats the context.
    assert finished(events).parts[1] == Text("so,", tuple(said("so")))


def test_the_published_rule_splits_numbers() -> None:
    script = [SPEAK, A, END_FRAME, *said("3,"), B, END_FRAME, *said("00"), END, C, END_FRAME]
    assert words(run(script, PUBLISHED)) == [A, None, "3,", B, None, "00", C, None, ["end"]]


def test_the_published_rule_takes_a_spelled_out_mark_for_the_mark() -> None:
    script = [*said(f"<{SPEAK}>"), A, END_FRAME, END]
    assert words(run(script, PUBLISHED)) == [f"<{SPEAK}>", A, None, ["end"]]
    script = [*said(f"<{SPEAK}>"), SPEAK, A, END_FRAME, END]
    assert words(run(script)) == [f"<{SPEAK}>", A, None, ["end"]]


def test_a_text_call_pauses_at_its_limit() -> None:
    options = replace(DEFAULT, first_text=replace(GREEDY, max_new=3))
    script = [*said("abc"), A, END_FRAME, *said("de"), END, B, END_FRAME]
    assert words(run(script, options)) == ["abc", A, None, "de", B, None, ["end"]]


# ---- speech


def test_speech_that_ends_at_once_is_empty() -> None:
    model, turn = start([*said("a"), SPEAK, END_FRAME, *said("b"), END, A, END_FRAME])
    events = list(turn)
    assert words(events) == ["ab", A, None, ["end"]]
    assert turn.ids == (*PROMPT.ids, *history(finished(events).parts))
    assert model.fed[2:5] == [*said("a"), SPEAK, SPOKEN]
    empty = finished(events).parts[1]
    assert isinstance(empty, Speech) and empty.codes is not None and empty.codes.shape == (0, 2)


@pytest.mark.parametrize("keep", [True, False])
def test_the_frame_at_the_limit_is_heard_and_kept_unless_published(keep: bool) -> None:
    options = replace(DEFAULT, audio=replace(GREEDY, max_new=2), keep_cut_token=keep)
    model, turn = start([*said("a"), SPEAK, A, B, END], options)
    events = list(turn)
    assert words(events) == ["a", A, B, None, ["limit"]]
    assert turn.ids == (*PROMPT.ids, 97, SPEAK, *[PAD] * (1 + keep), SPOKEN)
    assert turn.ids == (*PROMPT.ids, *history(finished(events).parts))
    assert model.fed == [*PROMPT.ids, 97, SPEAK, -1, *[-2] * keep, SPOKEN]


# ---- limits and the stop signal


def test_a_text_that_the_limit_cuts_is_told_unless_it_goes_on() -> None:
    options = replace(DEFAULT, first_text=replace(GREEDY, max_new=2))
    cut = [*said("ab"), A, END_FRAME, END]
    assert words(run(cut, options)) == ["ab", A, None, ["limit"]]
    goes_on = [*said("ab"), A, END_FRAME, *said("c"), END, B, END_FRAME]
    assert words(run(goes_on, options)) == ["ab", A, None, "c", B, None, ["end"]]


def test_rounds_are_limited() -> None:
    options = replace(DEFAULT, max_rounds=2)
    script = [SPEAK, A, END_FRAME, SPEAK, B, END_FRAME]
    assert words(run(script, options)) == [A, None, B, None, ["limit"]]


def test_text_alone_is_limited() -> None:
    options = replace(DEFAULT, speech=False, text_only=replace(GREEDY, max_new=2))
    events = run(said("abc"), options)
    assert words(events) == ["ab", ["limit"]]
    assert finished(events).parts == (Text("ab", tuple(said("ab"))),)


@pytest.mark.parametrize("room", range(9))
def test_the_context_is_never_overrun(room: int) -> None:
    script = [*said("ab"), SPEAK, A, B, END_FRAME, *said("c"), END, A, END_FRAME]
    model, turn = start(script, max_context=len(PROMPT.ids) + room)
    events = list(turn)
    assert finished(events).reason == "limit"
    assert len(model.fed) == len(PROMPT.ids) + room
    assert turn.ids == (*PROMPT.ids, *history(finished(events).parts))


def test_a_prompt_beyond_the_context_is_not_even_encoded() -> None:
    model = ScriptedModel([])
    prompt = Prompt([IMAGE_PAD, IMAGE_PAD], (ImageSlot(Picture(7)), ImageSlot(Picture(8))))
    turn = GenerationLoop(model, ByteTokenizer(), max_context=1).run(prompt, DEFAULT)
    assert list(turn) == [Finished("limit", ())]
    assert model.calls == [] and model.fed == []


def stopped_at(script: list[Any], count: int) -> tuple[GenerationRun, list[Any]]:
    """Stops after ``count`` events."""
    stop = threading.Event()
    _, turn = start(script, stop=stop)
    events = []
    for event in turn:
        events.append(event)
        if len(events) == count:
            stop.set()
    return turn, events


@pytest.mark.parametrize("count", range(1, 7))
def test_a_stop_ends_the_turn_before_the_next_step(count: int) -> None:
    script = [*said("ab"), SPEAK, A, B, END_FRAME, *said("c"), END, A, END_FRAME]
    turn, events = stopped_at(script, count)
    assert len(events) == count + 1
    assert finished(events).reason == "stopped"
    whole = run([*said("ab"), SPEAK, A, B, END_FRAME, *said("c"), END, A, END_FRAME])
    assert words(events[:-1]) == words(whole[:count])
    assert turn.ids == (*PROMPT.ids, *history(finished(events).parts))
    frames = sum(isinstance(event, AudioFrame) for event in events)
    kept = [p.codes for p in finished(events).parts if isinstance(p, Speech)]
    assert sum(len(codes) for codes in kept if codes is not None) == frames


def test_a_stop_before_the_first_step_feeds_nothing() -> None:
    stop = threading.Event()
    stop.set()
    model, turn = start([*said("ab")], stop=stop)
    assert list(turn) == [Finished("stopped", ())]
    assert model.fed == []


def test_a_stop_while_media_are_encoded_ends_the_turn() -> None:
    stop = threading.Event()
    model = ScriptedModel([])
    encode = model.encode_images

    def encode_then_stop(images: Any) -> Any:
        stop.set()
        return encode(images)

    model.encode_images = encode_then_stop  # type: ignore[method-assign]
    prompt = Prompt([IMAGE_PAD, IMAGE_PAD], (ImageSlot(Picture(7)), ImageSlot(Picture(8))))
    turn = GenerationLoop(model, ByteTokenizer()).run(prompt, DEFAULT, stop)
    assert list(turn) == [Finished("stopped", ())]
    assert model.calls == ["images [7, 8]"] and model.fed == []


def test_closing_ends_the_work() -> None:
    model, turn = start([*said("ab"), END])
    next(turn)
    turn.close()
    assert list(turn) == [] and len(model.script) == 2
