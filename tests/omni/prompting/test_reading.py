"""Where a text is split to be read aloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni.config import OmniConfig
from omni.conversation import Conversation, Message, SystemPrompt, Text, VoicePrompt
from omni.prompting.prompt import PromptBuilder
from omni.prompting.reading import MAX_CHARACTERS, reading_pieces
from omni.prompting.tokenizer import OmniTokenizer
from tests.support.golden_set import GoldenSet


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        (" \n", []),
        ("short", ["short"]),
        (
            "你好，我是一个人工智能助手，很高兴认识你！",
            ["你好，我是一个人工智能助手，", "很高兴认识你！"],
        ),
        ("0123456789,x", ["0123456789,", "x"]),
        ("012345678,x", ["012345678,x"]),  # ten characters are not more than ten
        ("Is it? Yes! It is; really: so", ["Is it? Yes!", " It is; really:", " so"]),
        ("no pause. at all. in this text", ["no pause. at all. in this text"]),
        ("a,b,c,d,e,f,g,h", ["a,b,c,d,e,f,", "g,h"]),
        ("hello there,   ", ["hello there,"]),
    ],
)
def test_reading_pieces(text: str, pieces: list[str]) -> None:
    assert reading_pieces(text) == pieces


@pytest.mark.parametrize(
    "text",
    ["Well. This is it. " * 60, "word " * 300, "x" * 1000, "字" * 999, "A line\n" * 99],
)
def test_long_pieces_are_split_and_nothing_is_lost(text: str) -> None:
    pieces = reading_pieces(text)
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= MAX_CHARACTERS
    assert min(map(len, pieces[:-1])) > MAX_CHARACTERS / 2


def test_a_manner_asks_in_a_conversation(builder: PromptBuilder) -> None:
    text = "Is it? Yes! It is; really: so"
    first, *others = builder.reading(text, manner="Speak slowly.")
    asked = Message("user", (Text(f"Read this aloud: {text}"),))
    conversation = Conversation(SystemPrompt("Speak slowly."), (asked,))
    plain = builder.reading(text)
    assert first.ids == builder.build(conversation, speech=True).ids + plain[0].ids
    assert [piece.ids for piece in others] == [piece.ids for piece in plain[1:]]


def test_a_manner_and_a_voice(builder: PromptBuilder, media: Path) -> None:
    for voice in (
        VoicePrompt(media / "second.wav"),
        VoicePrompt(media / "second.wav", "example", "Hi."),
    ):
        first, *_ = builder.reading("你好", voice, "zh", "请说慢一点。")
        asked = Message("user", (Text("请朗读：你好"),))
        system = SystemPrompt("请说慢一点。", voice)
        whole = builder.build(Conversation(system, (asked,), "zh"), speech=True)
        assert first.ids[: len(whole.ids)] == whole.ids
        assert len(first.media) == len(whole.media) == 1


def test_the_published_pieces(golden: GoldenSet, golden_tokenizer: Path) -> None:
    """What the published reader was given, piece by piece."""
    trace = golden.json("generation")["traces"].get("tts_two_pieces")
    if trace is None:
        pytest.skip("this golden set has no trace of the reader")
    config = OmniConfig.from_pretrained(golden.checkpoint)
    builder = PromptBuilder(OmniTokenizer.from_folder(golden_tokenizer), config)
    for prompt, ids in zip(trace["prompts"], trace["piece_ids"], strict=True):
        text = prompt.removesuffix("<audiogen_start_baichuan>")
        assert builder.reading(text)[0].ids == ids
