"""What an answer has said and sounded so far."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omni.conversation import Audio, Message, Text
from omni.dialogue.answer_so_far import AnswerSoFar, Prepared
from omni.errors import MediaError
from omni.events import Progress, SpeechChunk, TextDelta, TurnEnd, TurnStats


def test_text_and_sound_grow() -> None:
    so_far = AnswerSoFar()
    items = (TextDelta("one "), SpeechChunk(np.ones(3, np.int16)), TextDelta("two"))
    for item in (*items, SpeechChunk(np.zeros(2, np.int16))):
        so_far = so_far.plus(item)
    assert so_far.text == "one two"
    assert so_far.samples == 5
    assert np.concatenate(so_far.sounds).tolist() == [1, 1, 1, 0, 0]
    assert so_far.message == Message("assistant", (Text("one two"),))
    assert not so_far.made


def test_an_item_leaves_the_value_before_as_it_was() -> None:
    before = AnswerSoFar().plus(SpeechChunk(np.ones(3, np.int16)))
    before.plus(SpeechChunk(np.ones(3, np.int16))).plus(TextDelta("more"))
    assert before.samples == 3
    assert before.text == ""


def test_the_engine_s_message_is_the_last_word() -> None:
    end = TurnEnd(Message("assistant", (Text("told", (1,)),)), "end", TurnStats())
    so_far = AnswerSoFar().plus(TextDelta("tol")).plus(end)
    assert so_far.message is end.message
    assert so_far.made


def test_an_error_ends_it_and_what_was_said_stays() -> None:
    error = MediaError("image-broken", "{name} is broken.", name="a.png")
    so_far = AnswerSoFar().plus(TextDelta("so")).plus(error)
    assert so_far.made
    assert so_far.error is error
    assert so_far.message.parts == (Text("so"),)


def test_the_question_and_what_is_waited_for() -> None:
    parts = (Audio(Path("a.wav")),)
    so_far = AnswerSoFar().plus(Progress("wait", 0, 2)).plus(Prepared(parts))
    assert so_far.question == parts
    assert so_far.progress == Progress("wait", 0, 2)
    assert so_far.message.parts == ()
    assert not so_far.made
