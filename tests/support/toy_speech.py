"""Speech without espeak-ng: what is said, by whom and how can be told from the sound."""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np

from finetune.nano.domain import sentences
from finetune.nano.domain.languages import Language
from finetune.nano.domain.styles import STYLES as SOUNDS
from finetune.nano.domain.styles import StyleName
from finetune.nano.domain.width import within
from finetune.nano.speech.synthesis import SPOKEN_RATE, Utterance
from finetune.nano.speech.voices import Voice


def toy_speech(utterance: Utterance, rate: int = SPOKEN_RATE) -> np.ndarray:
    """Every letter an own pair of formants; the voice decides pitch and tilt, the style the rest.

    float32 (samples,) at ``rate``.
    """
    letters = [_letter(x, utterance.voice, utterance.style, rate) for x in utterance.text.lower()]
    return np.concatenate(letters)


@lru_cache(maxsize=4096)
def _letter(letter: str, voice: Voice, style: StyleName, rate: int) -> np.ndarray:
    place, own, sound = Random(letter), Random(voice.variant), SOUNDS[style]
    pitch = 90 * 2 ** (voice.pitch / 50 + own.uniform(-0.3, 0.3) + sound.pitch / 60)
    tilt, samples = own.uniform(0.3, 1.5), round(0.06 / sound.tempo * rate)
    low, high = place.uniform(250, 900), place.uniform(1000, 3500)
    harmonics = np.arange(1, int(7000 / pitch))[:, None]
    at = harmonics * pitch
    shape = np.exp(-(((at - low) / 150) ** 2)) + np.exp(-(((at - high) / 250) ** 2)) + 0.05
    tones = shape * harmonics**-tilt * np.sin(2 * np.pi * at * np.arange(samples) / rate)
    wave = tones.sum(axis=0) * np.hanning(samples) ** 0.3
    return (0.2 * wave / np.abs(wave).max()).astype(np.float32)


def held_out_sentences(language: Language) -> set[str]:
    """All held-out sentences of the core."""
    return {
        template.text(filling, language)
        for template in within(sentences.TEMPLATES, "core")
        for filling in template.fillings("core")
        if template.split(filling) == "test"
    }
