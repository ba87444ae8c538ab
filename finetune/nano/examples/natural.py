"""What natural voices say to nano, in examples to learn from.

Knows: voices that speak at once (English), recordings of the natural corpus (both languages).
Does not know: what is asked, who draws.

``NANO_CORPUS`` names the folders of the corpus, as ``PATH`` does its own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
import soundfile

from finetune.nano.domain.languages import Language
from finetune.nano.examples.parts import Heard
from finetune.nano.speech.augment import Recording, draw_recording, heard
from finetune.nano.speech.synthesis import Sound, Utterance
from finetune.nano.speech.voices import DEFAULT_VOICE
from finetune.nano.teachers import speaking
from finetune.nano.teachers.corpus import Entry, entries
from finetune.nano.teachers.speakers import drawn
from finetune.nano.teachers.speaking import Speaker, Spoken
from omni.errors import ResourceError

FOLDERS_VARIABLE = "NANO_CORPUS"  # of the environment
_QUICK: tuple[speaking.TeacherName, ...] = ("hibari", "hibari", "flite")
_SPEAKERS = 4_000  # that are drawn of each quick teacher


@dataclass(frozen=True, kw_only=True)
class NaturalHeard(Heard):
    """Something that a natural voice says at once."""

    speaker: Speaker

    def waveform(self) -> np.ndarray:
        """float32 (samples,) at 16 kHz.

        Raises:
            ResourceError: ``teacher-missing``.
            ValueError: it can't be said.
        """
        return heard(_said(self.speaker, self.utterance.text).wave, self.recording)

    def sounds(self) -> tuple[Sound, ...]:
        """Its phonemes in time."""
        return telling_words(_said(self.speaker, self.utterance.text).sounds, self.utterance.text)


@lru_cache(maxsize=8)
def _said(speaker: Speaker, text: str) -> Spoken:
    return speaking.say(speaker, text, "en")


@dataclass(frozen=True, kw_only=True)
class CorpusHeard(Heard):
    """An utterance of the natural corpus."""

    entry: Entry

    def waveform(self) -> np.ndarray:
        """float32 (samples,) at 16 kHz."""
        start, stop = self.entry.start, self.entry.start + self.entry.samples
        wave, _ = soundfile.read(self.entry.path, dtype="float32", start=start, stop=stop)
        return heard(wave, self.recording)

    def sounds(self) -> tuple[Sound, ...]:
        """Its phonemes in time."""
        return telling_words(self.entry.sounds, self.entry.text)


def telling_words(sounds: tuple[Sound, ...], text: str) -> tuple[Sound, ...]:
    """The sounds; none where a teacher (flite) doesn't tell which word is which."""
    places = {sound.place for sound in sounds if not sound.silent}
    return sounds if len(places) > 1 or " " not in text else ()


@lru_cache(maxsize=1)
def corpus() -> dict[str, dict[str, tuple[Entry, ...]]]:
    """What the corpus has of each language, by text.

    Raises:
        ResourceError: ``corpus-missing``.
    """
    found: dict[str, dict[str, list[Entry]]] = {"en": {}, "zh": {}}
    for folder in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep):
        for entry in entries(Path(folder)) if folder else ():
            found[entry.language].setdefault(entry.text, []).append(entry)
    if not found["en"] and not found["zh"]:
        raise ResourceError(
            "corpus-missing",
            "{variable} names no folder of the natural corpus: make one with python -m "
            "finetune.nano.teachers.corpus",
            variable=FOLDERS_VARIABLE,
        )
    return {
        language: {text: tuple(some) for text, some in texts.items()}
        for language, texts in found.items()
    }


def of_corpus(rng: Random, language: Language, text: str | None = None) -> Heard | None:
    """An utterance of the corpus, of a text if one is given; None: it has none.

    Raises:
        ResourceError: ``corpus-missing``.
    """
    known = corpus()[language]
    if not known or (text is not None and text not in known):
        return None
    entry = rng.choice(known[rng.choice(_texts(language)) if text is None else text])
    utterance = Utterance(entry.text, language, DEFAULT_VOICE)
    return CorpusHeard(utterance, _recording(rng), entry=entry)


@lru_cache(maxsize=2)
def _texts(language: Language) -> tuple[str, ...]:
    return tuple(corpus()[language])


def at_once(rng: Random, text: str, language: Language) -> Heard | None:
    """A text in a voice that needs no corpus; None: the language has none."""
    if language == "zh":
        return None
    teacher = rng.choice(_QUICK)
    speaker = drawn(rng.randrange(_SPEAKERS), language, teacher)
    return NaturalHeard(Utterance(text, language, DEFAULT_VOICE), _recording(rng), speaker=speaker)


def _recording(rng: Random) -> Recording:
    return draw_recording(rng.getrandbits(32), rng.random())
