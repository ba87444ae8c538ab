"""What an example is made of: the parts of a conversation whose media are drawn when wanted.

Knows: the same forms as :mod:`omni.conversation`, with arrays in memory instead of files. A part
is a few words of data that can be pickled, compared and kept by the million; its sound or picture
is a function of them. Does not know: how examples are drawn, tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import Split
from finetune.nano.pictures.clips import ClipScene
from finetune.nano.pictures.pictures import Scene
from finetune.nano.speech.augment import CLEAN, Recording, record
from finetune.nano.speech.synthesis import (
    HEARD_RATE,
    SPOKEN_RATE,
    Sound,
    Utterance,
    sounds,
    speak,
)

Task: TypeAlias = Literal[
    "tts",
    "asr",
    "image_qa",
    "video_qa",
    "spoken_qa",
    "chat",
    "translate",
    "style",
    "clone",
    "outside",
    "own_words",
    "strange",
    "natural_asr",
    "natural_qa",
]
# How the prompt is written: with roles, or one of the two published forms without.
Form: TypeAlias = Literal["conversation", "transcription", "reading"]


@dataclass(frozen=True)
class Typed:
    """Text that a person typed."""

    text: str


@dataclass(frozen=True)
class Heard:
    """Something that a person said, as it was recorded."""

    utterance: Utterance
    recording: Recording = CLEAN

    def waveform(self) -> np.ndarray:
        """float32 (samples,) at 16 kHz."""
        return record(speak(self.utterance, HEARD_RATE), self.recording)

    def sounds(self) -> tuple[Sound, ...]:
        """Its phonemes in time, from where the speech begins."""
        return sounds(self.utterance)


@dataclass(frozen=True)
class Seen:
    """A picture."""

    scene: Scene

    def image(self) -> Image.Image:
        """RGB."""
        return self.scene.image()


@dataclass(frozen=True)
class Watched:
    """A clip."""

    clip: ClipScene

    def frames(self) -> list[Image.Image]:
        """RGB frames of one size, one a second."""
        return self.clip.frames()


@dataclass(frozen=True)
class Said:
    """A piece of the assistant's answer: text, then the same as speech.

    ``text`` keeps the space that parts it from the piece before; what is spoken is
    ``utterance.text``.
    """

    text: str
    utterance: Utterance

    def waveform(self) -> np.ndarray:
        """float32 (samples,) at 24 kHz: what is to be said."""
        return speak(self.utterance, SPOKEN_RATE)

    def heard(self) -> np.ndarray:
        """float32 (samples,) at 16 kHz: the same, as the audio tokenizer takes it."""
        return speak(self.utterance, HEARD_RATE)


Part: TypeAlias = Typed | Heard | Seen | Watched | Said


@dataclass(frozen=True)
class Turn:
    """One turn; the user's parts are in the published order: pictures, clips, sound, text."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class System:
    """The system text, and the recording whose voice is to be taken."""

    text: str = ""
    voice: Heard | None = None


@dataclass(frozen=True)
class Example:
    """A conversation that ends with the answer to learn.

    ``language`` is that of the question (in it the voice sentence is written); the answer's is in
    its utterances. ``speech``: whether the answers are spoken as well as written; a transcription
    is only written. Of the form "reading" only the last turn's pieces count.
    """

    task: Task
    split: Split
    language: Language
    turns: tuple[Turn, ...]
    system: System = System()
    form: Form = "conversation"
    speech: bool = True
    kind: str = ""  # of the question, for tables

    @property
    def pieces(self) -> tuple[Said, ...]:
        """The answer to learn."""
        return tuple(part for part in self.turns[-1].parts if isinstance(part, Said))

    @property
    def answer(self) -> str:
        """The answer to learn as text."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def question(self) -> str:
        """What was asked last, typed or spoken, as text."""
        asked = self.turns[-2].parts if len(self.turns) > 1 else ()
        texts = [
            part.text if isinstance(part, Typed) else part.utterance.text
            for part in asked
            if isinstance(part, Typed | Heard)
        ]
        return " ".join(texts)


# Where generation pauses for speech: NEXT_TEXT_STOPS of omni.options. Latin marks end a piece only
# in front of a space ("3,000" and "e.g." stay whole).
_CLAUSE = re.compile(r".+?(?:[,.!?]+(?=\s|$)|[，。！？]+|$)", re.DOTALL)


def spoken_pieces(text: str) -> tuple[str, ...]:
    """An answer in the pieces that are written and spoken by turns.

    They end wherever generation may pause, so that it does not matter whether a pause is the
    model's own or is made by the stops of :class:`omni.options.GenerationOptions`.
    """
    return tuple(match.group() for match in _CLAUSE.finditer(text))
