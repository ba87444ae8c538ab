"""How alike two sounds are: in what is said, in who says it, in how it is said.

Knows: mel cepstra, dynamic time warping, pitch and spectral envelope.
Does not know: models, sentences, files. Sound is float32 (samples,) at 24 kHz.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from finetune.nano.speech.f0 import f0_track
from finetune.nano.speech.mel import BINS, log_mel
from finetune.nano.speech.synthesis import SPOKEN_RATE, levelled, trimmed

CEPSTRA = 13  # coefficients, the first (the level) not counted
SOUNDING = 3.5  # natural logarithm below the loudest frame's mean mel: silence
FAINTEST = 1e-4  # of full scale
SHORTEST = SPOKEN_RATE // 5  # samples: anything shorter is padded with silence


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    """The orthonormal DCT-II without its first row: (BINS, CEPSTRA)."""
    place = (np.arange(BINS) + 0.5)[:, None] * np.arange(1, CEPSTRA + 1)
    return np.cos(np.pi / BINS * place) * np.sqrt(2 / BINS)


def is_heard(wave: np.ndarray) -> bool:
    """Whether there is any sound in it."""
    return bool(np.abs(wave).max(initial=0.0) > FAINTEST)


def sounding(wave: np.ndarray) -> np.ndarray:
    """``wave`` without the silence around it, at least :data:`SHORTEST` samples."""
    if is_heard(wave):
        wave = trimmed(wave, SPOKEN_RATE)
    return np.pad(wave, (0, max(0, SHORTEST - len(wave))))


def _mel(wave: np.ndarray) -> np.ndarray:
    """Log-mel (frames, BINS) at one level, so that its floor cuts off the same everywhere."""
    wave = sounding(wave)
    if is_heard(wave):
        wave = levelled(wave, SPOKEN_RATE)
    return log_mel(torch.from_numpy(wave.astype(np.float32))).numpy()


def cepstra(wave: np.ndarray) -> np.ndarray:
    """Mel cepstra of every 20 ms, float32 (frames, CEPSTRA), of zero mean.

    Level and the tilt of a vocoder, the same all the time, do not count.
    """
    found = _mel(wave) @ _cosines()
    return (found - found.mean(axis=0)).astype(np.float32)


def warped_distances(sound: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """How far each of ``others`` is from ``sound`` along the best warping of time.

    The symmetric form of Sakoe and Chiba (1978) without a slope limit: a diagonal step counts
    twice, the sum is divided by the frames of both.

    Args:
        sound: cepstra (frames, coefficients).
        others: as many as there are, each (its frames, coefficients).

    Returns:
        float32 (len(others),)
    """
    lengths = np.array([len(other) for other in others])
    rows, columns = len(sound), int(lengths.max())
    padded = np.zeros((columns, len(others), sound.shape[1]), np.float32)
    for place, other in enumerate(others):
        padded[: len(other), place] = other
    squares = (sound**2).sum(-1)[:, None, None] + (padded**2).sum(-1)[None]
    products = np.einsum("ic,jbc->ijb", sound, padded, optimize=True)
    costs = np.sqrt(np.maximum(squares - 2 * products, 0))
    best = np.full((rows + 1, columns + 1, len(others)), np.inf, np.float32)
    best[0, 0] = 0
    for diagonal in range(2, rows + columns + 1):  # cells of one diagonal know nothing of another
        i = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        j = diagonal - i
        cost = costs[i - 1, j - 1]
        straight = np.minimum(best[i - 1, j], best[i, j - 1]) + cost
        best[i, j] = np.minimum(straight, best[i - 1, j - 1] + 2 * cost)
    return best[rows, lengths, np.arange(len(others))] / (rows + lengths)


def nearest(sound: np.ndarray, others: Sequence[np.ndarray]) -> int:
    """The place of the one of ``others`` that says most nearly the same (cepstra)."""
    return int(warped_distances(sound, others).argmin())


@dataclass(frozen=True)
class VoicePrint:
    """A voice: the median of its pitch in octaves (of 1 Hz), its mean cepstrum (CEPSTRA,)."""

    pitch: float
    envelope: np.ndarray


def voice_print(wave: np.ndarray) -> VoicePrint:
    """Pitch and spectral envelope of what sounds in ``wave``."""
    mel = _mel(wave)
    level = mel.mean(axis=1)
    loud = level > level.max() - SOUNDING
    return VoicePrint(float(np.log2(pitch(wave))), (mel[loud] @ _cosines()).mean(axis=0))


def nearest_voice(found: VoicePrint, known: Sequence[VoicePrint]) -> int:
    """The place of the voice that is nearest.

    Pitch and envelope count alike: each distance is in units of how far the known voices spread.
    """
    pitches = np.array([voice.pitch for voice in known])
    envelopes = np.stack([voice.envelope for voice in known])
    pitch_spread = max(float(pitches.std()), 1e-6)
    spread = max(float(np.sqrt(envelopes.var(axis=0).sum())), 1e-6)
    apart = ((pitches - found.pitch) / pitch_spread) ** 2
    apart += ((envelopes - found.envelope) ** 2).sum(axis=1) / spread**2
    return int(apart.argmin())


def pitch(wave: np.ndarray) -> float:
    """The median pitch in Hz; 1 where nothing is voiced."""
    track = f0_track(sounding(wave))
    voiced = track[track > 0]
    return float(np.median(voiced)) if len(voiced) else 1.0


def duration(wave: np.ndarray) -> float:
    """Seconds from the first to the last sound."""
    return len(sounding(wave)) / SPOKEN_RATE
