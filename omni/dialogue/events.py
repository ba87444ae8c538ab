"""What happens to a conversation.

Knows: plain values. Does not know: who reports them, what follows (:mod:`omni.dialogue.machine`).
Every event carries ``now``, the reading in seconds of one clock that never goes back.
"""

from __future__ import annotations

from dataclasses import dataclass

from omni.dialogue.answer_so_far import Item
from omni.dialogue.states import EndReason
from omni.listening.turn_detection import TurnEvent


@dataclass(frozen=True)
class Event:
    """Something happened at ``now``."""

    now: float


@dataclass(frozen=True)
class Tick(Event):
    """Nothing but time has passed."""


@dataclass(frozen=True)
class Loaded(Event):
    """The model is ready to answer."""


@dataclass(frozen=True)
class LoadFailed(Event):
    """The model cannot be loaded."""

    error: Exception


@dataclass(frozen=True)
class Verdict(Event):
    """The person began, paused, went on or ended."""

    turn: TurnEvent


@dataclass(frozen=True)
class Listened(Event):
    """A piece of the microphone's sound came and was judged; its verdicts came before this.

    ``at``: samples of the stream that were judged so far; ``quiet``: none of the last of them may
    become a turn; ``engine_free``: an answer that is begun now makes nobody wait.
    """

    at: int
    quiet: bool
    engine_free: bool


@dataclass(frozen=True)
class Pictured(Event):
    """A frame of the camera, a JPEG, seen when ``at`` samples of the stream were judged."""

    jpeg: bytes
    at: int


@dataclass(frozen=True)
class AnswerItem(Event):
    """Something came of the answer ``number``; the last item is a TurnEnd or an exception."""

    number: int
    item: Item


@dataclass(frozen=True)
class PlaybackReport(Event):
    """Of the answer ``number`` so many samples were played; ``flushed``: no more of it will be."""

    number: int
    samples: int
    flushed: bool = False


@dataclass(frozen=True)
class End(Event):
    """The conversation is to end."""

    reason: EndReason
