"""What nano is asked, as people really put it: many wordings of each question of its world.

Knows: a small notation of alternatives, openers and closers, the tables in ``wordings.yaml``.
Does not know: answers, pictures. All of it is for training: what nano is measured on was collected
apart from it (``benchmarks/quality/natural``; a test compares them).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import yaml

from finetune.nano.domain.fact_groups import Fact
from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import NUMBERS, Word
from finetune.nano.domain.templates import say, with_articles

TABLES = Path(__file__).with_name("wordings.yaml")
_OPENED, _CLOSED = 0.3, 0.15  # shares of the questions
_MARKED: Mapping[Language, tuple[tuple[str, float], ...]] = {
    "en": (("?", 0.5), ("", 0.38), (".", 0.12)),
    "zh": (("？", 0.5), ("", 0.38), ("。", 0.12)),
}
_CAPITAL = 0.5  # share of the English questions that begin with one
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_OPTIONAL = re.compile(r"(\w|，)\?")


@lru_cache(maxsize=1)
def tables() -> Mapping[str, Any]:
    """The file."""
    return yaml.safe_load(TABLES.read_text(encoding="utf-8"))


def drawn(rng: Random, form: str) -> str:
    """One reading of a form: ``[a|b|]`` is one of its parts, ``u?`` a letter or none."""
    form = _OPTIONAL.sub(r"[\1|]", form)
    while found := _CHOICE.search(form):
        form = form[: found.start()] + rng.choice(found[1].split("|")) + form[found.end() :]
    return tidy(form)


def readings(form: str) -> Iterator[str]:
    """All readings of a form."""
    parts = _CHOICE.split(_OPTIONAL.sub(r"[\1|]", form))
    choices = [part.split("|") if place % 2 else [part] for place, part in enumerate(parts)]
    return (tidy("".join(chosen)) for chosen in product(*choices))


def tidy(text: str) -> str:
    """Single spaces, and none before a mark."""
    return re.sub(r" (?=[,.?!'])", "", " ".join(text.split()))


def forms(section: str, key: str, language: Language) -> tuple[str, ...]:
    """The forms of a kind of question; empty where there are none."""
    return tuple(tables()[section].get(key, {}).get(language, ()))


def question(
    rng: Random, section: str, key: str, language: Language, words: Mapping[str, Word]
) -> str | None:
    """A question about a picture, a clip or nothing; None: people ask it as the tables do."""
    known = forms(section, key, language)
    if not known:
        return None
    return finished(rng, say(drawn(rng, rng.choice(known)), language, words), language)


def about_fact(
    rng: Random, group: str, fact: Fact, language: Language, digits: bool = False
) -> str | None:
    """A question for a fact; None: people ask it as the tables do.

    Args:
        digits: numbers of nano's world are typed as such.
    """
    known = tables()["says"].get(fact.key, {}).get(language) or forms("facts", group, language)
    if not known:
        return None
    text = drawn(rng, rng.choice(known))
    for slot, side in (("{x}", fact.subject), ("{y}", fact.other)):
        if side:
            text = text.replace(slot, _in_digits(side[language]) if digits else side[language])
    return finished(rng, with_articles(text) if language == "en" else text, language)


def _in_digits(number: str) -> str:
    return next((one.key for one in NUMBERS if number in (one.en, one.zh)), number)


def small_talk(rng: Random, intent: str, language: Language) -> str | None:
    """Something to say that means an intent."""
    known = forms("talk", intent, language)
    if not known:
        return None
    return finished(rng, drawn(rng, rng.choice(known)), language, framed=False)


def finished(rng: Random, text: str, language: Language, framed: bool = True) -> str:
    """As it is typed: sometimes with a word before or behind it, a mark or none."""
    if framed and rng.random() < _OPENED:
        opener = rng.choice(tables()["openers"][language])
        text = f"{opener} {text}" if language == "en" else opener + text
    if framed and rng.random() < _CLOSED:
        closer = rng.choice(tables()["closers"][language])
        text = f"{text} {closer}" if language == "en" else text + closer
    text = tidy(text)
    marks, weights = zip(*_MARKED[language], strict=True)
    text += rng.choices(marks, weights)[0]
    return text[0].upper() + text[1:] if rng.random() < _CAPITAL else text
