"""A conversation that is longer than the context: the oldest exchanges are left out.

Knows: how much room an answer needs, which messages go first.
Does not know: how a prompt is written (:mod:`omni.prompting.prompt`), what is generated.

The system prompt and the last message stay, whatever they take. When something has to go, more
goes than must: the front of the prompt then stays the same for some turns, and with it whatever
was computed for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from omni.conversation import Conversation, Message
from omni.errors import ConversationError
from omni.prompting.prompt import PromptBuilder, check_said
from omni.prompting.slots import Prompt
from omni.prompting.writer import too_long

ANSWER_TOKENS = 1024  # room for an answer: 80 s of speech, or 500 words
ANSWER_SHARE = 0.25  # of the context at most, for models with a small one
KEPT_SHARE = 0.75  # of what fits, when something has to go


@dataclass(frozen=True)
class Fitting:
    """A prompt that leaves room for the answer, and how many of the first messages it lacks."""

    prompt: Prompt
    forgotten: int = 0


def answer_room(max_tokens: int) -> int:
    """Tokens of a context of ``max_tokens`` that are kept free for the answer."""
    return min(ANSWER_TOKENS, int(max_tokens * ANSWER_SHARE))


def fitting(builder: PromptBuilder, conversation: Conversation, speech: bool) -> Fitting:
    """The prompt of ``conversation``, without its first exchanges where there is no room.

    It is read from its end, so that the media of what is left out are not even opened.

    Raises:
        ConversationError: ``conversation-long``, the last message alone is too long.
        MediaError: a file cannot be used.
    """
    check_said(conversation)
    budget = builder.max_tokens - answer_room(builder.max_tokens)
    head = builder.opening(conversation, speech)
    tail = builder.invitation(speech)
    *earlier, last = _exchanges(conversation.messages)
    kept = [_written(builder, last)]
    used = head.tokens + kept[0].tokens + tail.tokens
    if used > builder.max_tokens:
        raise too_long(used, builder.max_tokens)
    sizes: list[int] = []
    for exchange in reversed(earlier):
        prompt = _written_if_short(builder, exchange)
        if prompt is None or used + prompt.tokens > budget:
            break
        kept.insert(0, prompt)
        sizes.insert(0, prompt.tokens)
        used += prompt.tokens
    missing = len(earlier) - len(sizes)
    if missing:
        while sizes and used > budget * KEPT_SHARE:
            used -= sizes.pop(0)
            del kept[0]
            missing += 1
    forgotten = sum(len(exchange) for exchange in earlier[:missing])
    return Fitting(_joined([head, *kept, tail]), forgotten)


def _exchanges(messages: tuple[Message, ...]) -> list[list[Message]]:
    """The messages, cut before each of the user's."""
    cut: list[list[Message]] = []
    for message in messages:
        if not cut or message.role == "user":
            cut.append([])
        cut[-1].append(message)
    return cut


def _written(builder: PromptBuilder, exchange: Iterable[Message]) -> Prompt:
    return _joined([builder.message(message) for message in exchange])


def _written_if_short(builder: PromptBuilder, exchange: Iterable[Message]) -> Prompt | None:
    """None where a single message is longer than the whole context."""
    try:
        return _written(builder, exchange)
    except ConversationError as error:
        if error.code != "conversation-long":
            raise
        return None


def _joined(prompts: Iterable[Prompt]) -> Prompt:
    prompts = list(prompts)
    ids = [token for prompt in prompts for token in prompt.ids]
    return Prompt(ids, tuple(slot for prompt in prompts for slot in prompt.media))
