"""Prompts from parts: what stands where (what is refused: test_prompt_refusals.py)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omni.config import OmniConfig
from omni.conversation import (
    Audio,
    Conversation,
    Image,
    Message,
    Speech,
    SystemPrompt,
    Text,
    Video,
    VoicePrompt,
)
from omni.errors import ConversationError
from omni.prompting.forms import READ_ALOUD_TEXT, TRANSCRIBE_TEXT
from omni.prompting.prompt import PromptBuilder
from omni.prompting.slots import AudioSlot, CodesSlot, FrameSlot, ImageSlot
from omni.prompting.system_text import VOICE_SENTENCE
from omni.prompting.tokenizer import OmniTokenizer
from tests.support.byte_tokenizer import byte_tokenizer
from tests.support.prompt_parts import (
    CODES,
    CONFIG,
    SECOND,
    kinds,
    sentence,
    shown,
    spoken,
    talk,
    user,
    write_media,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> OmniTokenizer:
    return byte_tokenizer(tmp_path_factory.mktemp("tokenizer"), CONFIG)


@pytest.fixture(scope="module")
def builder(tokenizer: OmniTokenizer) -> PromptBuilder:
    return PromptBuilder(tokenizer, CONFIG)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_media(tmp_path_factory.mktemp("media"))


# -- what stands where ------------------------------------------------------------------------


@pytest.mark.parametrize("speech", [True, False])
def test_a_first_turn(builder: PromptBuilder, tokenizer: OmniTokenizer, speech: bool) -> None:
    prompt = builder.build(talk(user(Text("hi")), text="be kind"), speech)
    opening = "<audiotext_start>" if speech else ""
    assert shown(prompt, tokenizer) == f"<B_SYS>be kind<C_Q>hi{opening}<C_A>"
    assert prompt.media == ()
    assert prompt.tokens == len(prompt.ids)


def test_no_system_text(builder: PromptBuilder, tokenizer: OmniTokenizer) -> None:
    assert shown(builder.build(talk(user(Text("hi"))), False), tokenizer) == "<C_Q>hi<C_A>"


def test_media_in_the_order_given(
    builder: PromptBuilder, tokenizer: OmniTokenizer, media: Path
) -> None:
    parts = (
        Text("a"),
        Audio(media / "second.wav"),
        Image(media / "red.png"),
        Text("c"),
        Video(media / "clip.mp4"),
    )
    prompt = builder.build(talk(user(*parts)), False)
    frame = "<img_start><video_palce>*5<img_end>"  # 28 x 140 pixels
    assert shown(prompt, tokenizer) == (
        f"<C_Q>a<audio_start><audio_pad>*{SECOND}<audio_end><img_start><img_pad>*6<img_end>c"
        f"{frame * 3}<C_A>"
    )
    assert kinds(prompt) == [AudioSlot, ImageSlot, FrameSlot, FrameSlot, FrameSlot]
    assert sum(piece.bridge_length for piece in prompt.media[0].pieces) == SECOND
    assert prompt.media[1].image.grid == (4, 6)


def test_a_history_in_speech(builder: PromptBuilder, tokenizer: OmniTokenizer, media: Path) -> None:
    answer = spoken(
        Text("ab", ids=(256,)),
        Speech(CODES),
        Text("c"),
        Speech(path=media / "half.wav"),
        Speech(CODES[:0]),
    )
    conversation = talk(user(Text("x")), answer, user(Audio(media / "half.wav")))
    prompt = builder.build(conversation, True)
    speech = "<audiogen_start><audio_pad>*{}<audiogen_end>".format
    assert shown(prompt, tokenizer) == (
        f"<C_Q>x<audiotext_start><C_A>ab{speech(3)}c{speech(6)}<audiogen_start><audiogen_end>"
        "<C_Q><audio_start><audio_pad>*6<audio_end><audiotext_start><C_A>"
    )
    assert kinds(prompt) == [CodesSlot, AudioSlot, CodesSlot, AudioSlot]
    assert prompt.media[0].codes is CODES


def test_a_history_in_text(builder: PromptBuilder, tokenizer: OmniTokenizer) -> None:
    conversation = talk(user(Text("x")), Message("assistant", (Text("y"),)), user(Text("z")))
    assert shown(builder.build(conversation, False), tokenizer) == "<C_Q>x<C_A>y<C_Q>z<C_A>"


def test_what_was_generated_stands_in_the_history_again(
    builder: PromptBuilder, tokenizer: OmniTokenizer
) -> None:
    """A turn leaves the ids that its history gives: one pad for each frame that was fed."""
    special = tokenizer.special
    question = talk(user(Text("x")))
    first = builder.build(question, True)
    text = tokenizer.encode("y,")
    left = [
        *first.ids,
        *text,
        special.audiogen_start,
        *[special.audio_pad] * len(CODES),
        special.audiogen_end,
    ]
    answer = spoken(Text("y,", ids=tuple(text)), Speech(CODES))
    second = builder.build(question.plus(answer, user(Text("z"))), True)
    assert second.ids[: len(left)] == left


def test_the_same_prompt_twice(builder: PromptBuilder, media: Path) -> None:
    conversation = talk(user(Audio(media / "second.wav"), Image(media / "red.png")))
    one, two = builder.build(conversation, True), builder.build(conversation, True)
    assert one.ids == two.ids
    assert (one.media[0].pieces[0].mel == two.media[0].pieces[0].mel).all()
    assert (one.media[1].image.patches == two.media[1].image.patches).all()


def test_a_pad_that_the_loop_drew_stands_for_nothing(
    builder: PromptBuilder, tokenizer: OmniTokenizer
) -> None:
    special = tokenizer.special
    ids = (97, special.audio_pad, special.image_pad, special.video_place, special.user, 98)
    answer = spoken(Text("ab", ids=ids))
    prompt = builder.build(talk(user(Text("x")), answer, user(Text("z"))), False)
    assert shown(prompt, tokenizer) == "<C_Q>x<audiotext_start><C_A>a<C_Q>b<C_Q>z<C_A>"


# -- the voice ----------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_voice_in_the_system_prompt(
    builder: PromptBuilder, tokenizer: OmniTokenizer, media: Path, language: str
) -> None:
    system = SystemPrompt("be kind", VoicePrompt(media / "second.wav"))
    conversation = Conversation(system, (user(Text("hi")),), language)  # type: ignore[arg-type]
    assert shown(builder.build(conversation, True), tokenizer) == (
        f"<B_SYS>be kind{sentence(VOICE_SENTENCE[language], tokenizer)}"
        f"<audio_start><audio_pad>*{SECOND}<audio_end><C_Q>hi<audiotext_start><C_A>"
    )
    assert VOICE_SENTENCE["en"] == "Answer in the voice of this recording."


def test_a_voice_by_example(builder: PromptBuilder, tokenizer: OmniTokenizer, media: Path) -> None:
    voice = VoicePrompt(media / "second.wav", "example", "  good day ")
    prompt = builder.build(talk(user(Text("hi")), text="s", voice=voice), True)
    request = READ_ALOUD_TEXT["en"].format(transcript="good day")
    assert shown(prompt, tokenizer) == (
        f"<B_SYS>s<C_Q>{request}<audiotext_start><C_A>good day<audiogen_start>"
        f"<audio_pad>*{SECOND}<audiogen_end><C_Q>hi<audiotext_start><C_A>"
    )


@pytest.mark.parametrize("transcript", [None, "", "  "])
def test_an_example_needs_its_transcript(
    builder: PromptBuilder, media: Path, transcript: str | None
) -> None:
    voice = VoicePrompt(media / "second.wav", "example", transcript)
    with pytest.raises(ConversationError) as caught:
        builder.build(talk(user(Text("hi")), voice=voice), True)
    assert caught.value.code == "voice-transcript"


def test_an_answer_in_text_needs_no_voice(
    builder: PromptBuilder, tokenizer: OmniTokenizer, media: Path
) -> None:
    prompt = builder.build(
        talk(user(Text("hi")), text="s", voice=VoicePrompt(media / "second.wav")), False
    )
    assert shown(prompt, tokenizer) == "<B_SYS>s<C_Q>hi<C_A>"


# -- other forms ---------------------------------------------------------------------------------


def test_transcription(builder: PromptBuilder, tokenizer: OmniTokenizer, media: Path) -> None:
    prompt = builder.transcription(media / "second.wav")
    asked = sentence(TRANSCRIBE_TEXT, tokenizer)
    expected = f"{asked}<audio_start><audio_pad>*{SECOND}<audio_end>"
    assert shown(prompt, tokenizer) == expected
    assert TRANSCRIBE_TEXT == "将语音转录为文本:"


def test_reading(builder: PromptBuilder, tokenizer: OmniTokenizer, media: Path) -> None:
    text = "one, two, three, four, five"
    prompts = [shown(prompt, tokenizer) for prompt in builder.reading(text)]
    assert prompts == ["one, two, three,<audiogen_start>", " four, five<audiogen_start>"]
    voice = VoicePrompt(media / "second.wav")
    opened = builder.reading(text, voice)
    assert [shown(prompt, tokenizer) for prompt in opened] == [
        f"<B_SYS>{VOICE_SENTENCE['en']}<audio_start><audio_pad>*{SECOND}<audio_end>{prompts[0]}",
        prompts[1],
    ]
    voice = VoicePrompt(media / "second.wav", "example", "good day")
    assert shown(builder.reading(text, voice)[0], tokenizer) == (
        f"good day<audiogen_start><audio_pad>*{SECOND}<audiogen_end>{prompts[0]}"
    )


def test_real_media(tokenizer: OmniTokenizer) -> None:
    folder = os.environ.get("OMNI_MEDIA")
    if folder is None:
        pytest.skip("set OMNI_MEDIA to a folder of recordings and pictures")
    config = OmniConfig(max_position_embeddings=32_768)
    builder = PromptBuilder(tokenizer, config)
    kind = {".wav": Audio, ".png": Image}
    parts = [kind[path.suffix](path) for path in Path(folder).iterdir() if path.suffix in kind]
    prompt = builder.build(talk(user(*parts)), True)
    assert len(prompt.media) == len(parts)
    pads = sum(token in tokenizer.special.pads for token in prompt.ids)
    rows = 0
    for slot in prompt.media:
        if isinstance(slot, AudioSlot):
            rows += sum(piece.bridge_length for piece in slot.pieces)
        else:
            rows += slot.image.grid[0] * slot.image.grid[1] // 4
    assert pads == rows
