"""What may be wrong with a recording whose voice is to be taken: it warns, it refuses nothing.

Knows: how much of a wave lies at its top, how far the voice stands out of what is around it, how
the pitch of one person spreads. Does not know: files, what is refused
(omni.listening.reference_check).
Importing this module does not import torch.

docs/voices.md says how often it warns of what is all right, and misses what is not.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np

from omni.listening.settings import RATE

Doubt: TypeAlias = Literal["clipped", "noisy", "two-voices"]
DOUBTS: tuple[Doubt, ...] = get_args(Doubt)

# A wave that was cut at 36 % of its samples and then went through a codec has no flat top any more,
# and yet stays near its height.
TOP_NEAR = 0.6  # of the height (the 0.999 quantile)
TOP_SHARE = 0.12  # of the samples of speech; what is not cut stays below 0.09

LEVEL_S = 0.032  # frames whose level is looked at
STANDS_OUT_DB = 15.0  # from what is quiet to what is loud in a recording with a voice; clean: 25

PITCH_FRAME_S, PITCH_STEP_S = 0.04, 0.02
LOWEST_HZ, HIGHEST_HZ = 65.0, 420.0
PERIODIC = 0.6  # of the frame's energy, for it to be voiced
LOUD_DB = 25.0  # a frame is looked at that is at most so far below the loudest
WINDOW_FRAMES = 20  # voiced ones (0.4 s at least) whose median pitch counts as one
# Two groups of windows are two people if their pitches lie so far apart, in semitones, in units of
# how far each spreads, and if each speaks for so long.
APART_ST, APART_SPREADS, EACH_S = 6.0, 4.0, 1.0


def doubts(waveform: np.ndarray, talking: np.ndarray) -> tuple[Doubt, ...]:
    """What may be wrong with float32 (samples,) at RATE.

    Args:
        talking: the samples of it that are speech.
    """
    found: list[Doubt] = []
    if _near_the_top(talking) > TOP_SHARE:
        found.append("clipped")
    if stands_out_db(waveform) < STANDS_OUT_DB:
        found.append("noisy")
    elif two_voices(waveform):
        found.append("two-voices")
    return tuple(found)


def _near_the_top(talking: np.ndarray) -> float:
    size = np.abs(talking)
    return float(np.mean(size > TOP_NEAR * np.quantile(size, 0.999)))


def stands_out_db(waveform: np.ndarray) -> float:
    """How far what is loud lies above what is quiet, in dB: the 90th and the 10th percentile."""
    frame = round(LEVEL_S * RATE)
    frames = waveform[: waveform.size // frame * frame].reshape(-1, frame)
    low, high = np.percentile(np.mean(frames**2, axis=1) + 1e-10, (10, 90))
    return float(10 * np.log10(high / low))


def two_voices(waveform: np.ndarray) -> bool:
    """Whether the pitch says that two people speak; two of like pitch are not told apart."""
    pitches = window_pitches(waveform)
    each = max(1, round(EACH_S / (WINDOW_FRAMES * PITCH_STEP_S)))
    if pitches.size < 2 * each:
        return False
    ranked = np.sort(pitches)
    cuts = range(each, ranked.size - each + 1)
    spreads = [_within(ranked, cut) for cut in cuts]
    cut = each + int(np.argmin(spreads))
    apart = float(np.median(ranked[cut:]) - np.median(ranked[:cut]))
    return apart >= max(APART_ST, APART_SPREADS * min(spreads))


def _within(ranked: np.ndarray, cut: int) -> float:
    """How far both groups spread around their means: semitones."""
    groups = ranked[:cut], ranked[cut:]
    return float(np.sqrt(sum(group.var() * group.size for group in groups) / ranked.size))


def window_pitches(waveform: np.ndarray) -> np.ndarray:
    """The median pitch of every WINDOW_FRAMES voiced frames, in semitones above LOWEST_HZ."""
    hertz = _pitch_track(waveform)
    voiced = hertz[hertz > 0]
    count = voiced.size // WINDOW_FRAMES
    windows = voiced[: count * WINDOW_FRAMES].reshape(count, WINDOW_FRAMES)
    return 12 * np.log2(np.median(windows, axis=1) / LOWEST_HZ)


def _pitch_track(waveform: np.ndarray) -> np.ndarray:
    """The pitch of every frame in Hz, 0 where it has none: float (frames,).

    The highest peak of the autocorrelation, divided by what its window lets through (Boersma 1993);
    of peaks that are nearly as high the one with the shortest period.
    """
    size, step = round(PITCH_FRAME_S * RATE), round(PITCH_STEP_S * RATE)
    if waveform.size < size:
        return np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, size)[::step]
    energy = np.mean(frames**2, axis=1)
    loud = energy > energy.max() * 10 ** (-LOUD_DB / 10)
    window = np.hanning(size)
    centred = (frames - frames.mean(axis=1, keepdims=True)) * window
    shape = _autocorrelation(window[None])[0]
    found = _autocorrelation(centred) / np.maximum(shape, 0.05)
    first, last = round(RATE / HIGHEST_HZ), round(RATE / LOWEST_HZ)
    lags = found[:, first : last + 1]
    best = lags.max(axis=1)
    # the shortest period that does nearly as well: no octave too low
    place = np.argmax(lags >= 0.9 * best[:, None], axis=1)
    rest = np.arange(lags.shape[1])[None] - place[:, None]
    near = (rest >= 0) & (rest < first // 2)
    peak = np.argmax(np.where(near, lags, -1), axis=1)
    return np.where(loud & (best > PERIODIC), RATE / (first + peak), 0.0)


def _autocorrelation(frames: np.ndarray) -> np.ndarray:
    """Of each row, 1 at lag 0: (rows, samples)."""
    size = frames.shape[1]
    spectrum = np.fft.rfft(frames, 2 * size, axis=1)
    raw = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :size]
    return raw / np.maximum(raw[:, :1], 1e-12)
