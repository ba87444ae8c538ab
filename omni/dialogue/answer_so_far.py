"""What an answer has said and sounded so far.

Knows: the engine's events and what each of them adds.
Does not know: who asked, where the answer is shown or heard.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from omni.conversation import Message, Part, Text
from omni.events import EngineEvent, Progress, SpeechChunk, TextDelta, TurnEnd


@dataclass(frozen=True)
class Prepared:
    """The question is ready for the model. ``parts``: of its message, the files written."""

    parts: tuple[Part, ...]


Item: TypeAlias = "EngineEvent | Prepared | Exception"


@dataclass(frozen=True, eq=False)
class AnswerSoFar:
    """Everything that has come of one answer; each item makes a new value."""

    question: tuple[Part, ...] = ()  # parts of the question's message; (): not prepared yet
    text: str = ""
    sounds: tuple[np.ndarray, ...] = ()  # int16 (samples,) each, at SPEECH_RATE
    progress: Progress | None = None  # the last: what is waited for
    end: TurnEnd | None = None
    error: Exception | None = None

    def plus(self, item: Item) -> AnswerSoFar:
        """With what one more item brings."""
        if isinstance(item, Prepared):
            return replace(self, question=item.parts)
        if isinstance(item, TextDelta):
            return replace(self, text=self.text + item.text)
        if isinstance(item, SpeechChunk):
            return replace(self, sounds=(*self.sounds, item.samples))
        if isinstance(item, Progress):
            return replace(self, progress=item)
        if isinstance(item, TurnEnd):
            return replace(self, end=item)
        return replace(self, error=item)

    @property
    def made(self) -> bool:
        """Nothing more comes from the engine."""
        return self.end is not None or self.error is not None

    @property
    def message(self) -> Message:
        """The engine's own message once there is one; until then the text, if there is any."""
        if self.end is not None:
            return self.end.message
        return Message("assistant", (Text(self.text),) if self.text else ())

    @property
    def samples(self) -> int:
        """Samples of all the sound."""
        return sum(len(sound) for sound in self.sounds)
