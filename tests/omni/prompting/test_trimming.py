"""Conversations that do not fit: which messages go, and that the rest is the usual prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from omni.conversation import Audio, Conversation, Image, Message, Speech, Text, VoicePrompt
from omni.errors import ConversationError, MediaError
from omni.prompting.prompt import PromptBuilder
from omni.prompting.trimming import KEPT_SHARE, answer_room, fitting
from tests.support.byte_tokenizer import byte_tokenizer
from tests.support.prompt_parts import CODES, CONFIG, spoken, talk, user, write_media

LIMIT = 400
BUDGET = LIMIT - answer_room(LIMIT)

Make = Callable[[int], PromptBuilder]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    tokenizer = byte_tokenizer(tmp_path_factory.mktemp("tokenizer"), CONFIG)
    return lambda limit: PromptBuilder(tokenizer, CONFIG, limit)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_media(tmp_path_factory.mktemp("media"))


def exchange(number: int) -> tuple[Message, Message]:
    return user(Text(f"question {number:03d}")), Message(
        "assistant", (Text(f"reply {number:03d}"),)
    )


def long_talk(exchanges: int) -> Conversation:
    messages = [message for number in range(exchanges) for message in exchange(number)]
    return talk(*messages, user(Text("and now?")), text="be kind")


def without(conversation: Conversation, messages: int) -> Conversation:
    return replace(conversation, messages=conversation.messages[messages:])


def test_what_fits_is_the_usual_prompt(make: Make, media: Path) -> None:
    conversation = talk(
        user(Image(media / "red.png"), Text("what?")),
        spoken(Text("a"), Speech(CODES)),
        user(Audio(media / "second.wav")),
        text="be kind",
    )
    conversation = replace(
        conversation,
        system=replace(conversation.system, voice=VoicePrompt(media / "second.wav")),
    )
    for speech in (True, False):
        usual, fit = (
            make(4000).build(conversation, speech),
            fitting(make(4000), conversation, speech),
        )
        assert fit.forgotten == 0
        assert fit.prompt.ids == usual.ids
        assert [type(slot) for slot in fit.prompt.media] == [type(slot) for slot in usual.media]


def test_the_first_exchanges_go_and_leave_room_for_the_answer(make: Make) -> None:
    conversation = long_talk(30)
    assert make(100_000).build(conversation, False).tokens > LIMIT
    fit = fitting(make(LIMIT), conversation, False)
    assert fit.forgotten > 0
    assert fit.forgotten % 2 == 0
    assert fit.prompt.ids == make(LIMIT).build(without(conversation, fit.forgotten), False).ids
    assert fit.prompt.tokens <= BUDGET * KEPT_SHARE
    one_more = make(LIMIT).build(without(conversation, fit.forgotten - 2), False)
    assert one_more.tokens > BUDGET * KEPT_SHARE  # no more went than was to go


def test_after_that_nothing_goes_for_some_turns(make: Make) -> None:
    conversation = long_talk(30)
    left = without(conversation, fitting(make(LIMIT), conversation, False).forgotten)
    for number in range(3):
        left = left.plus(exchange(number)[1], user(Text("go on")))
        assert fitting(make(LIMIT), left, False).forgotten == 0


def test_a_conversation_that_just_fits_stays_whole(make: Make) -> None:
    conversation = long_talk(5)
    tokens = make(LIMIT).build(conversation, False).tokens
    limit = next(limit for limit in range(1, 1000) if limit - answer_room(limit) == tokens)
    assert fitting(make(limit), conversation, False).forgotten == 0
    assert fitting(make(limit - 1), conversation, False).forgotten > 0


def test_what_is_left_out_is_not_opened(make: Make) -> None:
    conversation = long_talk(30)
    missing = user(Image(Path("no such picture.png")))
    first = replace(conversation, messages=(missing, *conversation.messages[1:]))
    assert fitting(make(LIMIT), first, False).forgotten > 0
    recent = replace(
        conversation, messages=(*conversation.messages[:-3], missing, *exchange(1)[::-1])
    )
    with pytest.raises(MediaError):
        fitting(make(LIMIT), recent, False)


def test_an_old_message_longer_than_the_context_goes(make: Make) -> None:
    conversation = talk(user(Text("x" * 500)), exchange(0)[1], *exchange(1), user(Text("and?")))
    fit = fitting(make(LIMIT), conversation, False)
    assert fit.forgotten == 2


def test_a_last_message_that_needs_the_room_of_the_answer_is_read_alone(make: Make) -> None:
    conversation = talk(*exchange(0), user(Text("x" * 350)), text="be kind")
    assert fitting(make(LIMIT), conversation, False).forgotten == 2


def test_a_last_message_longer_than_the_context_is_told(make: Make) -> None:
    for length in (LIMIT - 8, LIMIT, 500):
        with pytest.raises(ConversationError) as caught:
            fitting(
                make(LIMIT), talk(*exchange(0), user(Text("x" * length)), text="be kind"), False
            )
        assert caught.value.code == "conversation-long"


def test_nothing_said_is_told_first(make: Make) -> None:
    with pytest.raises(ConversationError) as caught:
        fitting(make(LIMIT), talk(user(Text(" "))), True)
    assert caught.value.code == "nothing-said"


def test_room_for_the_answer() -> None:
    assert answer_room(32_768) == 1024
    assert answer_room(512) == 128
