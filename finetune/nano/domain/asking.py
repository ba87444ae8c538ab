"""How people ask for what is done with a text: read, write down, translate, repeat.

Knows: the wording in both languages, and the system texts of a plain conversation.
Does not know: the texts, who speaks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random

from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import NUMBERS
from omni.conversation import DEFAULT_SYSTEM_TEXT

Wording = Mapping[Language, tuple[str, ...]]

READ: Wording = {
    "en": ("Read this aloud: {text}", "Say: {text}", "Please say: {text}", "Repeat: {text}"),
    "zh": ("请朗读：{text}", "请说：{text}", "读一下：{text}", "跟我说：{text}"),
}
# Next to a recording.
WRITE_DOWN: Wording = {
    "en": ("Write down what you hear.", "What is said here?", "Transcribe this.", "What do I say?"),
    "zh": ("请写下你听到的话。", "这里说了什么？", "请转录这段话。", "我说了什么？"),
}
# Into the other language.
TRANSLATE: Wording = {
    "en": (
        "Translate into Chinese: {text}",
        "Say in Chinese: {text}",
        "How do you say this in Chinese: {text}",
    ),
    "zh": ("请翻译成英语：{text}", "用英语说：{text}", "这句话用英语怎么说：{text}"),
}
TRANSLATE_WORD: Wording = {
    "en": ("What is {text} in Chinese?", "How do you say {text} in Chinese?"),
    "zh": ("{text}用英语怎么说？", "{text}的英语是什么？"),
}
TRANSLATE_LAST: Wording = {
    "en": ("And in Chinese?", "Now say it in Chinese."),
    "zh": ("用英语怎么说？", "再用英语说一遍。"),
}
AGAIN: Wording = {
    "en": ("Say that again, please.", "What did you say?", "Once more, please."),
    "zh": ("请再说一遍。", "你说什么？", "再来一遍。"),
}

SYSTEMS: Wording = {
    "en": (
        "You are a helpful assistant.",
        "Answer the question.",
        "Answer briefly.",
    ),
    "zh": ("你是一个AI助手，请用【邻家女声】这个声音回答问题。", "你是一个助手。", "请回答问题。"),
}
_DEFAULT_SHARE = 0.6  # of the conversations that begin with the program's default system text
_NO_SYSTEM_SHARE = 0.1


def system_text(rng: Random, language: Language) -> str:
    """The system text of a plain conversation; may be empty."""
    draw = rng.random()
    if draw < _DEFAULT_SHARE:
        return DEFAULT_SYSTEM_TEXT
    if draw < _DEFAULT_SHARE + _NO_SYSTEM_SHARE:
        return ""
    return rng.choice(SYSTEMS[language])


_DIGITS = {number.en: number.key for number in NUMBERS}
_HAN_DIGITS = {number.zh: number.key for number in NUMBERS}


def as_typed(rng: Random, text: str, language: Language) -> str:
    """A question as people type it: mostly as it is, sometimes careless or with digits."""
    if rng.random() < 0.7:
        return text
    if rng.random() < 0.4:
        text = _with_digits(text, language)
    if language == "en":
        if rng.random() < 0.5:
            text = text[0].lower() + text[1:]
        text = text.replace("color", "colour") if rng.random() < 0.3 else text
    if rng.random() < 0.6:
        text = text.rstrip(".?!。？！")
    return text


def _with_digits(text: str, language: Language) -> str:
    if language == "en":
        return re.sub(r"[A-Za-z]+", lambda found: _DIGITS.get(found[0].lower(), found[0]), text)
    # Only sums: elsewhere the same characters belong to other words (星期一, 一个).
    return re.sub(
        r"[零一二三四五六七八九十]+(?=[加减等])|(?<=[加减])[零一二三四五六七八九十]+",
        lambda found: _HAN_DIGITS.get(found[0], found[0]),
        text,
    )
