"""A person, a page and a clock for tests of Live: sound whose voice is marked by its loudness.

Knows: how to speak so that :class:`LoudVoice` hears it, what a page answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from demos.base.languages import Words
from demos.live import wire
from demos.live.answers import Setup
from demos.live.session import Live
from demos.turns.chat import Thread
from demos.turns.sessions import Sessions
from demos.turns.turn import unchanged
from omni.conversation import SystemPrompt
from omni.dialogue.states import EndReason
from omni.listening.settings import RATE, ListeningSettings

PIECE = RATE // 20  # samples of a message of the page


class LoudVoice:
    """A voice is what is loud."""

    def __call__(self, frame: np.ndarray) -> float:
        return 0.95 if float(np.abs(frame).max()) > 0.1 else 0.02

    def reset(self) -> None:
        """Nothing is remembered."""


def spoken(seconds: float) -> np.ndarray:
    """int16 (samples,) of voice."""
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, round(seconds * RATE))
    return (noise * 32767).astype(np.int16)


def quiet(seconds: float) -> np.ndarray:
    """int16 (samples,) of silence."""
    return np.zeros(round(seconds * RATE), np.int16)


class Talk:
    """A live session with a page that plays what it gets, at once or never."""

    def __init__(
        self,
        engine: Any,
        sessions: Sessions,
        camera: bool = False,
        plays: bool = True,
        settings: ListeningSettings | None = None,
        language: str = "en",
        write_down: bool = True,
    ) -> None:
        self.session = sessions.get("person")
        setup = Setup(Thread(), SystemPrompt(), language, language, unchanged, write_down, camera)  # type: ignore[arg-type]
        self.live = Live(engine, self.session, setup, Words(), settings, LoudVoice)
        self.plays = plays
        self.got: list[wire.Down] = []
        self.sound: dict[int, int] = {}  # samples that came, by answer
        self.live.start(self._receive)
        self.until(lambda: self.live.state == "listening")

    def say(self, *pieces: np.ndarray) -> None:
        """Send sound as the page would, but faster."""
        sound = np.concatenate(pieces)
        for start in range(0, len(sound), PIECE):
            self.live.take(wire.Sound(sound[start : start + PIECE]))

    def until(self, condition: Callable[[], bool], timeout: float = 10.0) -> None:
        """Wait for something to become true."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, (self.live.state, self.states, self.live.status)
            time.sleep(0.005)

    def heard(self, answer: int, samples: int, flushed: bool = False) -> None:
        """The page tells what it played."""
        self.live.take(wire.PlaybackReport(answer, samples, flushed))

    @property
    def states(self) -> list[str]:
        """The states that the page was told."""
        return [str(message["state"]) for message in self.messages("state")]

    def messages(self, kind: str) -> list[dict[str, Any]]:
        """The messages of one type."""
        return [m for m in list(self.got) if isinstance(m, dict) and m["type"] == kind]

    def end(self, reason: EndReason = "stopped") -> None:
        """End it and wait for its threads."""
        self.live.end(reason)
        self.until(lambda: self.live.over is not None)
        self.until(lambda: not any(t.name.startswith("omni-live") for t in threading.enumerate()))

    def _receive(self, message: wire.Down) -> None:
        self.got.append(message)
        if isinstance(message, bytes):
            number = int.from_bytes(message[:4], "little")
            self.sound[number] = self.sound.get(number, 0) + (len(message) - 4) // 2
            if self.plays:
                self.heard(number, self.sound[number])
        elif message["type"] == "flush" and self.plays:
            self.heard(message["answer"], self.sound.get(message["answer"], 0), flushed=True)
