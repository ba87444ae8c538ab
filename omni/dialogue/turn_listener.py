"""The microphone's stream, listened to: from samples to a person's turns.

Knows: the detector of turns, the guard against the answer's own sound, the microphone's rate.
Does not know: what becomes of a turn, answers, cameras, connections. For one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import soxr

from omni.events import SPEECH_RATE
from omni.listening.echo import EchoGuard
from omni.listening.settings import RATE, ListeningSettings
from omni.listening.turn_detection import Phase, TurnDetector, TurnEvent
from omni.listening.voice_activity import VoiceActivity

AFTER_ANSWER = RATE // 2  # samples: devices play so much later what they were given


class TurnListener:
    """One conversation's microphone."""

    def __init__(self, voice: Callable[[], VoiceActivity], settings: ListeningSettings) -> None:
        """``voice``: makes the detector of voice, which may load a model."""
        self.echo_guard = EchoGuard(SPEECH_RATE)
        self._detector = TurnDetector(voice(), settings, self.echo_guard)
        self._resample: soxr.ResampleStream | None = None
        self._answered_at = -AFTER_ANSWER

    @property
    def position(self) -> int:
        """Samples of the stream, at RATE, that were judged."""
        return self._detector.position

    @property
    def quiet(self) -> bool:
        """Nobody speaks, nor has there been voice that may become a turn."""
        return self._detector.phase is Phase.SILENCE

    def opened(self, rate: int) -> None:
        """The microphone gives ``rate`` Hz."""
        self._resample = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, "float32")

    def change(self, settings: ListeningSettings) -> None:
        """Find turns with other ``settings`` from now on; one that is under way goes on."""
        self._detector.settings = settings

    def hear(self, samples: np.ndarray) -> Iterator[TurnEvent]:
        """What the next int16 (samples,) bring; iterate to the end."""
        sound = samples.astype(np.float32) / 32768
        if self._resample is not None:
            sound = self._resample.resample_chunk(sound)
        return self._detector.push(sound)

    def answering(self, playing: bool) -> None:
        """Whether an answer is playing: then, and a moment longer, it is harder to be a person."""
        position = self._detector.position
        if playing:
            self._answered_at = position
        self._detector.answering = playing or position - self._answered_at < AFTER_ANSWER
