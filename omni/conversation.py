"""What was said: messages of typed parts.

Knows: who said what, in text, sound, pictures, clips and generated speech.
Does not know: tokens, tensors, how a file is read.
Nothing here is a magic string: a part's text is never searched for markers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np

# The languages in which the project itself can write into a prompt (omni.prompting has the
# sentences). What a person and the model speak may be any language.
PromptLanguage: TypeAlias = Literal["en", "zh"]
PROMPT_LANGUAGES: tuple[PromptLanguage, ...] = get_args(PromptLanguage)
DEFAULT_SYSTEM_TEXT = "请用【邻家女声】这个声音回答问题。"


@dataclass(frozen=True)
class Text:
    """Typed or generated text."""

    text: str
    # The token ids that the model itself generated for the text, so that the history repeats them
    # exactly; None for everything that came from a person or a file.
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Image:
    """A picture file."""

    path: Path


@dataclass(frozen=True)
class Audio:
    """A sound file that the model hears (also the sound track of a container)."""

    path: Path


@dataclass(frozen=True)
class Video:
    """A clip whose frames the model sees (its sound is not heard: add an ``Audio`` part)."""

    path: Path


@dataclass(frozen=True, eq=False)
class Speech:
    """One spoken piece of the assistant."""

    # int32 (frames, codebooks), as generated, without the end frame; None when just the sound is
    # known (an imported conversation), which is then encoded again from ``path``.
    codes: np.ndarray | None = None
    path: Path | None = None  # the sound file


Part: TypeAlias = Text | Image | Audio | Video | Speech


@dataclass(frozen=True)
class Message:
    """What the user or the assistant said at once."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]  # in the order in which they were given
    # An assistant's message that was asked for in speech: its prompt has the mark that asks for it.
    spoken: bool = False
    cut: bool = False  # it was interrupted, and the parts are what had been played by then


@dataclass(frozen=True)
class VoicePrompt:
    """A sample of a voice that the assistant should take."""

    path: Path  # the sound file
    # system: it stands in the system prompt; example: in a first exchange in which the assistant
    # has spoken with that voice.
    use: Literal["system", "example"] = "system"
    transcript: str | None = None  # what it says; needed for "example"


@dataclass(frozen=True)
class SystemPrompt:
    """The system text, with an optional voice prompt."""

    text: str = DEFAULT_SYSTEM_TEXT  # empty: there is no system prompt
    voice: VoicePrompt | None = None  # goes into the prompt where speech is asked for


@dataclass(frozen=True)
class Conversation:
    """A system prompt and the messages so far."""

    system: SystemPrompt = field(default_factory=SystemPrompt)
    messages: tuple[Message, ...] = ()  # the last one is the user's when a turn begins
    language: PromptLanguage = "en"  # of the sentences that the project itself adds to the prompt

    def plus(self, *messages: Message) -> Conversation:
        """The conversation with ``messages`` appended."""
        return replace(self, messages=self.messages + messages)
