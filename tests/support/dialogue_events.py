"""A conversation for tests of the dialogue machine: events by short names, on a clock of its own.

Knows: the machine's events. Does not know: threads, sound, time.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from omni.conversation import Audio, Message, Part, Speech, Text
from omni.dialogue import commands as do
from omni.dialogue import events as on
from omni.dialogue.answer_so_far import Prepared
from omni.dialogue.machine import step
from omni.dialogue.states import Dialogue, EndReason
from omni.events import (
    FRAMES_PER_SECOND,
    SPEECH_RATE,
    FinishReason,
    SpeechChunk,
    TurnEnd,
    TurnStats,
)
from omni.listening.settings import RATE
from omni.listening.turn_detection import Began, Ended, Paused, Resumed, TurnEvent

SECOND = SPEECH_RATE  # samples of an answer


def question_file(number: int) -> tuple[Part, ...]:
    """The parts of the question that the answer ``number`` was begun for."""
    return (Audio(Path(f"/files/{number}/question.wav")),)


class Scripted:
    """A conversation that is told what happens, and the commands that came of it."""

    def __init__(self, dialogue: Dialogue | None = None, ready: bool = True) -> None:
        self.now = 100.0  # seconds
        self.dialogue = dialogue or Dialogue(sound_at=self.now)
        self.at = 0  # samples of the stream
        self.all: list[do.Command] = []
        if ready:
            self.tell(on.Loaded(self.now))

    def tell(self, event: on.Event) -> tuple[do.Command, ...]:
        """One event; its commands."""
        self.dialogue, commands = step(self.dialogue, event)
        self.all += commands
        return commands

    @property
    def states(self) -> tuple[str, str]:
        """Of the conversation and of its answer."""
        return (self.dialogue.state.value, self.dialogue.answer_state.value)

    def of(self, kind: type) -> list[Any]:
        """All commands of a kind so far."""
        return [command for command in self.all if isinstance(command, kind)]

    def passes(self, seconds: float) -> None:
        """Time, and as much of the microphone's stream."""
        self.now += seconds
        self.at += round(seconds * RATE)

    def began(self) -> on.Verdict:
        self.voice_begin = self.at
        return self._verdict(Began(self.at))

    def paused(self, seconds: float = 1.0) -> on.Verdict:
        """The turn so far lasts ``seconds``."""
        return self._verdict(
            Paused(_sound(seconds), self.at, self.voice_begin, self.at - RATE // 4)
        )

    def resumed(self) -> on.Verdict:
        return self._verdict(Resumed(self.at))

    def ended(self, seconds: float = 1.0) -> on.Verdict:
        return self._verdict(Ended(_sound(seconds), self.at, self.voice_begin, self.at - RATE // 2))

    def listened(self, free: bool = True, quiet: bool = False) -> on.Listened:
        return on.Listened(self.now, self.at, quiet, free)

    def item(self, item: Any, number: int | None = None) -> on.AnswerItem:
        """Of the newest answer, or of another one."""
        return on.AnswerItem(self.now, number or self.dialogue.begun, item)

    def prepared(self, number: int | None = None) -> on.AnswerItem:
        number = number or self.dialogue.begun
        return self.item(Prepared(question_file(number)), number)

    def sound(self, samples: int = SECOND) -> on.AnswerItem:
        return self.item(SpeechChunk(np.ones(samples, np.int16)))

    def finished(
        self, seconds: float = 1.0, reason: FinishReason = "end", number: int | None = None
    ) -> on.AnswerItem:
        """The engine's last item: the answer speaks for ``seconds``; 0: it says nothing."""
        codes = np.zeros((round(seconds * FRAMES_PER_SECOND), 8), np.int32)
        parts = (Text("one two three four"), Speech(codes=codes)) if seconds else ()
        message = Message("assistant", parts, spoken=True)
        return self.item(TurnEnd(message, reason, TurnStats()), number)

    def played(self, samples: int, flushed: bool = False) -> on.PlaybackReport:
        return on.PlaybackReport(self.now, self.dialogue.begun, samples, flushed)

    def end(self, reason: EndReason = "stopped") -> on.End:
        return on.End(self.now, reason)

    def _verdict(self, turn: TurnEvent) -> on.Verdict:
        return on.Verdict(self.now, turn)

    # Where tests begin

    def hearing(self) -> Scripted:
        """The person speaks."""
        self.tell(self.began())
        self.passes(1.0)
        return self

    def held(self, seconds: float = 1.0) -> Scripted:
        """The person pauses, and an answer was begun."""
        self.hearing()
        self.tell(self.paused(seconds))
        self.tell(self.listened())
        return self

    def awaited(self) -> Scripted:
        """The person has asked, and nothing is to be heard yet."""
        self.held()
        self.tell(self.prepared())
        self.passes(0.5)
        self.tell(self.ended())
        return self

    def playing(self) -> Scripted:
        """A second of the answer was sent."""
        self.awaited()
        self.tell(self.sound())
        return self

    def silenced(self, heard: int = 0) -> Scripted:
        """The person speaks into the answer, of which so many samples were heard before."""
        self.playing()
        self.tell(self.played(heard))
        self.tell(self.began())
        return self

    def asked_again(self, heard: int = 0) -> Scripted:
        """The person has asked something else, and the answer is not closed yet."""
        self.silenced(heard)
        self.passes(0.5)
        self.tell(self.ended(0.8))
        return self


@cache
def _sound(seconds: float) -> np.ndarray:
    return np.full(round(seconds * RATE), 0.1, np.float32)
