"""Conversations for the microphone, synthesized by espeak-ng, with the truth beside them.

Knows: voices, sentences, pauses, noises, when each turn is spoken. Does not know: detectors.
"""

from __future__ import annotations

import functools
import io
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr

RATE = 16_000  # Hz
LOUDNESS = 0.08  # root mean square of speech, of full scale
AUDIBLE = 0.01  # of the peak: where a synthesized sentence begins and ends

SENTENCES = (
    ("en", ("What do you see in the picture",)),
    ("en", ("How many cats are there", "and where are they")),
    ("en", ("I would like to know", "what seven plus five is")),
    ("en", ("Tell me a story",)),
    ("en", ("Well", "let me think", "how old is the oldest tree in the world")),
    ("en", ("Yes",)),
    ("en", ("Please say that again", "but a little slower")),
    ("en", ("No", "I meant the blue one on the left")),
    ("zh", ("你好",)),
    ("zh", ("请告诉我", "这张图片里有什么")),
    ("zh", ("今天天气怎么样",)),
    ("zh", ("我想知道", "三加五等于几")),
)
VOICES = {
    "en": ("en-us+m1", "en-us+f2", "en-gb+m3", "en-us+f4", "en-gb-scotland+m7"),
    "zh": ("cmn-latn-pinyin+m2", "cmn-latn-pinyin+f3"),
}


@dataclass(frozen=True, eq=False)
class Recording:
    """What a microphone heard: float32 (samples,) at RATE, and when turns were spoken in it.

    ``turns``: (begin, end) in samples, of each whole turn with its inner pauses.
    """

    name: str
    sound: np.ndarray
    turns: tuple[tuple[int, int], ...]


@functools.lru_cache(maxsize=4096)
def say(text: str, voice: str, speed: int = 160, pitch: int = 50) -> np.ndarray:
    """A sentence without silence around it: float32 (samples,) at RATE.

    Raises:
        subprocess.CalledProcessError: espeak-ng does not know the voice.
    """
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    wav = subprocess.run(command, capture_output=True, check=True).stdout
    sound, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    sound = soxr.resample(sound, rate, RATE)
    loud = np.flatnonzero(np.abs(sound) > AUDIBLE * np.abs(sound).max())
    sound = sound[loud[0] : loud[-1] + 1]
    sound = sound * (LOUDNESS / np.sqrt(np.mean(sound**2)))
    sound.setflags(write=False)  # it is kept: whoever changes it changes a copy
    return sound


def silence(seconds: float) -> np.ndarray:
    """That many zeros."""
    return np.zeros(round(seconds * RATE), np.float32)


def turn(
    phrases: Sequence[str], voice: str, pauses: Sequence[float], speed: int, pitch: int
) -> np.ndarray:
    """Phrases with a pause between each two."""
    pieces = [say(phrases[0], voice, speed, pitch)]
    for phrase, pause in zip(phrases[1:], pauses, strict=False):
        pieces += [silence(pause), say(phrase, voice, speed, pitch)]
    return np.concatenate(pieces)


def conversation(
    seed: int, turns: int = 4, longest_pause: float = 0.5, noise: str = "clean"
) -> Recording:
    """Turns of one voice with silence between them.

    Args:
        longest_pause: seconds, inside a turn; the shortest is 0.15 s.
        noise: clean (a quiet room), hiss (20 dB below speech), hum, knocks (between turns too).
    """
    random = np.random.default_rng(seed)
    language = "zh" if seed % 3 == 2 else "en"
    choices = [phrases for spoken, phrases in SENTENCES if spoken == language]
    voice = str(random.choice(VOICES[language]))
    speed, pitch = int(random.integers(130, 200)), int(random.integers(30, 70))
    pieces, spoken, position = [silence(1.0)], [], RATE
    for _ in range(turns):
        phrases = choices[int(random.integers(len(choices)))]
        pauses = [float(pause) for pause in random.uniform(0.15, longest_pause, 4)]
        sound = turn(phrases, voice, pauses, speed, pitch)
        gap = silence(float(random.uniform(1.5, 3.0)))
        spoken.append((position, position + len(sound)))
        pieces += [sound, gap]
        position += len(sound) + len(gap)
    sound = np.concatenate(pieces)
    return Recording(f"{noise} {seed}", sound + _noise(noise, len(sound), random), tuple(spoken))


def _noise(kind: str, samples: int, random: np.random.Generator) -> np.ndarray:
    """float32 (samples,)."""
    floor = (random.standard_normal(samples) * LOUDNESS * 1e-3).astype(np.float32)
    time = np.arange(samples) / RATE
    if kind == "hiss":
        return floor + (random.standard_normal(samples) * LOUDNESS * 0.1).astype(np.float32)
    if kind == "hum":
        tones = np.sum([np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 8)], axis=0)
        return floor + (LOUDNESS * 0.2 * tones).astype(np.float32)
    if kind == "knocks":
        for _ in range(samples // (2 * RATE)):
            at = int(random.integers(samples - RATE))
            length = int(random.integers(400, 4000))
            decay = np.exp(-6 * np.arange(length) / length)
            knock = random.standard_normal(length) * decay * LOUDNESS * 3
            floor[at : at + length] += knock.astype(np.float32)
    return floor
