"""Small talk: greetings, thanks, who are you, what can you do.

Knows: what people say and the one answer that each kind gets. Does not know: facts, roles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import Split, split_of
from finetune.nano.domain.width import DomainWidth, within


@dataclass(frozen=True)
class Intent:
    """Things to say that mean the same, and the answer."""

    key: str
    phrases: Mapping[Language, tuple[str, ...]]
    answer: Mapping[Language, str]
    core: bool = False


def _intent(
    key: str, en: str, answer_en: str, zh: str, answer_zh: str, core: bool = True
) -> Intent:
    """``en`` and ``zh`` hold phrases parted by ``|``."""
    return Intent(
        key,
        {"en": _lines(en), "zh": _lines(zh)},
        {"en": answer_en, "zh": answer_zh},
        core,
    )


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().split("|"))


INTENTS: tuple[Intent, ...] = (
    _intent(
        "hello",
        "Hello! | Hi! | Hello there! | Hi there! | Hey! | Hello, my friend!",
        "Hello! Nice to meet you.",
        "你好！| 您好！| 嗨！| 你好啊！| 你好，朋友！",
        "你好！很高兴见到你。",
    ),
    _intent(
        "morning",
        "Good morning! | Good morning to you! | A very good morning!",
        "Good morning!",
        "早上好！| 早安！| 早上好啊！",
        "早上好！",
    ),
    _intent(
        "evening",
        "Good evening! | Good evening to you! | A very good evening!",
        "Good evening!",
        "晚上好！| 晚上好啊！",
        "晚上好！",
        core=False,
    ),
    _intent(
        "night",
        "Good night! | Sleep well! | I go to bed now.",
        "Good night! Sleep well.",
        "晚安！| 我要睡觉了。| 我去睡了。",
        "晚安！做个好梦。",
        core=False,
    ),
    _intent(
        "bye",
        "Goodbye! | Bye! | Bye bye! | See you later! | See you tomorrow!",
        "Goodbye! See you soon.",
        "再见！| 拜拜！| 明天见！| 回头见！",
        "再见！下次见。",
    ),
    _intent(
        "thanks",
        "Thank you! | Thanks! | Thank you very much! | Thanks a lot! | Many thanks!",
        "You are welcome.",
        "谢谢！| 谢谢你！| 非常感谢！| 多谢！| 太谢谢了！",
        "不客气。",
    ),
    _intent(
        "sorry",
        "Sorry! | I am sorry. | I am so sorry.",
        "No problem.",
        "对不起！| 抱歉！| 不好意思。",
        "没关系。",
        core=False,
    ),
    _intent(
        "how-are-you",
        "How are you? | How are you today? | How do you do? | Are you well?",
        "I am fine, thank you.",
        "你好吗？| 你今天好吗？| 最近怎么样？| 你怎么样？",
        "我很好，谢谢。",
    ),
    _intent(
        "who-are-you",
        "Who are you? | What are you? | Tell me who you are. | Please introduce yourself.",
        "I am Nano, a very small model.",
        "你是谁？| 你是什么？| 请告诉我你是谁。| 请介绍一下你自己。",
        "我是纳诺，一个很小的模型。",
    ),
    _intent(
        "name",
        "What is your name? | Tell me your name. | Do you have a name? | Your name, please.",
        "My name is Nano.",
        "你叫什么名字？| 请告诉我你的名字。| 你有名字吗？| 你的名字是什么？",
        "我叫纳诺。",
    ),
    _intent(
        "what-can-you-do",
        "What can you do? | What do you know? | What can I ask you? | How can you help me?",
        "I can hear, see and speak. Ask me about shapes and colors.",
        "你能做什么？| 你会什么？| 我能问你什么？| 你能帮我什么？",
        "我能听、能看、能说话。请问我形状和颜色吧。",
    ),
    _intent(
        "human",
        "Are you a human? | Are you a person? | Are you real?",
        "No, I am a computer program.",
        "你是人吗？| 你是真人吗？| 你是真的人吗？",
        "不是，我是电脑程序。",
        core=False,
    ),
    _intent(
        "see",
        "Can you see? | Can you see pictures? | Do you have eyes?",
        "Yes, show me a picture.",
        "你能看见吗？| 你能看图片吗？| 你有眼睛吗？",
        "能，请给我看一张图片。",
        core=False,
    ),
    _intent(
        "hear",
        "Can you hear me? | Do you hear me? | Are you listening?",
        "Yes, I hear you.",
        "你能听见我吗？| 你听得见吗？| 你在听吗？",
        "能，我听见了。",
    ),
    _intent(
        "languages",
        "Which languages do you speak? | What languages do you know? | Do you speak Chinese?",
        "I speak English and Chinese.",
        "你会说什么语言？| 你懂哪些语言？| 你会说英语吗？",
        "我会说中文和英语。",
        core=False,
    ),
    _intent(
        "age",
        "How old are you? | When were you born? | What is your age?",
        "I am very young.",
        "你多大了？| 你几岁了？| 你是什么时候出生的？",
        "我还很小。",
        core=False,
    ),
    _intent(
        "happy",
        "I am happy. | I am so happy today. | I feel good.",
        "I am happy for you.",
        "我很高兴。| 我今天真高兴。| 我感觉很好。",
        "我为你高兴。",
        core=False,
    ),
    _intent(
        "sad",
        "I am sad. | I feel bad. | I am so sad today.",
        "I am sorry to hear that.",
        "我很难过。| 我感觉不好。| 我今天真难过。",
        "听到这个我很难过。",
        core=False,
    ),
)


@lru_cache(maxsize=16)
def phrases(
    language: Language, split: Split, width: DomainWidth
) -> tuple[tuple[Intent, tuple[str, ...]], ...]:
    """The phrases of one side by intent; the first phrase of each intent is for training."""
    found = []
    for intent in within(INTENTS, width):
        ours = tuple(
            phrase
            for number, phrase in enumerate(intent.phrases[language])
            if (split_of("talk", intent.key, phrase) if number else "train") == split
        )
        if ours:
            found.append((intent, ours))
    return tuple(found)


def draw(
    rng: Random, language: Language, split: Split, width: DomainWidth = "full"
) -> tuple[Intent, str]:
    """A phrase of one side and what it means.

    Raises:
        IndexError: there is none on that side.
    """
    intent, ours = rng.choice(phrases(language, split, width))
    return intent, rng.choice(ours)
