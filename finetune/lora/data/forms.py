"""The two published forms without roles, for rows: a recording written down, a text read aloud.

Knows: what such a row may hold, how its prompt is written (:mod:`omni.prompting.forms`), so that
training writes what ``omni asr`` and ``omni tts`` ask. Does not know: files of rows.
"""

from __future__ import annotations

from finetune.lora.data.formats import Form
from finetune.lora.data.refused import RefusedError
from omni.conversation import (
    DEFAULT_SYSTEM_TEXT,
    Audio,
    Conversation,
    Speech,
    SystemPrompt,
    Text,
)
from omni.prompting import forms
from omni.prompting.prompt import PromptBuilder
from omni.prompting.slots import Prompt

PLAIN_SYSTEMS = ("", DEFAULT_SYSTEM_TEXT)  # that stand for none


def check_form(form: Form, said: Conversation) -> None:
    """Refuse a row that is not what its form is for.

    Raises:
        RefusedError: it is not.
    """
    if form == "conversation":
        return
    if said.system.text not in PLAIN_SYSTEMS:
        raise RefusedError(f'The form "{form}" has no system text: leave it out.')
    if form == "transcription":
        _check_transcription(said)
    else:
        _check_reading(said)


def _check_transcription(said: Conversation) -> None:
    parts = [(message.role, part) for message in said.messages for part in message.parts]
    fits = (
        len(parts) == 2
        and parts[0][0] == "user"
        and isinstance(parts[0][1], Audio)
        and parts[1][0] == "assistant"
        and isinstance(parts[1][1], Text)
    )
    if not fits or said.system.voice is not None:
        raise RefusedError(
            'The form "transcription" is one recording of the user\'s and one answer of text: '
            "nothing else."
        )


def _check_reading(said: Conversation) -> None:
    if any(message.role == "user" for message in said.messages):
        raise RefusedError('The form "reading" has no message of the user\'s: leave it out.')
    if not all(message.spoken for message in said.messages):
        raise RefusedError('The form "reading" is text, each piece with its <audio> behind it.')


def transcription_prompts(builder: PromptBuilder, said: Conversation) -> list[Prompt]:
    """What asks for it, the recording, what it says: as :meth:`PromptBuilder.transcription`."""
    opening, heard, written = builder.writer(), builder.writer(), builder.writer()
    forms.open_transcription(opening)
    asked, answer = said.messages
    builder.write_part(heard, asked.parts[0], by_assistant=False)
    builder.write_part(written, answer.parts[0], by_assistant=True)
    return [opening.finish(), heard.finish(), written.finish()]


def reading_prompts(builder: PromptBuilder, said: Conversation) -> list[Prompt]:
    """A voice to take, if there is one, then texts and their speech: as for ``omni tts``."""
    opening = builder.writer()
    if said.system.voice is not None:
        builder.write_voice(opening, SystemPrompt(""), said.system.voice, said.language)
    prompts = [opening.finish()]
    for message in said.messages:
        writer = builder.writer()
        for part in message.parts:
            if isinstance(part, Text):
                writer.text(part.text.strip())
            elif isinstance(part, Speech):
                builder.write_part(writer, part, by_assistant=True)
        prompts.append(writer.finish())
    return prompts
