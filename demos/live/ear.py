"""What a live session hears and sees: the microphone's stream to turns, the camera's frames.

Knows: the detector of turns, the guard against the answer's own sound, which sound and which frames
belong to a turn. Does not know: answers, the chat, connections. For one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import soxr

from demos.live.answers import Answer, Question
from omni.conversation import Part
from omni.dialogue.camera import CameraRing
from omni.events import SPEECH_RATE
from omni.listening.echo import OwnVoice
from omni.listening.settings import RATE, ListeningSettings
from omni.listening.turn_detection import Ended, Paused, Phase, TurnDetector, TurnEvent
from omni.listening.voice_activity import Voice

PIECE = 8 * RATE  # samples of speech before a pause, from which on they are a piece of their own
CAMERA_BEFORE = RATE  # samples: what was shown in the second before a turn belongs to it
AFTER_ANSWER = RATE // 2  # samples: devices play so much later what they were given


class Ear:
    """One session's microphone and camera."""

    def __init__(
        self, voice: Callable[[], Voice], settings: ListeningSettings, camera: bool
    ) -> None:
        """``voice``: makes the detector of voice, which may load a model."""
        self.own_voice = OwnVoice(SPEECH_RATE)
        self._detector = TurnDetector(voice(), settings, self.own_voice)
        self._resample: soxr.ResampleStream | None = None
        self._camera = CameraRing() if camera else None
        self._said = self._said_at = 0  # samples: of the turn, that are kept pieces; of the stream
        self._answered_at = -AFTER_ANSWER

    @property
    def hearing(self) -> bool:
        """Somebody speaks."""
        return self._detector.phase not in (Phase.SILENCE, Phase.MAYBE)

    @property
    def pausing(self) -> bool:
        """Somebody spoke, and it may be the end."""
        return self._detector.phase is Phase.PAUSE

    @property
    def frames(self) -> int:
        """Frames of the camera that are held."""
        return len(self._camera) if self._camera else 0

    def opened(self, rate: int) -> None:
        """The microphone gives ``rate`` Hz."""
        self._resample = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, "float32")

    def hear(self, samples: np.ndarray) -> Iterator[TurnEvent]:
        """What the next int16 (samples,) bring; iterate to the end."""
        sound = samples.astype(np.float32) / 32768
        if self._resample is not None:
            sound = self._resample.resample_chunk(sound)
        return self._detector.push(sound)

    def see(self, jpeg: bytes) -> None:
        """A frame of the camera; ignored where none was asked for."""
        if self._camera is not None:
            self._camera.add(jpeg, self._detector.position)

    def answering(self, playing: bool) -> None:
        """Whether an answer is playing: then, and a moment longer, it is harder to be a person."""
        position = self._detector.position
        if playing:
            self._answered_at = position
        self._detector.answering = playing or position - self._answered_at < AFTER_ANSWER

    def question(self, event: Paused | Ended, carried: tuple[Part, ...]) -> Question:
        """What a turn asks, if ``event`` is its end; behind what was ``carried`` from before."""
        frames: tuple[bytes, ...] = ()
        if self._camera is not None:
            begin = self._said_at if self._said else event.voice_begin - CAMERA_BEFORE
            frames = self._camera.between(begin, event.voice_end)
        return Question(event.sound[self._said :], frames, carried)

    def keep_piece(self, answer: Answer) -> bool:
        """Whether what ``answer`` has read is a piece of the turn, which goes on behind it.

        A long part is: what was read of it stays read.
        """
        if not answer.parts or len(answer.question.sound) < PIECE:
            return False
        self._said += len(answer.question.sound)
        self._said_at = self._detector.position
        return True

    def taken(self) -> None:
        """The turn is over and its question was asked: what comes belongs to another one."""
        self._said = 0
        if self._camera is not None:
            self._camera.forget(self._detector.position)

    def rest(self) -> None:
        """Nothing is being answered: unless somebody speaks, old frames are of no use."""
        if self._camera is not None and self._detector.phase is Phase.SILENCE:
            self._camera.forget(self._detector.position - CAMERA_BEFORE)

    def close(self) -> None:
        """Live is over: no frame is kept."""
        if self._camera is not None:
            self._camera.forget()
