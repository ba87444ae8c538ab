"""What a conversation asks of whoever carries it.

Knows: plain values. Does not know: how they are carried out.
Commands are carried out in the order in which they are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from omni.conversation import Part
from omni.dialogue.exchange import Exchange
from omni.dialogue.latency import Latency
from omni.dialogue.question import Question
from omni.dialogue.states import ConversationState, EndReason


@dataclass(frozen=True, eq=False)
class BeginAnswer:
    """Have the engine answer ``question``, and report each item as one of ``number``."""

    number: int
    question: Question


@dataclass(frozen=True)
class StopAnswer:
    """Tell the engine to stop; its last item is still reported."""

    number: int


@dataclass(frozen=True)
class Release:
    """The person's turn is over: what comes of the answer may be seen and heard from now on."""

    number: int


@dataclass(frozen=True, eq=False)
class SendSound:
    """Sound of an answer to play: int16 (samples,) at SPEECH_RATE."""

    number: int
    samples: np.ndarray


@dataclass(frozen=True)
class AllSent:
    """No more sound of the answer follows."""

    number: int


@dataclass(frozen=True)
class Flush:
    """Stop playing the answer at once, and report what was played of it."""

    number: int


@dataclass(frozen=True)
class FollowPlayback:
    """So many samples of the answer were played: for the guard against its echo."""

    samples: int


@dataclass(frozen=True)
class ThrowAway:
    """Nobody has heard anything of the answer, nor will: stop it and forget it."""

    number: int


@dataclass(frozen=True)
class ForgetFiles:
    """Nothing in the conversation needs the files of these parts any more."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, eq=False)
class CloseAnswer:
    """Question and answer are over: put them into the history."""

    number: int
    exchange: Exchange


@dataclass(frozen=True)
class TellLatency:
    """The first sound of an answer was sent: so long the person has waited."""

    latency: Latency


@dataclass(frozen=True)
class TellError:
    """The model could not be loaded: tell the person why."""

    error: Exception


@dataclass(frozen=True)
class ShowState:
    """The conversation is in another state now."""

    state: ConversationState


@dataclass(frozen=True)
class Goodbye:
    """The conversation is closed; no command follows."""

    reason: EndReason


Command: TypeAlias = (
    BeginAnswer
    | StopAnswer
    | Release
    | SendSound
    | AllSent
    | Flush
    | FollowPlayback
    | ThrowAway
    | ForgetFiles
    | CloseAnswer
    | TellLatency
    | TellError
    | ShowState
    | Goodbye
)
