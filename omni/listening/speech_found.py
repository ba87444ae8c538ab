"""Whether somebody speaks in a recording.

Knows: how sure and how long is enough. Does not know: files, what a recording is for.
Importing this module does not import torch.

Asked before something is written down and before a voice is taken: a model that hears hiss or
music invents a sentence, and speaks with the voice of a fan. A whisper and a single short word are
speech.
"""

from __future__ import annotations

from threading import Event

import numpy as np

from omni.listening.settings import FRAME, RATE
from omni.listening.voice_activity import SileroVoiceActivity
from omni.media.limits import DecodingStopped

PROBABILITY = 0.3  # of a frame; whispers stay below a half, hiss and chords below a twentieth
FRAMES = 5  # in a row (0.16 s): plucked strings are taken for speech for a moment
WINDOW_S = 10.0  # is made equally loud: a knock does not hide a whisper a minute later


def has_speech(waveform: np.ndarray, stop: Event | None = None) -> bool:
    """Whether there is speech in float32 (samples,) at RATE; it is looked for until it is found.

    Args:
        stop: ends the search.

    Raises:
        DecodingStopped: ``stop`` was set.
    """
    activity = SileroVoiceActivity()
    window = round(WINDOW_S * RATE / FRAME) * FRAME
    run = 0
    for start in range(0, waveform.size, window):
        for frame in _levelled(waveform[start : start + window]):
            if stop is not None and stop.is_set():
                raise DecodingStopped
            run = run + 1 if activity(frame) >= PROBABILITY else 0
            if run == FRAMES:
                return True
    return False


def _levelled(samples: np.ndarray) -> np.ndarray:
    """Frames of a window, (frames, FRAME), with its peak at a half."""
    centred = samples - samples.mean()
    peak = float(np.abs(centred).max()) or 1.0
    padded = np.pad(0.5 / peak * centred, (0, -samples.size % FRAME))
    return padded.astype(np.float32).reshape(-1, FRAME)
