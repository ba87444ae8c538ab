"""What a case of the corpus is, and what is right for it: a known sentence, or a value.

Knows: the sentences by their keys. Does not know: entrances, how a file of a case is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from demos.base.word_files import read_words

HEARD_EVERY_S = 1 / 12.5  # seconds of sound that one place of the prompt stands for
AROUND_SOUND = 11  # places of a transcription's prompt that are no sound


@dataclass(frozen=True)
class Refused:
    """A sentence: that of one of ``keys``."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class Heard:
    """A transcript. None: not looked at. ``seconds``: of sound that the model gets."""

    text: str | None = None
    seconds: float | None = None
    damaged: bool = False  # a note says so

    def check(self, text: str, statistics: dict[str, object]) -> None:
        """Hold a transcription to it."""
        if self.text is not None:
            assert text.strip() == self.text
        if self.seconds is not None:
            places = statistics["prompt_tokens"]
            assert isinstance(places, int)
            heard = (places - AROUND_SOUND) * HEARD_EVERY_S
            assert abs(heard - self.seconds) <= 2 * HEARD_EVERY_S, heard
        notes = statistics["media_notes"]
        assert isinstance(notes, list)
        assert [note["kind"] for note in notes] == (["damaged"] if self.damaged else [])


@dataclass(frozen=True)
class Seen:
    """What the model says that it sees. ``note``: the kind of one that stands below."""

    text: str
    note: str | None = None


@dataclass(frozen=True)
class Case:
    """An odd file. ``make`` writes it into a folder and returns it."""

    name: str
    make: Callable[[Path], Path]
    right: Refused | Heard | Seen

    def __str__(self) -> str:
        return self.name


def refused(*keys: str) -> Refused:
    """One of these sentences is right."""
    return Refused(keys)


def written(name: str, content: bytes) -> Callable[[Path], Path]:
    """Makes a file of ``content``."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


@cache
def pattern(key: str) -> re.Pattern[str]:
    """The English sentence of an error or of the page, with anything in its gaps."""
    words = read_words()["en"]
    sentence = words.errors.get(key) or words.ui[key]
    parts = re.split(r"\{\w+(?::[^}]*)?\}", sentence)
    return re.compile(".+?".join(re.escape(part) for part in parts), re.DOTALL)


def keys_of(text: str) -> list[str]:
    """The keys of the sentences that stand in a text."""
    words = read_words()["en"]
    return [key for key in (*words.errors, *words.ui) if pattern(key).search(text)]


def says(text: str | None, *keys: str) -> bool:
    """Whether a text is, or holds, the sentence of one of ``keys``."""
    return any(pattern(key).search(text or "") for key in keys)
