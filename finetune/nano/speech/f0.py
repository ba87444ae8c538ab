"""The fundamental frequency of clean speech: what the vocoder's pitch predictor is to learn.

Knows: YIN (de Cheveigné and Kawahara 2002) in numpy, with octave errors repaired by the
utterance's own median. Does not know: models. Made for espeak-ng's dry waves, not for noisy ones.
"""

from __future__ import annotations

import numpy as np

RATE = 24_000  # Hz
HOP = 480  # samples: one frame of the mel that speech is decoded to
LOWEST, HIGHEST = 42.0, 550.0  # Hz
_DECIMATION = 2  # speech has its pitch far below 6 kHz
_WINDOW = 300  # decimated samples that are compared with themselves one lag later, 25 ms
_LAGS = int(RATE / _DECIMATION / LOWEST) + 2  # decimated samples
_USUAL_LAG = 80  # decimated samples, 150 Hz: for this pitch frames are centred exactly
_SURE = 0.15  # of YIN's normalized difference: the first dip below it is the period
_VOICED = 0.35  # a deepest dip above it: no pitch
_REPAIRED = 0.5  # the same for a dip near the utterance's median
_QUIET = 0.02  # of the loudest frame's level: silence
_OCTAVE = 1.7  # times the median: farther off, another dip is looked for


def f0_track(wave: np.ndarray) -> np.ndarray:
    """Pitch of every mel frame in Hz; 0 where there is none.

    Frame i is centred on sample ``(i + 0.5) * HOP``, as :func:`finetune.nano.speech.mel.log_mel`
    does.

    Args:
        wave: float32 (samples,) at :data:`RATE`.

    Returns:
        float32 (samples // HOP,)
    """
    frames = _frames(wave)
    if not len(frames):
        return np.zeros(0, np.float32)
    rate = RATE / _DECIMATION
    difference = _normalized_difference(frames)
    levels = np.sqrt((frames**2).mean(axis=1))
    shortest = int(rate / HIGHEST)
    lags, depths = _first_dips(difference, shortest)
    voiced = (depths < _VOICED) & (levels > _QUIET * levels.max())
    lags, voiced = _repair(lags, voiced, difference, shortest)
    pitch = rate / _refined(difference, lags)
    return np.where(voiced, pitch, 0.0).astype(np.float32)


def _frames(wave: np.ndarray) -> np.ndarray:
    """float64 (frames, samples) around each hop's middle, decimated."""
    kernel = np.hanning(2 * _DECIMATION + 1)
    smooth = np.convolve(wave, kernel / kernel.sum(), mode="same")[::_DECIMATION]
    hop, size = HOP // _DECIMATION, _WINDOW + _LAGS
    number = len(wave) // HOP
    padded = np.pad(smooth.astype(np.float64), size)
    starts = size + np.arange(number) * hop + hop // 2 - (_WINDOW + _USUAL_LAG) // 2
    return padded[starts[:, None] + np.arange(size)]


def _normalized_difference(frames: np.ndarray) -> np.ndarray:
    """YIN's cumulative mean normalized difference (frames, lags); 1 at lag 0."""
    still = frames[:, :_WINDOW]
    length = 1 << (frames.shape[1] + _WINDOW - 1).bit_length()
    spectrum = np.fft.rfft(frames, length) * np.conj(np.fft.rfft(still, length))
    products = np.fft.irfft(spectrum, length)[:, :_LAGS]
    power = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    moving = power[:, _WINDOW : _WINDOW + _LAGS] - power[:, :_LAGS]
    difference = moving[:, :1] + moving - 2 * products
    running = np.cumsum(difference[:, 1:], axis=1) / np.arange(1, _LAGS)
    normalized = difference[:, 1:] / np.maximum(running, 1e-12)
    return np.concatenate([np.ones((len(frames), 1)), normalized], axis=1)


def _first_dips(difference: np.ndarray, shortest: int) -> tuple[np.ndarray, np.ndarray]:
    """For each frame the lag of the first deep dip, else of the deepest, and its depth."""
    dips = _is_dip(difference)
    dips[:, :shortest] = False
    depths = np.where(dips, difference, np.inf)
    sure = depths < _SURE
    lags = np.where(sure.any(axis=1), sure.argmax(axis=1), depths.argmin(axis=1))
    return lags, np.take_along_axis(depths, lags[:, None], axis=1)[:, 0]


def _is_dip(difference: np.ndarray) -> np.ndarray:
    dips = np.zeros(difference.shape, bool)
    inner = difference[:, 1:-1]
    dips[:, 1:-1] = (inner <= difference[:, :-2]) & (inner < difference[:, 2:])
    return dips


def _repair(
    lags: np.ndarray, voiced: np.ndarray, difference: np.ndarray, shortest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Replace periods an octave off by the deepest dip around the utterance's median.

    Where there is no such dip the frame has no pitch.
    """
    if not voiced.any():
        return lags, voiced
    median = float(np.median(lags[voiced]))
    off = voiced & ((lags > _OCTAVE * median) | (lags < median / _OCTAVE))
    low = max(shortest, int(median / _OCTAVE))
    high = min(difference.shape[1] - 1, int(median * _OCTAVE) + 1)
    dips = _is_dip(difference)
    near = np.where(dips[:, low:high], difference[:, low:high], np.inf)
    found = low + near.argmin(axis=1)
    good = near.min(axis=1) < _REPAIRED
    return np.where(off & good, found, lags), voiced & (good | ~off)


def _refined(difference: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Lags moved to the bottom of the parabola through each dip."""
    rows = np.arange(len(lags))
    at = np.clip(lags, 1, difference.shape[1] - 2)
    left, middle, right = (difference[rows, at + step] for step in (-1, 0, 1))
    curve = left - 2 * middle + right
    shift = np.where(
        np.abs(curve) > 1e-12, 0.5 * (left - right) / np.where(curve == 0, 1, curve), 0
    )
    return at + np.clip(shift, -0.5, 0.5)
