"""Natural speech: a text, its language and a speaker to a waveform and its sounds in time.

Knows: the teachers, moving a voice by resampling, trimming and level as espeak-ng's speech has
them. Does not know: which speakers are for training
(:mod:`finetune.nano.teachers.speakers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import soxr

from finetune.nano.domain.languages import Language
from finetune.nano.domain.styles import STYLES, StyleName
from finetune.nano.speech.synthesis import (
    LEAD_S,
    SPOKEN_RATE,
    Sound,
    levelled,
    sounding_range,
    trimmed,
)
from finetune.nano.teachers import flite, hibari, kokoro
from finetune.nano.teachers.english import english_phones, spelled_out
from finetune.nano.teachers.mandarin import mandarin_phones
from finetune.nano.teachers.phones import SILENCE, Phones, timed

TeacherName = Literal["kokoro", "hibari", "flite"]
# By Kokoro's lengths, and by those of hibari, which is distilled from it, a sound begins so much
# later than it is heard: moved by this, the energy of an utterance goes best with that of
# espeak-ng's in the same time (0.70 instead of 0.53 for 80 utterances, in both languages).
LATE_S = 0.04
# How much higher or lower espeak-ng is in these styles, by the median of its voiced frames: 1.37
# and 0.76 times in English, 1.45 and 0.72 times in Mandarin.
STYLE_PITCHES: Mapping[StyleName, float] = {"high": 1.4, "low": 0.74}


@dataclass(frozen=True)
class Speaker:
    """Who speaks. ``throat`` moves pitch and formants together: 1.2 is a shorter throat."""

    teacher: TeacherName
    mix: kokoro.Mix  # Kokoro's styles and weights; one voice of weight 1 elsewhere
    throat: float = 1.0
    tempo: float = 1.0
    british: bool = False
    melody: kokoro.Mix = ()  # of Kokoro: who lends lengths and pitch; empty: the same
    style: StyleName = "plain"  # in which the answers are asked for

    @property
    def name(self) -> str:
        """As in ``kokoro:af_heart*0.6+am_adam*0.4 melody zf_xiaoni throat 1.10``."""
        melody = f" melody {_told(self.melody)}" if self.melody else ""
        moved = "" if self.throat == 1 else f" throat {self.throat:.2f}"
        style = "" if self.style == "plain" else f" {self.style}"
        return f"{self.teacher}:{_told(self.mix)}{melody}{moved}{style}"


def _told(mix: kokoro.Mix) -> str:
    return "+".join(name if weight == 1 else f"{name}*{weight:g}" for name, weight in mix)


@dataclass(frozen=True, eq=False)
class Spoken:
    """What was said: float32 (samples,) at SPOKEN_RATE, trimmed and levelled; its sounds."""

    wave: np.ndarray
    sounds: tuple[Sound, ...]

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.wave) / SPOKEN_RATE


def phones(text: str, language: Language, british: bool = False) -> Phones:
    """The symbols of a text that the teachers know.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    found = mandarin_phones(text) if language == "zh" else english_phones(text, british)
    return found.known("".join(kokoro.alphabet()))


def say(speaker: Speaker, text: str, language: Language) -> Spoken:
    """A text in a speaker's voice; a function of its arguments.

    Raises:
        ResourceError: ``teacher-missing``.
        ValueError: the speaker doesn't have the language, or nothing can be said.
    """
    if language == "zh" and speaker.teacher != "kokoro":
        raise ValueError(f"{speaker.teacher} speaks English alone")
    style = STYLES[speaker.style]
    pitch, throat = STYLE_PITCHES.get(speaker.style, 1.0), speaker.throat
    if speaker.teacher != "hibari":  # its pitch can't be moved alone
        throat *= pitch
    speed = speaker.tempo * style.tempo / throat
    if speaker.teacher == "flite":
        wave, sounds = flite.say(spelled_out(text), speaker.mix[0][0], speed)
        rate = flite.RATE
    else:
        symbols = phones(text, language, speaker.british)
        if speaker.teacher == "hibari":
            wave, lengths = hibari.say(symbols, speed, pitch=pitch)
        else:
            wave, lengths = kokoro.say(symbols, speaker.mix, speed, speaker.melody)
        rate, sounds = kokoro.RATE, earlier(timed(symbols, lengths))
    return finished(wave, rate, sounds, throat, style.gain_db)


def earlier(sounds: tuple[Sound, ...]) -> tuple[Sound, ...]:
    """Sounds by lengths as they are heard: :data:`LATE_S` before, all but the first."""
    return tuple(replace(one, start_s=max(0.0, one.start_s - LATE_S)) for one in sounds)


def finished(
    wave: np.ndarray,
    rate: int,
    sounds: tuple[Sound, ...],
    throat: float = 1.0,
    gain_db: float = 0.0,
) -> Spoken:
    """The waveform as all speech of the training is: moved, resampled, trimmed, levelled.

    Raises:
        ValueError: nothing sounds.
    """
    if not wave.any():
        raise ValueError("nothing is said")
    if rate != SPOKEN_RATE or throat != 1:
        wave = soxr.resample(wave, rate * throat, SPOKEN_RATE, quality="HQ").astype(np.float32)
    first, last = sounding_range(wave, SPOKEN_RATE)
    cut_s = first / SPOKEN_RATE - LEAD_S
    wave = levelled(trimmed(wave, SPOKEN_RATE), SPOKEN_RATE, gain_db)
    moved = [replace(one, start_s=one.start_s / throat - cut_s) for one in sounds]
    # The teachers' last phoneme lasts on while nothing sounds any more.
    end_s = LEAD_S + (last - first) / SPOKEN_RATE
    heard = [one for one in moved if one.start_s < end_s]
    return Spoken(wave, (*heard, Sound(end_s, SILENCE, heard[-1].place if heard else 0)))
