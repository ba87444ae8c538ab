"""Every word and Hanzi of the domain, for whoever builds a tokenizer or a recognizer.

Knows: how to collect them from all the tables. Does not know: tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from finetune.nano.domain import asking, facts, looking, outside, sentences, talk
from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import TABLES, table
from finetune.nano.domain.roles import ROLES
from finetune.nano.domain.styles import STYLES
from finetune.nano.domain.templates import with_articles
from finetune.nano.domain.width import LANGUAGES, DomainWidth, within
from omni.conversation import DEFAULT_SYSTEM_TEXT
from omni.prompting.forms import READ_ALOUD_TEXT, TRANSCRIBE_TEXT
from omni.prompting.system_text import VOICE_SENTENCE

_SLOT = re.compile(r"\{[^}]*\}")
_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_PUNCTUATION = re.compile(r"[^\w\s]")
_JOINED = {"en": "a and there is an", "zh": "一个和没有"}  # words that only code writes


def domain_texts(language: Language, width: DomainWidth = "full") -> Iterator[str]:
    """Every text that sentences, questions and answers are made of, slots left out."""
    for text in _texts(language, width):
        yield _SLOT.sub(" ", text)


@lru_cache(maxsize=4)
def english_words(width: DomainWidth = "full") -> tuple[str, ...]:
    """Every English word, sorted, with the capitals that it is written with."""
    return tuple(sorted({word for text in _all_texts(width) for word in _WORD.findall(text)}))


@lru_cache(maxsize=4)
def hanzi(width: DomainWidth = "full") -> tuple[str, ...]:
    """Every Chinese character, sorted."""
    found = {sign for text in domain_texts("zh", width) for sign in _HAN.findall(text)}
    return tuple(sorted(found))


@lru_cache(maxsize=4)
def punctuation() -> tuple[str, ...]:
    """Every other sign, sorted."""
    return tuple(
        sorted({sign for text in _all_texts("full") for sign in _PUNCTUATION.findall(text)})
    )


def _all_texts(width: DomainWidth) -> Iterator[str]:
    for language in LANGUAGES:
        yield from domain_texts(language, width)


def _texts(language: Language, width: DomainWidth) -> Iterator[str]:
    for name in TABLES:
        for word in table(name, width):
            forms = (word.en, word.plural) if language == "en" else (word.zh, word.measure)
            yield from (*forms, word.counting if language == "zh" else "")
            if language == "en":
                yield word.en.capitalize()  # where a sentence begins with it
    for template in within(sentences.TEMPLATES, width):
        yield template.en if language == "en" else template.zh
    for group in within(facts.GROUPS, width):
        yield from map(with_articles, group.questions[language])
        for fact in within(group.facts, width):
            subject = fact.subject[language]
            yield from (subject, subject[0].upper() + subject[1:], fact.answer[language])
        for question in group.questions[language]:
            yield question[0].lower() + question[1:]
    yield from facts.OPENINGS[language]
    for intent in within(talk.INTENTS, width):
        yield from (*intent.phrases[language], intent.answer[language])
        yield intent.answer[language].lower()  # in a role
    for role in within(ROLES, width):
        yield from (*role.systems[language], role.opening[language], role.intro[language])
    for style in STYLES.values():
        for wording in (style.systems, style.requests, style.again):
            yield from wording[language] if wording else ()
    for wording in (
        asking.READ,
        asking.WRITE_DOWN,
        asking.TRANSLATE,
        asking.TRANSLATE_WORD,
        asking.TRANSLATE_LAST,
        asking.AGAIN,
        asking.SYSTEMS,
    ):
        yield from wording[language]
    yield from (DEFAULT_SYSTEM_TEXT, _JOINED[language], outside.ANSWER[language])
    yield from (TRANSCRIBE_TEXT, VOICE_SENTENCE[language], READ_ALOUD_TEXT[language])
    yield from outside.questions(language, width)
    yield from outside.topics(language)
    yield from _looking(language, width)


def _looking(language: Language, width: DomainWidth) -> Iterator[str]:
    for table_ in (looking.PICTURE_WORDINGS, looking.CLIP_WORDINGS):
        for wordings in table_.values():
            if width == "full" or wordings.core:
                yield from wordings.questions[language]
    for english, chinese in looking.HAPPENINGS.values():
        yield english if language == "en" else chinese
    for answers in (looking.YES_NO, looking.THERE_IS, looking.DID):
        yield from (answer[language] for answer in answers.values())
