"""Questions after what nano knows.

Knows: how a fact is asked for, which of the ways are held out.
Does not know: the facts (:mod:`finetune.nano.domain.fact_groups`), greetings, pictures.

Each fact is learnt in training; what is held out is a combination of opening, wording and fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from finetune.nano.domain.fact_groups import GROUPS, Fact, FactGroup
from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import DAYS, MONTHS
from finetune.nano.domain.splits import Split, split_of
from finetune.nano.domain.templates import with_articles
from finetune.nano.domain.width import DomainWidth, within

OPENINGS: Mapping[Language, tuple[str, ...]] = {
    "en": ("", "Please, ", "Now, ", "Hey, "),
    "zh": ("", "麻烦你，", "现在，", "嘿，"),
}
_PROPER = tuple(name.en for name in (*DAYS, *MONTHS))  # keep their capital


@dataclass(frozen=True)
class FactQuestion:
    """A fact as it is asked for."""

    group: FactGroup
    fact: Fact
    wording: int
    opening: int

    def question(self, language: Language) -> str:
        """The question."""
        other = self.fact.other[language] if self.fact.other else ""
        text = self.group.questions[language][self.wording]
        text = text.format(x=self.fact.subject[language], y=other)
        opening = OPENINGS[language][self.opening]
        if language == "zh":
            return opening + text
        proper = text.startswith(_PROPER)
        body = text if proper or not opening else text[0].lower() + text[1:]
        whole = with_articles(opening + body)
        return whole[0].upper() + whole[1:]

    def answer(self, language: Language) -> str:
        """The canonical answer."""
        return self.fact.answer[language]

    @property
    def split(self) -> Split:
        """The side that this combination is on."""
        return split_of("fact", self.group.key, self.fact.key, self.wording, self.opening)


@lru_cache(maxsize=4)
def _weighted(width: DomainWidth) -> tuple[tuple[FactGroup, ...], tuple[float, ...]]:
    groups = within(GROUPS, width)
    return groups, tuple(len(within(group.facts, width)) ** 0.5 for group in groups)


def draw(rng: Random, split: Split, width: DomainWidth = "full") -> FactQuestion:
    """A question for a fact, of one side."""
    groups, weights = _weighted(width)
    openings = len(OPENINGS["en"])
    while True:
        group = rng.choices(groups, weights)[0]
        found = FactQuestion(
            group,
            rng.choice(within(group.facts, width)),
            rng.randrange(len(group.questions["en"])),
            rng.randrange(openings),
        )
        if found.split == split:
            return found


def count(width: DomainWidth = "full") -> tuple[int, int]:
    """How many facts there are, and how many ways to ask for them in each language."""
    groups = within(GROUPS, width)
    sizes = [(len(within(group.facts, width)), len(group.questions["en"])) for group in groups]
    facts = sum(size for size, _ in sizes)
    return facts, sum(size * wordings for size, wordings in sizes) * len(OPENINGS["en"])
