"""Nothing that the rows ``wording`` and ``outside`` ask is among what training may draw."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from random import Random

import pytest

from benchmarks.quality.natural import held_out
from finetune.nano.domain.fact_groups import GROUPS, FactGroup
from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import TABLES, word
from finetune.nano.domain.people import strange, wordings
from finetune.nano.domain.width import LANGUAGES

CAPITALS = next(group for group in GROUPS if group.key == "capital")
CHINA = next(fact for fact in CAPITALS.facts if fact.key == "China")
SLOT = re.compile(r"\{([a-z]+)[^}]*\}")


def plain(text: str) -> str:
    """A question without what is typed in one way or another: capitals, marks, an English u."""
    return re.sub(r"[^\w+=]+", " ", text.lower().replace("colour", "color")).strip()


def any_of(texts: Iterable[str]) -> str:
    found = {re.escape(plain(text)) for text in texts}
    return "(?:" + "|".join(sorted(found, key=len, reverse=True)) + ")"


def of_table(name: str, language: Language) -> str:
    """A word of a table, as it may stand in a question."""
    known = TABLES[name]
    texts = [text for one in known for text in (one.en, one.plural or one.en)]
    return f"(?:(?:an? |the )?{any_of(texts if language == 'en' else [one.zh for one in known])})"


def of_facts(group: FactGroup, language: Language) -> str:
    """A subject of a group, as it may stand in a question."""
    sides = [side for fact in group.facts for side in (fact.subject, fact.other) if side]
    known = [side[language] for side in sides] + [str(number) for number in range(11)]
    return f"(?:(?:an? |the )?{any_of(known)}s?)"


def patterns(form: str, slots: Mapping[str, str]) -> Iterator[str]:
    """All readings of a form."""
    for reading in wordings.readings(form):
        parts = SLOT.split(reading)
        yield " ?".join(
            slots[part] if place % 2 else re.escape(plain(part)) for place, part in enumerate(parts)
        )


@lru_cache(maxsize=2)
def known_wordings(language: Language) -> re.Pattern[str]:
    """Every question of nano's world in people's own words that training may draw."""
    tables = wordings.tables()
    words = {name: of_table(name, language) for name in ("shape", "color", "size", "relation")}
    subjects = {group.key: dict.fromkeys("xy", of_facts(group, language)) for group in GROUPS}
    framed: list[str] = []
    for section in ("pictures", "clips", "facts", "says"):
        for key, forms in tables[section].items():
            for form in forms[language]:
                framed += patterns(form, subjects.get(key, {}) | words)
    bare = [one for forms in tables["talk"].values() for form in forms[language]
            for one in patterns(form, {})]  # fmt: skip
    before, behind = (f"(?:{any_of(tables[side][language])} ?)?" for side in ("openers", "closers"))
    return re.compile(f"{before}(?:{'|'.join(set(framed))}) ?{behind}|{'|'.join(set(bare))}")


@lru_cache(maxsize=2)
def strange_questions(language: Language) -> re.Pattern[str]:
    """Every question from outside that training may draw."""
    tables, frames = strange.tables(), wordings.tables()
    slots = {name: any_of(known[language]) for name, known in tables["slots"].items()
             if language in known}  # fmt: skip
    slots["word"] = "[a-z]+" if language == "en" else "[\u4e00-\u9fff]{1,4}"
    slots["big"] = (
        r"(?:\d+|[a-z ]+)" if language == "en" else r"(?:\d+|[零一二三四五六七八九十百]+)"
    )
    found = [one for form in tables["forms"][language] for one in patterns(form, slots)]
    before, behind = (f"(?:{any_of(frames[side][language])} ?)?" for side in ("openers", "closers"))
    return re.compile(f"{before}(?:{'|'.join(set(found))}) ?{behind}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_wording_that_is_measured_is_learnt(language: Language) -> None:
    known = known_wordings(language)
    asked = [one.question for one in held_out.wordings("core") if one.language == language]
    assert len(asked) > 70
    assert [question for question in asked if known.fullmatch(plain(question))] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_strange_question_that_is_measured_is_learnt(language: Language) -> None:
    known = strange_questions(language)
    asked = [question for one, question in held_out.outside_questions() if one == language]
    assert len(asked) == 50
    assert [question for question in asked if known.fullmatch(plain(question))] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_training_draws_would_be_found(language: Language) -> None:
    """Else the two tests above could not fail."""
    rng = Random(2)
    words = {"shape": word("shape", "star"), "color": word("color", "red")}
    for _ in range(60):
        asked = wordings.question(rng, "pictures", "is-color", language, words)
        assert asked and known_wordings(language).fullmatch(plain(asked)), asked
        fact = wordings.about_fact(rng, "capital", CHINA, language)
        assert fact and known_wordings(language).fullmatch(plain(fact)), fact
    for form in strange.tables()["forms"][language]:
        text = wordings.drawn(rng, form)
        if "{word" not in text:
            text = SLOT.sub(lambda slot: _filling(slot[1], language), text)
            assert strange_questions(language).fullmatch(plain(text)), text


def _filling(slot: str, language: Language) -> str:
    name = slot.rstrip("23")
    return "77" if name == "big" else strange.tables()["slots"][name][language][0]
