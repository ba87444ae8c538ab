"""What travels between a live page and the server.

Knows: the form of messages. Does not know: connections, what is done about a message.

Up, binary: a byte for the kind, then data: SOUND int16 little-endian (samples,), FRAME a JPEG.
Up, text: JSON with ``type``: ``hello`` (``rate`` Hz of the sound), ``played`` and ``flushed``
(``answer``, ``samples``), ``ping``, ``settings`` (``thresholds`` by their names), ``end``
(``reason``).
Down, binary: the answer's number (4 bytes, little-endian), then int16 samples at SPEECH_RATE.
Down, text: JSON with ``type``: ``state``, ``flush``, ``sent``, ``note``, ``pong``, ``bye``.
Captions are ``said`` (``text`` of ``answer``, spoken from its sample ``at`` on) and ``heard``
(``text``: what ``answer`` answers, as the model has written it down).
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from demos.live.thresholds import settings_named
from omni.dialogue.states import EndReason
from omni.listening.settings import ListeningSettings

SOUND, FRAME = 1, 2
LARGEST_MESSAGE = 1 << 20  # bytes
RATES = range(8_000, 192_001)  # Hz that a microphone may have


class WireError(ValueError):
    """A message that no page of ours sends."""


@dataclass(frozen=True, eq=False)
class Sound:
    """From the microphone: int16 (samples,)."""

    samples: np.ndarray


@dataclass(frozen=True)
class Picture:
    """From the camera."""

    jpeg: bytes


@dataclass(frozen=True)
class Hello:
    """The first message. ``rate``: Hz of the microphone's samples."""

    rate: int


@dataclass(frozen=True)
class PlaybackReport:
    """How many samples of an answer were played; ``flushed``: no more of it will be."""

    answer: int
    samples: int
    flushed: bool


@dataclass(frozen=True)
class Ping:
    """The page asks whether the session still is there."""


@dataclass(frozen=True)
class Sensitivity:
    """From now on turns are found with these settings."""

    settings: ListeningSettings


@dataclass(frozen=True)
class Over:
    """The page ends the session."""

    reason: EndReason


Up: TypeAlias = Sound | Picture | Hello | PlaybackReport | Ping | Sensitivity | Over
Down: TypeAlias = "bytes | dict[str, Any]"


def read(message: bytes | str) -> Up:
    """A message from the page.

    Raises:
        WireError: it has another form.
    """
    if len(message) > LARGEST_MESSAGE:
        raise WireError("too long")
    return _read_data(message) if isinstance(message, bytes) else _read_text(message)


def _read_data(message: bytes) -> Up:
    kind, data = message[:1], message[1:]
    if kind == bytes([SOUND]) and len(data) % 2 == 0:
        return Sound(np.frombuffer(data, "<i2"))
    if kind == bytes([FRAME]):
        return Picture(data)
    raise WireError("unknown data")


def _read_text(message: str) -> Up:
    try:
        fields = json.loads(message)
        kind = fields["type"]
        if kind == "hello" and int(fields["rate"]) in RATES:
            return Hello(int(fields["rate"]))
        if kind in ("played", "flushed"):
            number, samples = int(fields["answer"]), max(0, int(fields["samples"]))
            return PlaybackReport(number, samples, kind == "flushed")
        if kind == "ping":
            return Ping()
        if kind == "settings":
            return Sensitivity(settings_named(fields["thresholds"]))
        if kind == "end":
            return Over("microphone" if fields["reason"] == "microphone" else "stopped")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise WireError("broken text") from error
    raise WireError("unknown text")


def speech(answer: int, samples: np.ndarray) -> bytes:
    """A piece of an answer's sound, int16 (samples,)."""
    return struct.pack("<I", answer) + np.asarray(samples, "<i2").tobytes()
