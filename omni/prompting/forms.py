"""The prompt forms: what stands where in a conversation, a transcription and a reading.

Knows: the published forms and our voice prompt, as marks and sentences in their order. What asks
a model and what trains one write their prompts with these functions.
Does not know: files, how media become slots, what is generated.
"""

from __future__ import annotations

from collections.abc import Mapping

from omni.conversation import PromptLanguage
from omni.prompting.system_text import VOICE_SENTENCE
from omni.prompting.writer import PromptWriter

TRANSCRIBE_TEXT = "将语音转录为文本:"
READ_ALOUD_TEXT: Mapping[PromptLanguage, str] = {
    "en": "Read this aloud: {transcript}",
    "zh": "请朗读：{transcript}",
}


def write_system(
    writer: PromptWriter, text: str, language: PromptLanguage, voice_follows: bool
) -> None:
    """The system prompt; nothing where it says nothing.

    Args:
        language: of the sentence about the voice.
        voice_follows: the caller writes the reference voice next, as sound.
    """
    said = text + (VOICE_SENTENCE[language] if voice_follows else "")
    if said:
        writer.mark(writer.special.system)
        writer.text(said)


def open_example(writer: PromptWriter, transcript: str, language: PromptLanguage) -> None:
    """An exchange in which the assistant reads ``transcript`` aloud; its speech comes next."""
    ask_to_read(writer, transcript, language)
    writer.text(transcript)


def ask_to_read(writer: PromptWriter, text: str, language: PromptLanguage) -> None:
    """A request to read ``text`` aloud, up to the opening of the assistant's message."""
    open_user(writer)
    writer.text(READ_ALOUD_TEXT[language].format(transcript=text))
    open_assistant(writer, speech=True)


def open_user(writer: PromptWriter) -> None:
    """What stands before a user's message."""
    writer.mark(writer.special.user)


def open_assistant(writer: PromptWriter, speech: bool) -> None:
    """What stands before an assistant's message; ``speech``: it is to be spoken."""
    if speech:
        writer.mark(writer.special.audiotext_start)
    writer.mark(writer.special.assistant)


def open_transcription(writer: PromptWriter) -> None:
    """Asks for what is said in the sound that comes next (without roles, as published)."""
    writer.text(TRANSCRIBE_TEXT)


def open_reading(writer: PromptWriter, piece: str) -> None:
    """A piece of text that is to be read aloud (without roles, as published): speech follows."""
    writer.text(piece)
    writer.mark(writer.special.audiogen_start)
