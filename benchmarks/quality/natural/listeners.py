"""Listeners from outside: pocketsphinx writes down English, DNSMOS tells how pleasant speech is.

Knows: both wheels' models and what they take. Does not know: nano, teachers, rows. None of them
heard nano or our recognizers; pocketsphinx was trained on people.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
import soxr

from finetune.nano.teachers.files import missing, package_folder
from finetune.nano.teachers.kokoro import Session, session

RATE = 16_000  # Hz, of both
_EDGE_S = 0.3  # of silence around what pocketsphinx hears: it needs some to begin
_MOS_SAMPLES = int(9.01 * RATE)
# From raw scores to opinions (DNSMOS P.835, overall), as speechmos has them.
_OVERALL = (-0.06766283, 1.11546468, 0.04602535)


class _Hypothesis(Protocol):
    hypstr: str


class Decoder(Protocol):
    """pocketsphinx's."""

    def start_utt(self) -> None:
        """Begin."""
        ...

    def process_raw(self, data: bytes, no_search: bool, full_utt: bool) -> int:
        """Hear 16-bit samples."""
        ...

    def end_utt(self) -> None:
        """End."""
        ...

    def hyp(self) -> _Hypothesis | None:
        """What was heard."""
        ...


@lru_cache(maxsize=1)
def _decoder() -> Decoder:
    try:
        from pocketsphinx import Decoder as Sphinx
    except ImportError as error:
        raise missing("the package pocketsphinx") from error
    return Sphinx(samprate=RATE, loglevel="FATAL")


def heard_words(wave: np.ndarray, rate: int) -> str:
    """What pocketsphinx hears in English speech, in small letters; numbers in words.

    Args:
        wave: float32 (samples,) in [-1, 1].
        rate: Hz.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    sound = at_16_khz(wave, rate)
    edge = np.zeros(round(_EDGE_S * RATE), np.float32)
    pcm = (np.clip(np.concatenate([edge, sound, edge]), -1, 1) * 32767).astype(np.int16)
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), False, True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found else ""


@lru_cache(maxsize=1)
def _opinions() -> Session:
    return session(package_folder("speechmos") / "dnsmos_models" / "sig_bak_ovr.onnx")


def opinion(wave: np.ndarray, rate: int) -> float:
    """The overall mean opinion score (1 to 5) that DNSMOS expects of people.

    Short speech is repeated to nine seconds; of longer speech the windows, a second apart, are
    averaged.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    sound = np.clip(at_16_khz(wave, rate), -1, 1)
    if not sound.any():
        return 1.0
    if len(sound) < _MOS_SAMPLES:  # one window, where speechmos looks at eight of the same
        sound = np.tile(sound, -(-_MOS_SAMPLES // len(sound)))[:_MOS_SAMPLES]
    starts = range(0, len(sound) - _MOS_SAMPLES + 1, RATE)
    raw = [
        _opinions().run(None, {"input_1": sound[None, start : start + _MOS_SAMPLES]})[0][0][2]
        for start in starts
    ]
    return float(np.mean(np.polyval(_OVERALL, raw)))


def at_16_khz(wave: np.ndarray, rate: int) -> np.ndarray:
    """float32 (samples,) at RATE."""
    if rate == RATE:
        return wave.astype(np.float32)
    return soxr.resample(wave, rate, RATE, quality="HQ").astype(np.float32)
