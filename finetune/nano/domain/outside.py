"""What lies outside of the domain, and the friendly answer to it.

Knows: questions made of words that the rest of the domain does not use. Does not know: facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import Split, split_of
from finetune.nano.domain.width import DomainWidth

ANSWER: Mapping[Language, str] = {
    "en": "Sorry, I only know small things like shapes and animals.",
    "zh": "对不起，我只知道形状和动物这些小事。",
}

_ENGLISH_TOPICS = """
football politics history chemistry medicine poetry jazz philosophy physics law economics tennis
fashion religion cooking gardening chess movies novels theater painting opera basketball travel
taxes insurance stocks weather traffic internet software engines airplanes rockets planets
galaxies oceans volcanoes deserts dinosaurs castles wars presidents lawyers hotels restaurants
marriage health exercise dreams love
"""
_CHINESE_TOPICS = """
足球 政治 历史 化学 医学 诗歌 爵士乐 哲学 物理 法律 经济 网球 时尚 宗教 烹饪 园艺 象棋 电影 小说
戏剧 绘画 歌剧 篮球 旅游 税收 保险 股票 天气 交通 互联网 软件 发动机 飞机 火箭 行星 银河 海洋
火山 沙漠 恐龙 城堡 战争 总统 律师 酒店 餐馆 婚姻 健康 锻炼 梦想 爱情
"""
_TOPICS: Mapping[Language, tuple[str, ...]] = {
    "en": tuple(_ENGLISH_TOPICS.split()),
    "zh": tuple(_CHINESE_TOPICS.split()),
}
# The first ones are the core.
_QUESTIONS: Mapping[Language, tuple[str, ...]] = {
    "en": (
        "Tell me about {topic}.",
        "What do you think about {topic}?",
        "Can you explain {topic}?",
        "Do you know anything about {topic}?",
        "Write a story about {topic}.",
        "Why should I care about {topic}?",
        "Who invented {topic}?",
        "Give me some advice on {topic}.",
        "I want to learn {topic}.",
    ),
    "zh": (
        "给我讲讲{topic}。",
        "你觉得{topic}怎么样？",
        "你能解释一下{topic}吗？",
        "你了解{topic}吗？",
        "写一个关于{topic}的故事。",
        "我为什么要关心{topic}？",
        "谁发明了{topic}？",
        "给我一些{topic}方面的建议。",
        "我想学习{topic}。",
    ),
}
_CORE_QUESTIONS = 4


def questions(language: Language, width: DomainWidth) -> tuple[str, ...]:
    """The question forms, ``{topic}`` open."""
    known = _QUESTIONS[language]
    return known[:_CORE_QUESTIONS] if width == "core" else known


def topics(language: Language) -> tuple[str, ...]:
    """The topics."""
    return _TOPICS[language]


def draw(rng: Random, language: Language, split: Split, width: DomainWidth = "full") -> str:
    """A question of one side from outside the domain."""
    while True:
        form = rng.randrange(len(questions(language, width)))
        topic = rng.randrange(len(topics(language)))
        # The tables of both languages run in parallel: a combination is on one side in both.
        if split_of("outside", form, topic) == split:
            return questions(language, width)[form].format(topic=topics(language)[topic])
