"""What sounds when, as labels of frames: for losses that say what a frame holds.

Knows: phonemes to classes, frames of any length. Does not know: models, losses.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from finetune.nano.speech.synthesis import Sound

PHONEME_CLASSES = 256  # espeak's names hashed: about 100 are used, of both languages
SILENCE = 0  # the class
NOWHERE = -1  # the place in the text where nothing is said


def phoneme_class(sound: Sound) -> int:
    """The class of a phoneme, the same in every process."""
    if sound.silent:
        return SILENCE
    return 1 + zlib.crc32(sound.phoneme.encode()) % (PHONEME_CLASSES - 1)


def frame_phonemes(sounds: Sequence[Sound], frames: int, frame_s: float) -> np.ndarray:
    """The class at the middle of each frame: uint8 (frames,)."""
    classes = np.array([SILENCE, *map(phoneme_class, sounds)], np.uint8)
    return classes[_current(sounds, frames, frame_s)]


def frame_places(sounds: Sequence[Sound], frames: int, frame_s: float) -> np.ndarray:
    """Where in the text the word at the middle of each frame begins: int64 (frames,).

    :data:`NOWHERE` in silence.
    """
    places = [NOWHERE, *(NOWHERE if sound.silent else sound.place for sound in sounds)]
    return np.array(places, np.int64)[_current(sounds, frames, frame_s)]


def _current(sounds: Sequence[Sound], frames: int, frame_s: float) -> np.ndarray:
    """The number of sounds that have begun at the middle of each frame."""
    middles = (np.arange(frames) + 0.5) * frame_s
    return np.searchsorted([sound.start_s for sound in sounds], middles, side="right")
