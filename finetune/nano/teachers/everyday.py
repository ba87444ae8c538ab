"""Everyday texts to read aloud, from free collections and from forms with numbers in them.

Knows: where the collections lie, which of their sentences can be read, what is drawn how often.
Does not know: voices, nano's own world (:mod:`finetune.nano.speech.texts`).

English: the examples of WordNet (Debian's ``wordnet-base``, WordNet's license). Mandarin: the
graded sentences of the wheel ``hsk-sentences-audio`` (CC-BY-SA-4.0). Both: loose words, and forms
of :mod:`finetune.nano.teachers.everyday_forms`. Every sentence is for training; those that nano is
measured on lie in ``benchmarks/quality/natural`` and are in none of these (a test compares them).
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from random import Random

from finetune.nano.domain.languages import Language
from finetune.nano.teachers import everyday_forms
from finetune.nano.teachers.files import missing, package_folder

WORDNET = Path("/usr/share/wordnet")
_PARTS = ("adj", "adv", "noun", "verb")
_WORDS = (4, 14)  # of an English sentence, at least and at most
_HANZI = (4, 22)
_FORM_SHARE, _LOOSE_SHARE = 0.25, 0.1
_LOOSE = (2, 6)  # words
_COMMON = 8_000  # of jieba's words, the most used ones


def draw(rng: Random, language: Language) -> str:
    """An everyday text.

    Raises:
        ResourceError: ``teacher-missing``: a collection is not installed.
    """
    share = rng.random()
    if share < _FORM_SHARE:
        return everyday_forms.draw(rng, language)
    if share < _FORM_SHARE + _LOOSE_SHARE:
        picked = rng.choices(words(language), k=rng.randint(*_LOOSE))
        return "".join(picked) if language == "zh" else " ".join(picked)
    return rng.choice(sentences(language))


@lru_cache(maxsize=2)
def sentences(language: Language) -> tuple[str, ...]:
    """All sentences of the collection of a language.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    return _mandarin() if language == "zh" else _english(WORDNET)


@lru_cache(maxsize=2)
def words(language: Language) -> tuple[str, ...]:
    """Words to say in no order: of the English sentences; the most used ones of jieba's.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    if language == "en":
        found = {word for text in sentences("en") for word in re.findall("[A-Za-z]{2,}", text)}
        return tuple(sorted(found))
    lines = (package_folder("jieba") / "dict.txt").read_text(encoding="utf-8").splitlines()
    counted = [(int(line.split()[1]), line.split()[0]) for line in lines]
    counted = [pair for pair in counted if re.fullmatch("[\u4e00-\u9fff]{1,4}", pair[1])]
    return tuple(word for _, word in sorted(counted, reverse=True)[:_COMMON])


def _english(folder: Path) -> tuple[str, ...]:
    """The examples of WordNet's glosses that are sentences or phrases in plain letters."""
    found: dict[str, None] = {}
    for part in _PARTS:
        path = folder / f"data.{part}"
        if not path.is_file():
            raise missing("the package wordnet-base")
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            _, _, gloss = line.partition(" | ")
            for example in re.findall(r'"([^"]+)"', gloss):
                if readable := as_sentence(example):
                    found[readable] = None
    return tuple(found)


def as_sentence(example: str) -> str:
    """An example with a capital and a mark at its end; nothing where it cannot be read."""
    example = " ".join(example.split())
    plain = re.fullmatch(r"[A-Za-z][A-Za-z' ,;?!-]*[a-z][.?!]?", example)
    if not plain or not _WORDS[0] <= len(example.split()) <= _WORDS[1]:
        return ""
    sentence = example[0].upper() + example[1:]
    return sentence if sentence[-1] in ".?!" else sentence + "."


def _mandarin() -> tuple[str, ...]:
    path = package_folder("hsk_sentences_audio") / "data" / "sentences.json"
    known = [entry["chinese"] for entry in json.loads(path.read_text(encoding="utf-8"))]
    return tuple(dict.fromkeys(text for text in known if _is_hanzi(text)))


def _is_hanzi(text: str) -> bool:
    size = len(re.findall("[\u4e00-\u9fff]", text))
    plain = re.fullmatch("[\u4e00-\u9fff，。！？、：；“”]+", text)
    return bool(plain) and _HANZI[0] <= size <= _HANZI[1]
