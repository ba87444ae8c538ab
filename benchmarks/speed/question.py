"""What is asked in a measurement: a sound of a given length, said to be a person's question.

Knows: a vowel-like sound and its file. Does not know: models.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omni.conversation import Audio, Conversation, Message
from omni.media.wav import write_wav

RATE = 16_000  # Hz
PITCH = 140.0  # Hz
HARMONICS = 20
SYLLABLES = 4.0  # a second


def write_question(path: Path, seconds: float) -> Path:
    """A hum with the rhythm of speech and some breath, the same every time."""
    time = np.arange(int(seconds * RATE)) / RATE
    hum = sum(np.sin(2 * np.pi * PITCH * k * time) / k for k in range(1, HARMONICS + 1))
    rhythm = 0.55 + 0.45 * np.sin(2 * np.pi * SYLLABLES * time)
    breath = np.random.default_rng(0).standard_normal(len(time))
    write_wav(path, 0.1 * rhythm * hum + 0.003 * breath, RATE)
    return path


def spoken(path: Path) -> Conversation:
    """A conversation whose only message is the sound file at ``path``."""
    return Conversation(messages=(Message("user", (Audio(path),)),))
