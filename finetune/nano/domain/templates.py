"""Sentences with slots, in both languages at once.

Knows: how a template is filled (forms of words, articles, capitals), how its combinations are
numbered, drawn and held out. Does not know: which templates there are.

In a template ``{name}`` is the word, in English ``{name.s}`` its plural, in Chinese ``{name.m}``
its measure word and ``{name.c}`` the form of a number in front of one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod
from random import Random

from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import Word, table
from finetune.nano.domain.splits import Split, split_of
from finetune.nano.domain.width import DomainWidth

# Templates with fewer combinations have none to spare: all of them are for training.
MIN_COMBINATIONS = 100
_MAX_DRAWS = 10_000

Filling = tuple[Word, ...]


class _English(str):
    """A word in a sentence, with its plural as an attribute."""

    __slots__ = ("s",)
    s: str


class _Chinese(str):
    """A word in a sentence, with its measure word and counting form as attributes."""

    __slots__ = ("c", "m")
    m: str
    c: str


def say(template: str, language: Language, words: Mapping[str, Word]) -> str:
    """Fill a template: articles agree, the first letter is a capital if the template's end says so.

    A text that ends with a sentence mark begins with a capital; a bare answer does not.
    """
    if language == "zh":
        return template.format(**{name: _chinese(entry) for name, entry in words.items()})
    text = template.format(**{name: _english(entry) for name, entry in words.items()})
    text = with_articles(text)
    return text[0].upper() + text[1:] if text[-1] in ".?!" else text


def with_articles(text: str) -> str:
    """English with "a" as "an" in front of a vowel."""
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def _english(entry: Word) -> _English:
    form = _English(entry.en)
    form.s = entry.plural
    return form


def _chinese(entry: Word) -> _Chinese:
    form = _Chinese(entry.zh)
    form.m, form.c = entry.measure, entry.counting
    return form


@dataclass(frozen=True)
class Template:
    """A sentence with slots.

    ``slots``: names with their tables, in the order of the combination. Slots of one table hold
    different words. ``fits`` says which fillings make sense (None: all).
    """

    key: str
    en: str
    zh: str
    slots: tuple[tuple[str, str], ...]
    core: bool = False
    fits: Callable[[Filling], bool] | None = None

    def text(self, filling: Filling, language: Language) -> str:
        """The sentence."""
        names = (name for name, _ in self.slots)
        template = self.en if language == "en" else self.zh
        return say(template, language, dict(zip(names, filling, strict=True)))

    def tables(self, width: DomainWidth) -> list[tuple[Word, ...]]:
        """The words that each slot may hold."""
        return [table(name, width) for _, name in self.slots]

    def allows(self, filling: Filling) -> bool:
        """Whether the filling makes sense: no word twice, and :attr:`fits`."""
        seen = {(name, word.key) for (_, name), word in zip(self.slots, filling, strict=True)}
        return len(seen) == len(filling) and (self.fits is None or self.fits(filling))

    def fillings(self, width: DomainWidth) -> Iterator[Filling]:
        """All combinations."""
        return filter(self.allows, product(*self.tables(width)))

    def size(self, width: DomainWidth) -> int:
        """How many combinations there are."""
        if self.fits is not None:
            return len(_all_fillings(self, width))
        names = [name for _, name in self.slots]
        words = map(len, self.tables(width))
        # A table's second slot has a word less to choose from.
        return prod(
            count - names[:place].count(name)
            for place, (name, count) in enumerate(zip(names, words, strict=True))
        )

    def split(self, filling: Filling) -> Split:
        """The side of a combination, whatever its language and the domain's width."""
        if not self.is_split:
            return "train"
        return split_of("sentence", self.key, *(word.key for word in filling))

    @property
    def is_split(self) -> bool:
        """Whether there are enough combinations to hold some out (counted in the full domain)."""
        return prod(map(len, self.tables("full"))) >= MIN_COMBINATIONS

    def draw(self, rng: Random, split: Split, width: DomainWidth) -> Filling:
        """A combination of one side.

        Raises:
            LookupError: the template has none on that side.
        """
        tables = self.tables(width)
        for _ in range(_MAX_DRAWS if self.is_split or split == "train" else 0):
            if self.fits is None:
                filling = tuple(rng.choice(words) for words in tables)
            else:  # few make sense: drawing blindly would take long
                filling = rng.choice(_all_fillings(self, width))
            if self.allows(filling) and self.split(filling) == split:
                return filling
        raise LookupError(f"the template {self.key} has no combination for {split}")


@lru_cache(maxsize=64)
def _all_fillings(template: Template, width: DomainWidth) -> tuple[Filling, ...]:
    return tuple(template.fillings(width))
