"""Speech by espeak-ng: what is said, by whom and how, to a waveform.

Knows: utterances and the espeak settings that they mean, trimming, level, resampling, and when
which phoneme of which word sounds.
Does not know: which utterances are worth saying, noise and rooms
(:mod:`finetune.nano.speech.augment`).

An utterance's waveform is a function of the utterance alone (and of espeak-ng's version).
"""

from __future__ import annotations

import atexit
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
import soxr

from finetune.nano.domain.languages import Language
from finetune.nano.domain.styles import STYLES, StyleName
from finetune.nano.speech.drawn_voices import variant_file
from finetune.nano.speech.espeak_server import FAILED, HEADER, MISSING
from finetune.nano.speech.voices import Voice
from omni.errors import ResourceError

SPOKEN_RATE = 24_000  # Hz, what the model says
HEARD_RATE = 16_000  # Hz, what the model hears
LANGUAGE_VOICES: Mapping[Language, str] = {"en": "en-us", "zh": "cmn-latn-pinyin"}
# Words a minute, as espeak counts them; both languages then take about as long for a sentence.
USUAL_RATE: Mapping[Language, int] = {"en": 165, "zh": 220}
# What espeak-ng 1.51 reads wrongly, as what sounds right.
_RESPELLED: Mapping[str, str] = {
    " live": " liv",  # the verb
    "首都": "首督",
    "了解": "瞭解",
    "睡觉": "睡叫",
    "柏林": "博林",
    "罗马": "罗码",
    "吱吱": "知知",
    "嘎嘎": "旮旮",
    "呱呱": "瓜瓜",
}
DRAWN_VOLUME = 35  # espeak's usual 100 would clip the strong formants of some
SLOWEST_RATE = 80  # espeak's own limit
SERVER_SCRIPT = Path(__file__).with_name("espeak_server.py")
END_S = 5.0  # within which the process that runs espeak-ng ends by itself
LEVEL = 0.0562  # root mean square of the sounding part: -25 dB of full scale
PEAK = 0.95  # of full scale, at most
LEAD_S, TAIL_S = 0.04, 0.08  # silence that is kept before and after
_SILENCE = 0.01  # of the loudest window's level: -40 dB
_WINDOW_S = 0.01
_FADE_S = 0.005


@dataclass(frozen=True)
class Utterance:
    """Something said. ``tempo`` and ``pitch_shift`` (espeak steps) are the speaker's mood."""

    text: str
    language: Language
    voice: Voice
    style: StyleName = "plain"
    tempo: float = 1.0
    pitch_shift: int = 0

    def styled(self, style: StyleName) -> Utterance:
        """The same in another style."""
        return replace(self, style=style)


@dataclass(frozen=True)
class Sound:
    """A phoneme of an utterance, until the next one begins."""

    start_s: float  # from the start of the waveform that :func:`speak` gives
    phoneme: str  # in espeak's notation; "_" and what begins with it is silence
    place: int  # where its word or Hanzi begins in the text, in characters

    @property
    def silent(self) -> bool:
        """Whether nothing is heard."""
        return self.phoneme.startswith("_")


def sounds(utterance: Utterance) -> tuple[Sound, ...]:
    """The phonemes of an utterance in time.

    Raises:
        ResourceError: ``espeak-missing``.
        ValueError: espeak-ng has no such voice or says nothing.
    """
    return _native(utterance).sounds


@dataclass(frozen=True)
class _Spoken:
    """What espeak-ng gave: its rate in Hz, the finished waveform, the phonemes."""

    rate: int
    wave: np.ndarray
    sounds: tuple[Sound, ...]


def speak(utterance: Utterance, rate: int = SPOKEN_RATE, accent: str | None = None) -> np.ndarray:
    """An utterance's waveform.

    Trimmed to :data:`LEAD_S` and :data:`TAIL_S` of silence, at :data:`LEVEL` (the style's gain
    added), resampled by soxr HQ, never above :data:`PEAK`.

    Args:
        rate: Hz.
        accent: espeak-ng's name of a voice (``en-gb-scotland``); None: the usual of the language.

    Returns:
        float32 (samples,)

    Raises:
        ResourceError: ``espeak-missing``.
        ValueError: espeak-ng has no such voice or says nothing.
    """
    spoken = _native(utterance, accent)
    if rate == spoken.rate:
        return spoken.wave.copy()
    return _resampled(spoken.wave, spoken.rate, rate)


def espeak_version() -> str:
    """The version of espeak-ng, on which every waveform depends.

    Raises:
        ResourceError: ``espeak-missing``.
    """
    return _server().version


def _resampled(wave: np.ndarray, native: int, rate: int) -> np.ndarray:
    resampled = soxr.resample(wave, native, rate, quality="HQ").astype(np.float32)
    peak = float(np.abs(resampled).max(initial=0.0))
    return resampled * (PEAK / peak) if peak > PEAK else resampled


