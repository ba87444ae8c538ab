"""What a hands-free conversation is at one moment: plain values.

Knows: the names of the states of the conversation and of its answer, and what is kept with them.
Does not know: what changes them (:mod:`omni.dialogue.machine`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

from omni.conversation import Part
from omni.dialogue.answer_so_far import AnswerSoFar
from omni.dialogue.camera import CameraRing
from omni.dialogue.latency import Moments
from omni.dialogue.question import Question
from omni.events import SPEECH_RATE
from omni.listening.turn_detection import Paused

TAIL = round(0.05 * SPEECH_RATE)  # samples: an answer is heard when all but so many were played

# Why a conversation ends: the person's wish, a connection that is gone, a microphone that is, a
# page that was left, a fault of ours.
EndReason: TypeAlias = Literal["stopped", "lost", "microphone", "left", "flooded", "failed"]


class ConversationState(StrEnum):
    """Where the conversation is, as a person would say it."""

    PREPARING = "preparing"  # the model is being loaded; nobody listens
    LISTENING = "listening"  # nobody speaks
    HEARING = "hearing"  # the person speaks, or pauses
    THINKING = "thinking"  # the person has asked; nothing is to be heard yet
    SPEAKING = "speaking"  # the answer is being played
    CLOSING = "closing"  # it is over, the engine has not stopped yet
    CLOSED = "closed"  # final


class AnswerState(StrEnum):
    """Where the one answer is that is not closed yet."""

    NONE = "none"  # there is none
    HELD = "held"  # begun at a pause; thrown away if the person goes on
    AWAITED = "awaited"  # the person's turn is over; no sound of it was sent yet
    PLAYING = "playing"  # sound was sent
    SILENCED = "silenced"  # the person spoke into it: it is being stopped


class Person(StrEnum):
    """What the person does, as the detector of turns says."""

    SILENT = "silent"
    SPEAKING = "speaking"
    PAUSING = "pausing"


@dataclass(frozen=True)
class Limits:
    """How long, in seconds, is waited for others."""

    sound_s: float = 10.0  # without sound of the microphone: it is gone
    flush_s: float = 1.0  # whoever plays and does not say within it what was heard has no sound
    stop_s: float = 2.0  # within it an engine that was told to stop does


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer that is being made, held back, played or silenced."""

    number: int  # the first one of a conversation is 1
    question: Question
    state: AnswerState = AnswerState.HELD
    so_far: AnswerSoFar = field(default_factory=AnswerSoFar)
    chunks_sent: int = 0  # of so_far.sounds
    sent: int = 0  # samples
    played: int = 0  # samples of them that were played
    silenced_at: float = 0.0  # on the clock of the events, when the person last spoke into it
    flushed: bool = False  # ... and what was heard of it is known: no more will be
    moments: Moments = field(default_factory=Moments)

    @property
    def over(self) -> bool:
        """All of it was heard, or what was heard is known."""
        if not self.so_far.made:
            return False
        if self.state is AnswerState.SILENCED:
            return self.flushed or not self.sent
        return self.played >= self.sent - TAIL or not self.sent


@dataclass(frozen=True, eq=False)
class Asked:
    """A question whose turn is over: when its voice ended, and when that was known."""

    question: Question
    voice_end: float
    known_end: float


@dataclass(frozen=True)
class Discarded:
    """A thrown away answer whose engine has not ended yet: ``question`` names its files."""

    number: int
    question: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Kept:
    """What of the turn that is being spoken was read already and stays: it is a piece of its own.

    ``samples`` of the turn's sound; ``at``: the sample of the stream at which the turn went on.
    """

    samples: int = 0
    at: int = 0


@dataclass(frozen=True, eq=False)
class Dialogue:
    """A whole conversation at one moment.

    Times are readings of the clock that the events carry, in seconds.
    """

    state: ConversationState = ConversationState.PREPARING
    person: Person = Person.SILENT
    answer: Answer | None = None
    begun: int = 0  # answers so far
    pause: Paused | None = None  # of the person, for which no answer could be begun yet
    due: Asked | None = None  # asked, but the answer before is not closed yet
    unasked: Question | None = None  # was due when the person spoke again: they go on with it
    carried: tuple[Part, ...] = ()  # of a question that was not answered: the next goes on with it
    kept: Kept = Kept()
    discarded: tuple[Discarded, ...] = ()
    camera: CameraRing | None = None  # None: there is no camera
    sound_at: float = 0.0  # when the microphone's sound last came
    ending: EndReason | None = None  # why it is closing or closed
    closing_at: float = 0.0
    limits: Limits = Limits()

    @property
    def answer_state(self) -> AnswerState:
        """The state of the answer, NONE without one."""
        return self.answer.state if self.answer else AnswerState.NONE
