"""A question and its answer for the history, the answer as far as it was heard.

Knows: how an answer is cut where its playback stopped.
Does not know: when an answer is over, how a history is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from omni.conversation import Message, Part
from omni.dialogue.interrupted import played_part
from omni.dialogue.states import Answer, AnswerState
from omni.events import FRAMES_PER_SECOND, SPEECH_RATE

# An answer is over by itself, was interrupted, became too long, or could not be made.
Outcome: TypeAlias = Literal["whole", "cut", "limit", "failed"]
FRAME = round(SPEECH_RATE / FRAMES_PER_SECOND)  # samples


@dataclass(frozen=True, eq=False)
class Exchange:
    """``question``: parts of its message, () if it could not be prepared; ``sound``: int16
    (samples,) each, what was heard of the answer; ``error``: why the outcome is "failed";
    ``forgotten``: how many of the first messages the context had no room for.
    """

    question: tuple[Part, ...]
    answer: Message
    sound: tuple[np.ndarray, ...]
    outcome: Outcome
    error: Exception | None = None
    forgotten: int = 0

    @property
    def answered(self) -> bool:
        """Something of the answer is left: it and its question belong to what was said."""
        return self.error is None and bool(self.answer.parts)


def exchange(answer: Answer) -> Exchange:
    """Of an answer that is over."""
    so_far, end = answer.so_far, answer.so_far.end
    message, sound = so_far.message, so_far.sounds
    cut = answer.state is AnswerState.SILENCED
    if cut:
        message = played_part(message, answer.played / SPEECH_RATE)
        sound = _first(sound, answer.played // FRAME * FRAME)
    forgotten = end.forgotten if end else 0
    if so_far.error is not None:
        return Exchange(so_far.question, message, sound, "failed", so_far.error, forgotten)
    outcome: Outcome = "cut" if cut else "whole"
    if not cut and end is not None and end.reason == "limit":
        outcome = "limit"
    return Exchange(so_far.question, message, sound, outcome, None, forgotten)


def _first(sounds: tuple[np.ndarray, ...], samples: int) -> tuple[np.ndarray, ...]:
    return (np.concatenate(sounds)[:samples],) if sounds else ()
