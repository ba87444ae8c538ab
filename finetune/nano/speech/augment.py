"""Microphones, rooms and noise: from clean speech to what a model hears.

Knows: gain, noise, band-width, silence around, light reverberation, each drawn from a seed.
Does not know: speech synthesis, features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import soxr

from finetune.nano.speech.synthesis import HEARD_RATE, SPOKEN_RATE

_QUIET = 1e-4  # root mean square of the faintest noise floor
_REVERB_S = 0.35  # the longest tail
_POOL_S = 8.0  # of noise, drawn once and cut from


@dataclass(frozen=True)
class Recording:
    """How an utterance was recorded. The default leaves it as it is."""

    gain_db: float = 0.0
    lead_s: float = 0.0  # silence before
    tail_s: float = 0.0  # and after
    noise_db: float | None = None  # signal to noise; None: no noise
    noise_slope: float = 0.0  # of the noise's spectrum: 0 white, 1 pink
    hum: bool = False  # of the mains, as a part of the noise
    cutoff: float | None = None  # Hz: nothing above; None: the full band
    reverb_s: float = 0.0  # the room's decay by 60 dB
    reverb_db: float = -12.0  # level of the tail against the direct sound
    seed: int = 0


CLEAN = Recording()


def draw_recording(seed: int, strength: float = 1.0) -> Recording:
    """A random recording.

    Args:
        strength: 0 is close to clean, 1 is as a phone in a room.
    """
    rng = np.random.default_rng(seed)

    def some(share: float) -> bool:
        return bool(rng.random() < share * strength)

    return Recording(
        gain_db=float(rng.uniform(-14, 6) * strength),
        lead_s=float(rng.uniform(0, 0.4) * strength),
        tail_s=float(rng.uniform(0, 0.5) * strength),
        noise_db=float(rng.uniform(12, 45)) if some(0.6) else None,
        noise_slope=float(rng.uniform(0, 1)),
        hum=some(0.1),
        cutoff=float(rng.uniform(3400, 7500)) if some(0.35) else None,
        reverb_s=float(rng.uniform(0.08, _REVERB_S)) if some(0.3) else 0.0,
        reverb_db=float(rng.uniform(-18, -6)),
        seed=seed,
    )


def heard(said: np.ndarray, recording: Recording = CLEAN) -> np.ndarray:
    """What is heard of something said, float32 (samples,) at SPOKEN_RATE; at HEARD_RATE."""
    wave = soxr.resample(said, SPOKEN_RATE, HEARD_RATE, quality="HQ").astype(np.float32)
    return record(wave, recording)


def record(wave: np.ndarray, recording: Recording) -> np.ndarray:
    """What is heard of ``wave`` in a recording.

    Args:
        wave: float32 (samples,) at :data:`finetune.nano.speech.synthesis.HEARD_RATE`.

    Returns:
        float32 (samples with lead and tail,), within [-1, 1].
    """
    if recording == CLEAN:
        return wave
    rng = np.random.default_rng(recording.seed)
    lead, tail = (round(s * HEARD_RATE) for s in (recording.lead_s, recording.tail_s))
    heard = np.pad(wave, (lead, tail))
    if recording.reverb_s:
        heard = _reverberated(heard, recording, rng)
    level = float(np.sqrt(np.mean(wave**2)))
    if recording.noise_db is not None:
        heard = heard + _noise(len(heard), recording, rng) * (
            level * 10 ** (-recording.noise_db / 20)
        )
    if recording.cutoff:
        heard = _low_pass(heard, recording.cutoff)
    heard = heard * 10 ** (recording.gain_db / 20)
    floor = rng.standard_normal(len(heard), dtype=np.float32) * np.float32(_QUIET)
    return np.clip(heard + floor, -1, 1).astype(np.float32)


def _reverberated(wave: np.ndarray, recording: Recording, rng: np.random.Generator) -> np.ndarray:
    """Direct sound and a tail of decaying noise."""
    size = round(recording.reverb_s * HEARD_RATE)
    decay = 10 ** (-3 * np.arange(size) / size)
    tail = rng.standard_normal(size) * decay
    tail[: HEARD_RATE // 200] = 0  # the first echo comes after 5 ms
    tail *= 10 ** (recording.reverb_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    length = _fft_length(len(wave) + size)
    spectrum = np.fft.rfft(wave, length) * np.fft.rfft(tail, length)
    return np.fft.irfft(spectrum, length)[: len(wave)]


@lru_cache(maxsize=1)
def _white() -> np.ndarray:
    """Drawn once: drawing it for every recording took most of the time."""
    return np.random.default_rng(0).standard_normal(round(_POOL_S * HEARD_RATE))


def _noise(samples: int, recording: Recording, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit level."""
    pool = _white()
    if samples > len(pool):
        pool = np.tile(pool, -(-samples // len(pool)))
    start = int(rng.integers(len(pool) - samples + 1))
    noise = pool[start : start + samples]
    if recording.noise_slope:
        length = _fft_length(samples)
        frequencies = np.fft.rfftfreq(length, 1 / HEARD_RATE)
        shape = np.maximum(frequencies, 60.0) ** (-recording.noise_slope / 2)
        noise = np.fft.irfft(np.fft.rfft(noise, length) * shape, length)[:samples]
    noise = noise / np.sqrt(np.mean(noise**2))
    if recording.hum:
        steps = np.arange(samples) * (2 * np.pi * rng.choice((50.0, 60.0)) / HEARD_RATE)
        noise = noise + sum(np.sin(k * steps) / k for k in (1, 2, 3))
    return noise


def _low_pass(wave: np.ndarray, cutoff: float) -> np.ndarray:
    """Falls from 1 to 0 within a fifth of the cutoff."""
    length = _fft_length(len(wave))
    frequencies = np.fft.rfftfreq(length, 1 / HEARD_RATE)
    shape = np.clip((cutoff * 1.2 - frequencies) / (0.2 * cutoff), 0, 1)
    return np.fft.irfft(np.fft.rfft(wave, length) * shape, length)[: len(wave)]


def _fft_length(samples: int) -> int:
    """At least ``samples``, and of small factors mostly."""
    return -(-samples // 2048) * 2048
