"""What people ask that nano cannot know, in thousands of forms.

Knows: the forms and words in ``strange.yaml``, any word and sentence of the everyday texts.
Does not know: the answer (:mod:`finetune.nano.domain.outside`). All of it is for training, as in
:mod:`finetune.nano.domain.people.wordings`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, Protocol

import yaml

from finetune.nano.domain.languages import Language
from finetune.nano.domain.people.numbers import english_number, han_number
from finetune.nano.domain.people.wordings import drawn, finished

TABLES = Path(__file__).with_name("strange.yaml")
_SENTENCES = 0.1  # share of everyday sentences that ask for nothing
_SLOT = re.compile(r"\{([a-z]+)([23]?)\}")
_SMALLEST, _LARGEST = 11, 999  # numbers that no sum of nano's world has


@lru_cache(maxsize=1)
def tables() -> Mapping[str, Any]:
    """The file."""
    return yaml.safe_load(TABLES.read_text(encoding="utf-8"))


class Everyday(Protocol):
    """Everyday texts, as :mod:`finetune.nano.teachers.everyday` has them."""

    def words(self, language: Language) -> Sequence[str]:
        """Words in no order."""
        ...

    def sentences(self, language: Language) -> Sequence[str]:
        """Whole sentences."""
        ...


def ask(rng: Random, language: Language, everyday: Everyday) -> str:
    """A question, or something said, from outside of nano's world.

    Raises:
        ResourceError: ``teacher-missing``: the everyday texts are not installed.
    """
    if rng.random() < _SENTENCES:
        return rng.choice(everyday.sentences(language))

    def fill(slot: re.Match[str]) -> str:
        if slot[1] == "word":
            return rng.choice(everyday.words(language))
        if slot[1] == "big":
            return number(rng, language)
        return rng.choice(tables()["slots"][slot[1]][language])

    form = drawn(rng, rng.choice(tables()["forms"][language]))
    return finished(rng, _SLOT.sub(fill, form), language)


def number(rng: Random, language: Language) -> str:
    """A number beyond nano's sums, in digits or words."""
    value = rng.randint(_SMALLEST, _LARGEST)
    if rng.random() < 0.5:
        return str(value)
    return han_number(value) if language == "zh" else english_number(value)
