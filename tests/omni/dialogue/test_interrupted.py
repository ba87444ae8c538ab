"""What was heard of an answer that was interrupted."""

from __future__ import annotations

from typing import Any

import numpy as np

from omni.conversation import Message, Speech, Text
from omni.dialogue.interrupted import played_part


def speech(frames: int) -> Speech:
    return Speech(codes=np.zeros((frames, 8), np.int32))


def answer(*parts: Any) -> Message:
    return Message("assistant", parts, spoken=True)


def test_what_was_heard_whole_stays() -> None:
    message = answer(Text("One two.", (1, 2)), speech(25), Text("Three.", (3,)), speech(10))
    cut = played_part(message, 2.8)
    assert cut.parts == message.parts
    assert cut.cut
    assert cut.spoken


def test_the_piece_that_was_being_heard_is_shared_out() -> None:
    message = answer(
        Text("One.", (1,)), speech(25), Text("Alpha beta gamma delta", (3,)), speech(50)
    )
    cut = played_part(message, 4.0)  # 25 frames and 25 of 50
    first, second, text, part = cut.parts
    assert (first, second) == message.parts[:2]
    assert isinstance(text, Text)
    assert isinstance(part, Speech)
    assert text == Text("Alpha beta gamma"[: len(text.text)])
    assert text.text.strip() in ("Alpha beta", "Alpha beta gamma")
    assert part.codes is not None
    assert len(part.codes) == 25


def test_nothing_heard_is_nothing_kept() -> None:
    assert played_part(answer(Text("Hello", (1,)), speech(25)), 0.0).parts == ()


def test_text_without_speech_was_read() -> None:
    message = answer(Text("Hello", (1,)))
    assert played_part(message, 0.0).parts == message.parts


def test_chinese_is_cut_at_a_character() -> None:
    cut = played_part(answer(Text("今天天气很好", (1,)), speech(60)), 2.4)
    assert cut.parts[0] == Text("今天天")
