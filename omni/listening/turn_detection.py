"""A person's turns in a stream of sound: where one begins, pauses, goes on and ends.

Knows: thresholds, the sound of the turn that is being spoken.
Does not know: how voice is recognized (:mod:`omni.listening.voice_activity`), what becomes of a
turn, clocks: time is counted in samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, TypeAlias

import numpy as np

from omni.listening.settings import FRAME, FRAME_S, ListeningSettings, frames
from omni.listening.voice_activity import VoiceActivity

ECHO_S = 0.16  # of the last sound are compared with what is playing


@dataclass(frozen=True)
class Began:
    """A person speaks. ``at``: the sample of the stream at which the voice began."""

    at: int


@dataclass(frozen=True, eq=False)
class Paused:
    """Silence, maybe the end: if nothing more is said, ``sound`` is the whole turn.

    ``sound``: float32 (samples,); ``voice_begin``, ``voice_end``: samples of the stream, of the
    first voice and behind the last.
    """

    sound: np.ndarray
    at: int
    voice_begin: int
    voice_end: int


@dataclass(frozen=True)
class Resumed:
    """It was no end: the turn of the last :class:`Paused` goes on."""

    at: int


@dataclass(frozen=True, eq=False)
class Ended:
    """The turn is over: its sound, float32 (samples,), equal to that of the last Paused.

    ``cut``: it reached the longest length and was not over by itself.
    """

    sound: np.ndarray
    at: int
    voice_begin: int
    voice_end: int
    cut: bool = False


TurnEvent: TypeAlias = Began | Paused | Resumed | Ended


class Phase(Enum):
    """Where in a turn the stream is."""

    SILENCE = auto()
    MAYBE = auto()  # voice that is too short yet
    VOICE = auto()
    GAP = auto()  # silence too short for a pause
    PAUSE = auto()


class Guard(Protocol):
    """Tells a person from the answer that is playing: :class:`omni.listening.echo.EchoGuard`."""

    def follow(self, recent: np.ndarray, new: int) -> None:
        """The last sound (samples,), of which ``new`` samples were not seen yet."""
        ...

    def __call__(self, window: np.ndarray) -> bool:
        """Whether the last sound (samples,) is the answer's."""
        ...


class TurnDetector:
    """Finds the turns in one stream of sound, however it is cut into pieces."""

    def __init__(
        self,
        voice: VoiceActivity,
        settings: ListeningSettings | None = None,
        echo_guard: Guard | None = None,
    ) -> None:
        """``echo_guard``: asked before a turn begins while :attr:`answering`."""
        self.settings = settings or ListeningSettings()
        self.answering = False  # an answer is playing: the higher thresholds hold
        self.probability = 0.0  # of the last frame
        self._voice = voice
        self._echo_guard = echo_guard
        self._rest = np.zeros(0, np.float32)
        self._sound: deque[np.ndarray] = deque()  # frames of the turn, and of what came before it
        self._position = 0  # samples of the stream that were judged
        self._phase = Phase.SILENCE
        self._voiced = self._silent = 0  # frames
        self._begin = self._voice_end = 0
        self._paused: np.ndarray | None = None

    @property
    def phase(self) -> Phase:
        """Where in a turn the stream is now."""
        return self._phase

    @property
    def position(self) -> int:
        """Samples of the stream that were judged."""
        return self._position

    def push(self, samples: np.ndarray) -> Iterator[TurnEvent]:
        """What the next float32 (samples,) of the stream bring, in order.

        Iterate to the end: the sound is judged while the events are taken.
        """
        self._rest = np.concatenate([self._rest, samples.astype(np.float32, copy=False)])
        while len(self._rest) >= FRAME:
            frame, self._rest = self._rest[:FRAME], self._rest[FRAME:]
            yield from self._judge(np.ascontiguousarray(frame))

    def drop(self) -> None:
        """Forget the turn that is being spoken; the stream goes on."""
        self._phase = Phase.SILENCE
        self._paused = None
        self._trim()

    def reset(self) -> None:
        """Forget everything: what comes next does not follow what came."""
        self._rest = np.zeros(0, np.float32)
        self._sound.clear()
        self._phase = Phase.SILENCE
        self._paused = None
        self._voice.reset()

    def _judge(self, frame: np.ndarray) -> Iterator[TurnEvent]:
        self.probability = self._voice(frame)
        self._sound.append(frame)
        self._position += FRAME
        if self.answering and self._echo_guard is not None:
            self._echo_guard.follow(self._last(ECHO_S), FRAME)
        if self._is_voice():
            yield from self._voiced_frame()
        else:
            yield from self._silent_frame()
        if self._phase is Phase.SILENCE:
            self._trim()
        elif len(self._sound) * FRAME_S >= self.settings.longest_s and self._phase in _SPEAKING:
            yield self._over(cut=True)

    def _is_voice(self) -> bool:
        settings = self.settings
        if self._phase in _SPEAKING:
            return self.probability >= settings.keep_probability
        if self.answering:
            return self.probability >= settings.barge_probability
        return self.probability >= settings.begin_probability

    def _voiced_frame(self) -> Iterator[TurnEvent]:
        """A frame with voice."""
        self._silent = 0
        if self._phase is Phase.SILENCE:
            self._phase, self._voiced = Phase.MAYBE, 0
            self._begin = self._position - FRAME
        self._voice_end = self._position
        if self._phase is Phase.MAYBE:
            self._voiced += 1
            if self._enough():
                self._phase = Phase.VOICE
                yield Began(self._begin)
        elif self._phase is Phase.GAP:
            self._phase = Phase.VOICE
        elif self._phase is Phase.PAUSE:
            self._phase, self._paused = Phase.VOICE, None
            yield Resumed(self._position)

    def _enough(self) -> bool:
        """Whether the voice so far begins a turn."""
        if not self.answering:
            return self._voiced >= frames(self.settings.begin_s)
        if self._voiced < frames(self.settings.barge_s):
            return False
        if self._echo_guard is None:
            return True
        return not self._echo_guard(self._last(ECHO_S))

    def _last(self, seconds: float) -> np.ndarray:
        """The last sound, as far as it is kept: float32 (samples,)."""
        return np.concatenate(list(self._sound)[-frames(seconds) :])

    def _silent_frame(self) -> Iterator[TurnEvent]:
        """A frame without voice."""
        settings = self.settings
        self._silent += 1
        if self._phase is Phase.MAYBE and self._silent >= frames(settings.begin_s):
            self._phase = Phase.SILENCE
        elif self._phase is Phase.VOICE:
            self._phase = Phase.GAP
        pause = min(settings.pause_s, settings.end_s)
        if self._phase is Phase.GAP and self._silent >= frames(pause):
            self._phase = Phase.PAUSE
            self._paused = np.concatenate(self._sound)
            yield Paused(self._paused, self._position, self._begin, self._voice_end)
        if self._phase is Phase.PAUSE and self._silent >= frames(settings.end_s):
            yield self._over()

    def _over(self, cut: bool = False) -> Ended:
        sound = np.concatenate(self._sound) if self._paused is None else self._paused
        self._phase, self._paused = Phase.SILENCE, None
        self._trim()
        return Ended(sound, self._position, self._begin, self._voice_end, cut)

    def _trim(self) -> None:
        """Outside a turn, keep only what may come before the next one."""
        while len(self._sound) > frames(self.settings.before_s):
            self._sound.popleft()


_SPEAKING = (Phase.VOICE, Phase.GAP, Phase.PAUSE)
