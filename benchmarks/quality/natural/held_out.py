"""The questions of the natural rows: held-out voices, everyday texts, people's own wordings.

Knows: which texts and speakers each row asks with, the right answers, the files in ``data``.
Does not know: engines, scores. Nothing of it is in the training: speakers are of the test side
(:mod:`finetune.nano.teachers.speakers`), sentences of nano's world as in
:mod:`benchmarks.quality.held_out`; the rest was written by hand for these rows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
import soundfile

from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import TABLES, Word
from finetune.nano.domain.splits import stable_hash
from finetune.nano.domain.width import DomainWidth
from finetune.nano.examples.parts import Part, Seen, Watched
from finetune.nano.pictures import clip_questions, picture_questions
from finetune.nano.speech.augment import CLEAN, Recording, heard
from finetune.nano.speech.synthesis import SPOKEN_RATE
from finetune.nano.teachers import files, speaking
from finetune.nano.teachers.speakers import held_out as held_out_speakers
from finetune.nano.teachers.speaking import Speaker

DATA = Path(__file__).with_name("data")
SEED = 1717
_CLIP = "clip:"
_SAID = "say"
_TRIES = 4_000


@dataclass(frozen=True)
class EverydayText:
    """A text as it is typed, and as it is read: numbers in words."""

    text: str
    read: str


@dataclass(frozen=True)
class Wording:
    """A question as somebody asks it, what it is about, the right answer."""

    language: Language
    question: str
    about: Part | None
    answer: str


@dataclass(frozen=True)
class NaturalHeard:
    """Something that a natural voice said, as it was recorded."""

    text: str
    language: Language
    speaker: Speaker
    recording: Recording = CLEAN

    def waveform(self) -> np.ndarray:
        """float32 (samples,) at 16 kHz.

        Raises:
            ResourceError: ``teacher-missing``.
        """
        return heard(spoken(self.speaker, self.text, self.language), self.recording)


def spoken(speaker: Speaker, text: str, language: Language) -> np.ndarray:
    """A speaker's reading, float32 (samples,) at 24 kHz; kept on disk: every run wants it again.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    key = hashlib.blake2b(repr((speaker, text, language)).encode(), digest_size=12).hexdigest()
    path = files.folder() / "said" / f"{key}.flac"
    if not path.is_file():
        wave = speaking.say(speaker, text, language).wave
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        soundfile.write(draft, wave, SPOKEN_RATE, format="FLAC", subtype="PCM_16")
        draft.replace(path)
    return soundfile.read(path, dtype="float32")[0]


def speaker(number: int, language: Language) -> Speaker:
    """The held-out speakers by turns."""
    known = held_out_speakers("test", language)
    return known[number % len(known)]


def eight_speakers(number: int) -> tuple[Speaker, ...]:
    """The eight held-out English speakers in some order, the first one's voice to be taken."""
    known = [*held_out_speakers("test", "en"), *held_out_speakers("validation", "en")]
    first = known.pop(number % len(known))
    return (first, *Random(stable_hash("eight", number)).sample(known, len(known)))


@lru_cache(maxsize=2)
def everyday_texts(language: Language) -> tuple[EverydayText, ...]:
    """The everyday sentences to read; of the English ones the second half has numbers and names."""
    if language == "zh":
        return tuple(EverydayText(text, text) for text in _lines("any_text_zh.txt"))
    rows = [line.split("\t") for line in _lines("any_text_en.tsv")]
    return tuple(EverydayText(row[0], row[-1]) for row in rows)


def some_everyday_texts(language: Language, count: int) -> tuple[EverydayText, ...]:
    """So many of them, from all over the file."""
    known = everyday_texts(language)
    step = max(1, len(known) // count)
    return known[::step][:count]


@lru_cache(maxsize=1)
def outside_questions() -> tuple[tuple[Language, str], ...]:
    """Questions from outside of nano's world, with their language."""
    rows = [line.split("\t") for line in _lines("outside.tsv")]
    return tuple((_language(row[0]), row[1]) for row in rows)


@lru_cache(maxsize=2)
def wordings(width: DomainWidth) -> tuple[Wording, ...]:
    """The questions in people's own words; pictures and clips are of the test side."""
    rows = [line.split("\t") for line in _lines("wording.tsv")]
    return tuple(_wording(number, row, width) for number, row in enumerate(rows))


def _wording(number: int, row: list[str], width: DomainWidth) -> Wording:
    language, kind, given, question, answer = _language(row[0]), *row[1:]
    if kind == _SAID:
        return Wording(language, question, None, answer)
    words = dict(entry.split("=") for entry in given.split(";") if entry)
    about, found = _asked(number, kind, words, width, language)
    return Wording(language, question, about, found)


def _asked(
    number: int, kind: str, words: dict[str, str], width: DomainWidth, language: Language
) -> tuple[Part, str]:
    """A picture or clip of the test side about which this can be asked, and the right answer.

    Raises:
        ValueError: there is none.
    """
    rng = Random(stable_hash("wording", number, SEED))
    wanted = {name: _word(name, value) for name, value in words.items()}
    for _ in range(_TRIES):
        if kind.startswith(_CLIP):
            clip, asked = clip_questions.draw_asked_clip(
                rng, "test", width, kind.removeprefix(_CLIP)
            )
            about: Part = Watched(clip)
        else:
            scene, asked = picture_questions.draw_asked_scene(rng, "test", width, kind)
            about = Seen(scene)
        if all(asked.words[name] == word for name, word in wanted.items()):
            return about, asked.answer(language)
    raise ValueError(f"nothing to ask {kind} {words} about")


def _word(name: str, value: str) -> Word:
    """The word of a table with that English or Chinese form.

    Raises:
        KeyError: there is none.
    """
    value = value.replace("_", " ")
    for word in TABLES[name]:
        if value in (word.en, word.zh, word.key):
            return word
    raise KeyError(f"{name} {value}")


def _language(code: str) -> Language:
    return "zh" if code == "zh" else "en"


def _lines(name: str) -> list[str]:
    text = (DATA / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line]
