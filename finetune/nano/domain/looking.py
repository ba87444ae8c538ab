"""How people ask about pictures and clips, and the forms of the canonical answers.

Knows: wordings with slots in both languages. Does not know: pictures, which answer is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import Word, word
from finetune.nano.domain.templates import say
from finetune.nano.domain.width import DomainWidth

ByLanguage = Mapping[Language, str]
_CORE_WORDINGS = 2


@dataclass(frozen=True)
class Wordings:
    """The ways to ask one kind of question; the first two are the core."""

    kind: str
    questions: Mapping[Language, tuple[str, ...]]
    core: bool = True

    def count(self, width: DomainWidth) -> int:
        """How many wordings there are within a width."""
        known = len(self.questions["en"])
        return min(known, _CORE_WORDINGS) if width == "core" else known

    def text(self, number: int, language: Language, words: Mapping[str, Word]) -> str:
        """A question."""
        return say(self.questions[language][number], language, words)


def _wordings(kind: str, en: str, zh: str, core: bool = True) -> Wordings:
    english = tuple(part.strip() for part in en.split("|"))
    chinese = tuple(part.strip() for part in zh.split("|"))
    if len(english) != len(chinese):
        raise ValueError(f"as many wordings in both languages: {kind}")
    return Wordings(kind, {"en": english, "zh": chinese}, core)


def _table(*entries: Wordings) -> Mapping[str, Wordings]:
    return {entry.kind: entry for entry in entries}


PICTURE_WORDINGS = _table(
    _wordings(
        "describe",
        "What do you see? | What is in the picture? | Describe the picture. | What is this?",
        "你看见了什么？ | 图片里有什么？ | 请描述这张图片。 | 这是什么？",
    ),
    _wordings(
        "color",
        "What color is the {shape}? | Which color does the {shape} have?"
        " | Tell me the color of the {shape}.",
        "{shape}是什么颜色的？ | {shape}有什么颜色？ | 请告诉我{shape}的颜色。",
    ),
    _wordings(
        "color-by-size",
        "What color is the {size} {shape}? | Which color does the {size} {shape} have?",
        "{size}的{shape}是什么颜色的？ | {size}的{shape}有什么颜色？",
        core=False,
    ),
    _wordings(
        "shape",
        "What shape is {color}? | Which shape is {color}? | What is {color} in the picture?",
        "什么形状是{color}的？ | 哪个形状是{color}的？ | 图片里什么是{color}的？",
    ),
    _wordings(
        "count",
        "How many shapes are there? | How many shapes do you see? | Count the shapes.",
        "有几个形状？ | 你看见几个形状？ | 数一数形状。",
    ),
    _wordings(
        "count-color",
        "How many {color} shapes are there? | How many shapes are {color}?"
        " | Count the {color} shapes.",
        "有几个{color}的形状？ | 几个形状是{color}的？ | 数一数{color}的形状。",
    ),
    _wordings(
        "count-shape",
        "How many {shape.s} are there? | How many {shape.s} do you see? | Count the {shape.s}.",
        "有几个{shape}？ | 你看见几个{shape}？ | 数一数{shape}。",
    ),
    _wordings(
        "where",
        "Where is the {shape}? | Where do you see the {shape}? | Tell me where the {shape} is.",
        "{shape}在哪里？ | 你在哪里看见{shape}？ | 请告诉我{shape}在哪里。",
    ),
    _wordings(
        "where-color",
        "Where is the {color} {shape}? | Where do you see the {color} {shape}?"
        " | Tell me where the {color} {shape} is.",
        "{color}的{shape}在哪里？ | 你在哪里看见{color}的{shape}？"
        " | 请告诉我{color}的{shape}在哪里。",
    ),
    _wordings(
        "relation",
        "What is {relation} the {shape}? | What do you see {relation} the {shape}?",
        "{shape}的{relation}是什么？ | 你在{shape}的{relation}看见什么？",
    ),
    _wordings(
        "is-color",
        "Is the {shape} {color}? | Is the color of the {shape} {color}?",
        "{shape}是{color}的吗？ | {shape}的颜色是{color}吗？",
    ),
    _wordings(
        "is-there",
        "Is there a {shape}? | Do you see a {shape}? | Is there a {shape} in the picture?",
        "有{shape}吗？ | 你看见{shape}了吗？ | 图片里有{shape}吗？",
    ),
    _wordings(
        "size",
        "Is the {shape} big or small? | What size is the {shape}? | How big is the {shape}?",
        "{shape}是大还是小？ | {shape}有多大？ | {shape}的大小是什么？",
    ),
    _wordings(
        "read-number",
        "What number is this? | Which number is written here? | Read the number.",
        "这是什么数字？ | 这里写的是什么数字？ | 请读数字。",
    ),
    _wordings(
        "read-word",
        "What word is this? | Which word is written here? | Read the word.",
        "这个英文词是什么意思？ | 这里写的英文是什么意思？ | 请翻译这个词。",
    ),
)

CLIP_WORDINGS = _table(
    _wordings(
        "happens",
        "What happens? | What happens in the clip? | Describe the clip. | Tell me what happens.",
        "发生了什么？ | 视频里发生了什么？ | 请描述这个视频。 | 请告诉我发生了什么。",
    ),
    _wordings(
        "direction",
        "Which way does the {shape} move? | Where does the {shape} go?"
        " | In which direction does the {shape} move?",
        "{shape}往哪边移动？ | {shape}去哪边了？ | {shape}向哪个方向移动？",
    ),
    _wordings(
        "mover",
        "What moves? | Which shape moves? | What is moving?",
        "什么移动了？ | 哪个形状移动了？ | 什么在移动？",
    ),
    _wordings(
        "appears",
        "What appears? | Which shape appears? | What is new?",
        "什么出现了？ | 哪个形状出现了？ | 多了什么？",
    ),
    _wordings(
        "disappears",
        "What disappears? | Which shape disappears? | What is gone?",
        "什么消失了？ | 哪个形状消失了？ | 少了什么？",
    ),
    _wordings(
        "new-color",
        "What color does the {shape} turn? | Which color does the {shape} have at the end?",
        "{shape}变成了什么颜色？ | 最后{shape}是什么颜色的？",
    ),
    _wordings(
        "old-color",
        "What color is the {shape} at first? | Which color did the {shape} have before?",
        "{shape}一开始是什么颜色的？ | {shape}以前是什么颜色的？",
    ),
    _wordings(
        "changer",
        "What changes its color? | Which shape changes color?",
        "什么变了颜色？ | 哪个形状变了颜色？",
        core=False,
    ),
    _wordings(
        "does-move",
        "Does the {shape} move? | Is the {shape} moving?",
        "{shape}移动了吗？ | {shape}在移动吗？",
        core=False,
    ),
)

# What happens in a clip, by event; the thing is "the" where it was there before.
HAPPENINGS: Mapping[str, tuple[str, str]] = {
    "moves": ("the {color} {shape} moves {direction}", "{color}的{shape}{direction}移动"),
    "appears": ("a {color} {shape} appears", "出现了一个{color}的{shape}"),
    "disappears": ("the {color} {shape} disappears", "{color}的{shape}消失了"),
    "changes": ("the {color} {shape} turns {new}", "{color}的{shape}变成{new}"),
}

YES_NO: Mapping[bool, ByLanguage] = {
    True: {"en": "yes", "zh": "是的"},
    False: {"en": "no", "zh": "不是"},
}
THERE_IS: Mapping[bool, ByLanguage] = {
    True: {"en": "yes", "zh": "有"},
    False: {"en": "no", "zh": "没有"},
}
DID: Mapping[bool, ByLanguage] = {
    True: {"en": "yes", "zh": "移动了"},
    False: {"en": "no", "zh": "没有"},
}


def answer(en: str, zh: str, /, **words: Word) -> ByLanguage:
    """Both languages' answers from templates."""
    return {"en": say(en, "en", words), "zh": say(zh, "zh", words)}


def a_thing(color: str, shape: str) -> ByLanguage:
    """As in "a red circle"."""
    return answer(
        "a {color} {shape}",
        "一个{color}的{shape}",
        color=word("color", color),
        shape=word("shape", shape),
    )


def no_thing(shape: str) -> ByLanguage:
    """As in "there is no heart"."""
    return answer("there is no {shape}", "没有{shape}", shape=word("shape", shape))


def listing(texts: Sequence[ByLanguage]) -> ByLanguage:
    """As in "a red circle, a blue square and a green star"."""
    english = [text["en"] for text in texts]
    chinese = [text["zh"] for text in texts]
    return {"en": _joined(english, ", ", " and "), "zh": _joined(chinese, "、", "和")}


def _joined(texts: list[str], comma: str, last: str) -> str:
    return last.join(filter(None, (comma.join(texts[:-1]), texts[-1])))


def number(value: int) -> ByLanguage:
    """How many shapes, as in "three"."""
    return answer("{n}", "{n.c}个", n=word("number", str(value)))
