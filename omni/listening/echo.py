"""Whether the microphone hears the program's own voice.

Knows: what is being played, where the listener is in it, and by which delay the microphone has
heard it before. Browsers cancel echo themselves; this is the guard for what is left, or for a
browser that does not.
Does not know: turns, browsers.

The last sound of the microphone is compared with what may have left the loudspeaker: the normalized
cross-correlation of both, whitened by a first difference so that pitch alone does not look alike,
over many delays by FFT. Two voices are alike for a moment at some delay (the same vowel, the same
"s"), so a moment proves nothing: the sound is cut into slices, and all of them must be alike at one
delay. Where an echo was heard once, its delay is known, and what comes later is compared there.
"""

from __future__ import annotations

import numpy as np
import soxr

from omni.listening.settings import RATE

WINDOW = round(0.16 * RATE)  # samples that are compared at once ...
SLICES = 3  # ... and the slices of it that must be alike at one delay
SUSPECT = 0.12  # correlation of the least alike slice from which it may be an echo
CERTAIN = 0.3  # and from which it is one, so that its delay is learned
# At a known delay the mean over the slices decides, the loud ones before the quiet ones (in which
# an echo fades in the room): at least a share of what is usual there, so that a person who speaks
# over a loud echo is not taken for it.
USUAL_SHARE, LEAST_AT_DELAY, MOST_AT_DELAY = 0.3, 0.17, 0.3
MEMORY = 0.2  # of the newest window in what is usual
TOLERANCE = round(0.02 * RATE)  # samples by which reports make a known delay wander
EARLIEST = round(0.9 * RATE)  # samples: latency of devices and network at most
LATEST = round(0.5 * RATE)  # samples ahead of the last report
KEPT = round(30 * RATE)  # samples of the past
LOUD = 0.005  # root mean square from which the microphone is listened to for an unknown delay
LOOK_EVERY = 3  # frames between two looks for it


class EchoGuard:
    """Knows what an answer plays, and tells whether the microphone hears that."""

    def __init__(self, rate: int) -> None:
        """``rate``: Hz, of what is played."""
        self._rate = rate
        self._delay: int | None = None  # samples; None: no echo was heard yet
        self._usual = 0.0  # correlation at that delay
        self.clear()

    def clear(self) -> None:
        """Nothing plays. The delay stays: it belongs to the room and the devices."""
        self._resample = soxr.ResampleStream(self._rate, RATE, 1)
        self._sound = np.zeros(0, np.float32)
        self._dropped = 0  # samples at RATE
        self._played = 0  # samples at RATE, when the last report came
        self._since = 0  # samples that were heard since
        self._frames = 0

    def sent(self, samples: np.ndarray) -> None:
        """More to play: int16 (samples,)."""
        chunk = self._resample.resample_chunk(samples.astype(np.float32) / 32768)
        self._sound = np.concatenate([self._sound, chunk])
        surplus = self._played - self._dropped - KEPT
        if surplus > 0:
            self._sound = self._sound[surplus:]
            self._dropped += surplus

    def played(self, samples: int) -> None:
        """So much of it was heard by now: samples at the rate of what is played."""
        self._played = samples * RATE // self._rate
        self._since = 0

    def follow(self, recent: np.ndarray, new: int) -> None:
        """Follow the microphone while an answer plays: look for an echo before it is a question.

        Args:
            recent: float32 (samples,) at RATE, the last ones; of them ``new`` were not seen yet.
        """
        self._since += new
        self._frames += 1
        if self._delay is not None or self._frames % LOOK_EVERY or len(recent) < WINDOW:
            return
        window = recent[-WINDOW:]
        if np.sqrt(np.mean(window**2)) >= LOUD:
            self._search(window)

    def __call__(self, window: np.ndarray) -> bool:
        """Whether float32 (samples,) at RATE, the microphone's last, are what is playing."""
        window = window[-WINDOW:]
        if not len(self._sound) or len(window) < WINDOW:
            return False
        if self._delay is None:
            return self._search(window) >= SUSPECT
        return self._at_delay(window) or self._search(window) >= CERTAIN

    def _at_delay(self, window: np.ndarray) -> bool:
        """Whether the window is what is heard at the known delay."""
        assert self._delay is not None
        alike = self._alike(window, self._delay - TOLERANCE, self._delay + TOLERANCE)
        if alike is None:
            return False
        slices, most = alike
        means = np.abs(_loudness(window) @ slices)
        best = int(means.argmax())
        limit = np.clip(USUAL_SHARE * self._usual, LEAST_AT_DELAY, MOST_AT_DELAY)
        if means[best] < limit:
            return False
        self._learn(most - best, float(means[best]))
        return True

    def _search(self, window: np.ndarray) -> float:
        """The correlation of the least alike slice at the delay where that is highest."""
        alike = self._alike(window, -LATEST, EARLIEST)
        if alike is None:
            return 0.0
        slices, most = alike
        least = np.maximum(slices.min(0), (-slices).min(0))  # an echo may be upside down
        best = int(least.argmax())
        if least[best] >= CERTAIN:
            if self._delay is None or abs(most - best - self._delay) > TOLERANCE:
                self._usual = 0.0
            self._learn(most - best, float(abs(_loudness(window) @ slices[:, best])))
        return float(least[best])

    def _learn(self, delay: int, correlation: float) -> None:
        known = self._usual or correlation
        self._usual = known + MEMORY * (correlation - known)
        self._delay = delay

    def _alike(self, window: np.ndarray, least: int, most: int) -> tuple[np.ndarray, int] | None:
        """Correlations (slices, delays) from ``most`` samples down to ``least``, and ``most``.

        None where nothing was played at any of them.
        """
        now = self._played + self._since - self._dropped
        first, last = now - len(window) - most, now - least
        reference = self._sound[max(0, first) : max(0, last)]
        if not len(reference):
            return None
        # Silence before and behind what is played: a window may lie across its ends.
        ends = max(0, -first), max(0, last - max(0, first) - len(reference))
        return _correlations(np.diff(window), np.diff(np.pad(reference, ends))), most


def _loudness(window: np.ndarray) -> np.ndarray:
    """The slices' shares of a window's loudness: (slices,), 1 in all."""
    length = len(window) // SLICES
    norms = np.linalg.norm(window[: SLICES * length].reshape(SLICES, length), axis=1)
    return norms / (norms.sum() + 1e-9)


def _correlations(window: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Of each slice of the window with the reference: (slices, places where the window may lie)."""
    length = len(window) // SLICES
    places = len(reference) - len(window) + 1
    size = 1 << (len(reference) + length - 1).bit_length()
    transformed = np.fft.rfft(reference, size)
    energy = np.concatenate([[0.0], np.cumsum(reference.astype(np.float64) ** 2)])
    loudness = np.sqrt(np.maximum(energy[length:] - energy[:-length], 0))
    loudness += 1e-4 * length**0.5  # silence in the reference is like nothing
    rows = []
    for start in range(0, SLICES * length, length):
        cut = window[start : start + length]
        dots = np.fft.irfft(transformed * np.conj(np.fft.rfft(cut, size)), size)
        at = slice(start, start + places)
        rows.append(dots[at] / loudness[at] / (np.linalg.norm(cut) + 1e-9))
    return np.array(rows)
