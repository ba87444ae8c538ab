"""A row in the one form to a conversation, as the engine has it.

Knows: what this model can be taught: answers of text, or of text and speech by turns.
Does not know: the forms of rows, tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from finetune.lora.data.formats import Kind, Medium, Piece, Record, Said
from finetune.lora.data.refused import RefusedError
from finetune.lora.data.sources import Sources
from omni.conversation import (
    Audio,
    Conversation,
    Image,
    Message,
    Part,
    PromptLanguage,
    Speech,
    SystemPrompt,
    Text,
    Video,
    VoicePrompt,
)
from omni.prompting.system_text import VOICE_SENTENCE

_HAN = re.compile("[\u3400-\u9fff]")
_PARTS: Mapping[Kind, Any] = {"image": Image, "video": Video, "audio": Audio}


def conversation(record: Record, sources: Sources) -> tuple[Conversation, frozenset[int]]:
    """The row's conversation, and the numbers of those assistant's messages not to be learnt.

    Raises:
        RefusedError: it holds what this model cannot be taught, or a file is missing.
    """
    said = list(record.said)
    system, first = SystemPrompt(), 0
    if said and said[0].role == "system":
        system, first = _system(said[0], sources), 1
    said = _merged(said[first:])
    if any(message.role == "system" for message in said):
        raise RefusedError("A system message stands behind others: it must be the first.")
    if not any(message.role == "assistant" and message.learnt for message in said):
        raise RefusedError("It has no answer of the assistant's to learn.")
    if said[-1].role != "assistant":
        raise RefusedError("It ends with a question: add the answer, or leave the question out.")
    messages = tuple(_message(message, sources) for message in said)
    silent = frozenset(
        number
        for number, message in enumerate(said)
        if message.role == "assistant" and not message.learnt
    )
    return Conversation(system, messages, _language(record)), silent


def _merged(said: list[Said]) -> list[Said]:
    """Answers that follow one another are one."""
    merged: list[Said] = []
    for message in said:
        before = merged[-1] if merged else None
        if before is None or message.role != "assistant" or before.role != "assistant":
            merged.append(message)
        elif before.learnt != message.learnt:
            raise RefusedError("Two answers follow one another, and only one is to be learnt.")
        else:
            merged[-1] = replace(before, pieces=before.pieces + message.pieces)
    return merged


def _system(said: Said, sources: Sources) -> SystemPrompt:
    text, voices = "", []
    for piece in said.pieces:
        if isinstance(piece, str):
            text += piece
        elif piece.kind == "audio":
            voices.append(piece)
        else:
            raise RefusedError(f"The system message has a {piece.kind}: give it to the user.")
    if len(voices) > 1:
        raise RefusedError("The system message has several recordings: a voice prompt is one.")
    text = text.strip()
    if not voices:
        return SystemPrompt(text)
    for sentence in VOICE_SENTENCE.values():  # the prompt says it by itself
        text = text.removesuffix(sentence).rstrip()
    return SystemPrompt(text, VoicePrompt(sources.path(voices[0])))


def _message(said: Said, sources: Sources) -> Message:
    if said.role == "assistant":
        return _answer(said.pieces, sources)
    parts = tuple(_asked(said.pieces, sources))
    if not parts:
        raise RefusedError("A message of the user's is empty.")
    return Message("user", parts)


def _asked(pieces: tuple[Piece, ...], sources: Sources) -> Iterable[Part]:
    """A person's parts; blank space beside a medium's tag is the tag's, as the page has none."""
    for place, piece in enumerate(pieces):
        if isinstance(piece, Medium):
            yield _PARTS[piece.kind](sources.path(piece))
            continue
        text = piece
        if place > 0 and isinstance(pieces[place - 1], Medium):
            text = text.lstrip()
        if place + 1 < len(pieces) and isinstance(pieces[place + 1], Medium):
            text = text.rstrip()
        if text:
            yield Text(text)


def _answer(pieces: tuple[Piece, ...], sources: Sources) -> Message:
    """Text, or pieces of text each with its speech behind it."""
    parts: list[Part] = []
    spoken = any(isinstance(piece, Medium) for piece in pieces)
    for piece in pieces:
        if isinstance(piece, Medium):
            if piece.kind != "audio":
                raise RefusedError(
                    f"An answer has a {piece.kind}: the model answers in text and speech."
                )
            parts.append(Speech(path=sources.path(piece)))
        elif parts and isinstance(parts[-1], Text):
            parts[-1] = Text(parts[-1].text + piece)
        else:
            parts.append(Text(piece))
    if spoken:
        parts = _trimmed(parts)
        if isinstance(parts[-1], Text):
            raise RefusedError(
                "An answer has text behind its last <audio>: a spoken answer is spoken to its "
                "end, each <audio> behind the text that it says."
            )
    if not any(not isinstance(part, Text) or part.text.strip() for part in parts):
        raise RefusedError("An answer of the assistant's is empty.")
    return Message("assistant", tuple(parts), spoken=spoken)


def _trimmed(parts: list[Part]) -> list[Part]:
    """The texts of a spoken answer without the blank space before a recording, or at the end."""
    trimmed: list[Part] = []
    for part in parts:
        text = part.text.rstrip() if isinstance(part, Text) else None
        if text != "":
            trimmed.append(part if text is None else Text(text))
    return trimmed


def _language(record: Record) -> PromptLanguage:
    """Of what the prompt says by itself: that of the instructions and questions."""
    texts = (
        piece
        for said in record.said
        if said.role != "assistant"
        for piece in said.pieces
        if isinstance(piece, str)
    )
    return "zh" if any(map(_HAN.search, texts)) else "en"
