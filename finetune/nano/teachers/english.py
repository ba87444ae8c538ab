"""English text to the symbols that Kokoro was trained on.

Knows: the reader in the wheel ``hibari-tts`` (misaki's rules and lexicon, Apache-2.0: numbers,
dates, abbreviations, unknown words), and where its words stand in the text.
Does not know: models. espeak-ng's phonemes would do too, but the models heard these while they
learnt.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from functools import lru_cache
from typing import Protocol

from finetune.nano.teachers.files import missing
from finetune.nano.teachers.phones import Phones


class Token(Protocol):
    """A word of the reader."""

    text: str
    whitespace: str
    phonemes: str | None


class Reader(Protocol):
    """hibari's ``G2P``."""

    def tokenize(self, text: str) -> list[Token]:
        """Words."""
        ...

    def phonemize_tokens(self, tokens: list[Token]) -> list[Token]:
        """Words with phonemes."""
        ...


@lru_cache(maxsize=2)
def _reader(british: bool) -> Reader:
    try:
        from hibari.g2p import G2P
    except ImportError as error:
        raise missing("the package hibari-tts") from error
    return G2P(british=british)


def spelled_out(text: str) -> str:
    """The text with numbers of dates, units and abbreviations as they are read.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    try:
        from hibari.g2p.normalize import normalize
    except ImportError as error:
        raise missing("the package hibari-tts") from error
    return str(normalize(text))


def english_phones(text: str, british: bool = False) -> Phones:
    """The symbols of a text, with stress.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    reader, said = _reader(british), spelled_out(text)
    places = original_places(text, said)
    symbols, where, start = "", [], 0
    for token in reader.phonemize_tokens(reader.tokenize(said)):
        found = said.find(token.text, start)
        start = max(start, found)  # a token that was written anew stays where the last one ended
        phonemes = (token.phonemes or "") + (" " if token.whitespace else "")
        symbols += phonemes
        where += [places[min(start, len(places) - 1)]] * len(phonemes)
        start += len(token.text) if found >= 0 else 0
    kept = len(symbols.rstrip())
    return Phones(symbols[:kept], tuple(where[:kept]))


def original_places(text: str, said: str) -> list[int]:
    """For each character of ``said`` the place in ``text`` that it comes from, words whole."""
    if text == said:
        return [*range(len(text)), len(text)]
    places = []
    for kind, first, last, start, end in SequenceMatcher(None, text, said, False).get_opcodes():
        count = end - start
        same = kind == "equal"
        places += [first + number if same else min(first, last) for number in range(count)]
    return [*places, len(text)]