@lru_cache(maxsize=8)  # the same utterance is wanted at two rates
def _native(utterance: Utterance, accent: str | None = None) -> _Spoken:
    style = STYLES[utterance.style]
    rate = USUAL_RATE[utterance.language] * utterance.tempo * style.tempo
    pitch = utterance.voice.pitch + utterance.pitch_shift + style.pitch
    text = utterance.text
    for written, sounding in _RESPELLED.items():
        text = text.replace(written, sounding)
    server = _server()
    variant = utterance.voice.variant
    drawn = variant_file(variant)
    file: dict[str, str | int] = {}
    if drawn is not None:
        file = {"variant_file": drawn, "volume": DRAWN_VOLUME}
    pcm, events = server.speak(
        text=text,
        voice=f"{accent or LANGUAGE_VOICES[utterance.language]}+{variant}",
        rate=max(SLOWEST_RATE, round(rate)),
        pitch=min(max(pitch, 1), 99),
        **file,
    )
    wave = np.frombuffer(pcm, dtype=np.int16).astype(np.float32) / 32768
    if not wave.any():
        raise ValueError(f"espeak-ng says nothing for {utterance}")
    cut_s = sounding_range(wave, server.rate)[0] / server.rate - LEAD_S
    wave = levelled(trimmed(wave, server.rate), server.rate, style.gain_db)
    wave.setflags(write=False)
    moved = tuple(Sound(ms / 1000 - cut_s, name, place) for ms, name, place in events)
    return _Spoken(server.rate, wave, moved)


def trimmed(wave: np.ndarray, rate: int) -> np.ndarray:
    """``wave`` without the silence around it but for :data:`LEAD_S` and :data:`TAIL_S`."""
    first, last = sounding_range(wave, rate)
    kept = wave[max(0, first - round(LEAD_S * rate)) : last + round(TAIL_S * rate)].copy()
    lead = max(0, round(LEAD_S * rate) - first)
    tail = max(0, last + round(TAIL_S * rate) - len(wave))
    fade = round(_FADE_S * rate)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    kept[:fade] *= ramp
    kept[-fade:] *= ramp[::-1]
    return np.pad(kept, (lead, tail))


def sounding_range(wave: np.ndarray, rate: int) -> tuple[int, int]:
    """The samples between which ``wave`` is not silent."""
    levels, window = _levels(wave, rate)
    sounding = np.flatnonzero(levels > _SILENCE * levels.max())
    return int(sounding[0]) * window, (int(sounding[-1]) + 1) * window


def levelled(wave: np.ndarray, rate: int, gain_db: float = 0.0) -> np.ndarray:
    """``wave`` with its sounding part at :data:`LEVEL` plus a gain, peaks within :data:`PEAK`."""
    levels, _ = _levels(wave, rate)
    sounding = levels[levels > 0.1 * levels.max()]
    level = float(np.sqrt(np.mean(sounding**2)))
    gain = LEVEL / level * 10 ** (gain_db / 20)
    gain = min(gain, PEAK / float(np.abs(wave).max()))
    return (wave * np.float32(gain)).astype(np.float32)


def _levels(wave: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    """Root mean squares of consecutive windows, and the samples of one."""
    window = round(_WINDOW_S * rate)
    padded = np.pad(wave, (0, -len(wave) % window)).reshape(-1, window)
    return np.sqrt(np.mean(padded.astype(np.float64) ** 2, axis=1)), window


class EspeakServer:
    """The client's end of :mod:`finetune.nano.speech.espeak_server`. Thread-safe.

    Raises:
        ResourceError: ``espeak-missing``.
    """

    def __init__(self, script: Path = SERVER_SCRIPT) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._lock = threading.Lock()
        status, data, _ = self._receive()
        if status == MISSING:
            self.close()
            raise ResourceError(
                "espeak-missing",
                "Training data is spoken by espeak-ng, which is not installed ({reason}): install "
                "the package espeak-ng (Debian, Ubuntu: apt-get install espeak-ng; macOS: brew "
                "install espeak-ng).",
                reason=data.decode(),
            )
        greeting = json.loads(data)
        self.rate: int = greeting["rate"]  # Hz
        self.version: str = greeting["version"]

    def speak(self, **request: str | int) -> tuple[bytes, list[tuple[int, str, int]]]:
        """PCM (int16 at :attr:`rate`) and sounds of a request.

        Both as :class:`finetune.nano.speech.espeak_server.Speaker` describes them.

        Raises:
            ValueError: espeak-ng refuses it.
        """
        with self._lock:
            stdin = _stream(self._process.stdin)
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
            status, data, sounds = self._receive()
        if status == FAILED:
            raise ValueError(data.decode())
        return data, json.loads(sounds)

    def close(self) -> None:
        """End the process: it goes when nobody can ask any more. A fork may keep the way to it."""
        _stream(self._process.stdin).close()
        _stream(self._process.stdout).close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _receive(self) -> tuple[int, bytes, bytes]:
        stdout = _stream(self._process.stdout)
        size = struct.calcsize(HEADER)
        header = stdout.read(size)
        if len(header) < size:
            raise RuntimeError("the process that runs espeak-ng ended")
        status, length, more = struct.unpack(HEADER, header)
        return status, stdout.read(length), stdout.read(more)


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("the process has no pipes")
    return stream


_servers: dict[int, EspeakServer] = {}
_servers_lock = threading.Lock()


def _server() -> EspeakServer:
    """This process's server; a forked worker starts its own."""
    with _servers_lock:
        process = os.getpid()
        if process not in _servers:
            _servers.clear()  # a parent's pipes: not ours to close
            _servers[process] = EspeakServer()
            atexit.register(_servers[process].close)
        return _servers[process]
