"""How a way of speaking is asked for in words.

Knows: the sentences, in both languages; what trains a model and what asks it use the same ones.
Does not know: how speech sounds, user interfaces, prompts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from omni.conversation import PromptLanguage

StyleName: TypeAlias = Literal["slow", "fast", "high", "low", "soft", "loud"]
EmotionName: TypeAlias = Literal[
    "happy", "sad", "angry", "calm", "excited", "gentle", "serious", "surprised"
]
Sentences: TypeAlias = Mapping[PromptLanguage, tuple[str, ...]]

STYLE_NAMES: tuple[StyleName, ...] = get_args(StyleName)
EMOTION_NAMES: tuple[EmotionName, ...] = get_args(EmotionName)


@dataclass(frozen=True)
class StyleWording:
    """A style in words.

    ``systems`` stand in a system prompt, the first is the usual one; ``requests`` stand before a
    text that is to be said; ``again`` asks for the last answer once more.
    """

    systems: Sentences
    requests: Sentences
    again: Sentences


def _style(english: str, adverb: str, chinese: str) -> StyleWording:
    """``english`` and ``adverb`` as in "in a high voice", "fast"; ``chinese`` as in 慢一点."""
    return StyleWording(
        systems={
            "en": (f"Speak {adverb}.", f"Please speak {adverb}.", f"Answer {english}."),
            "zh": (f"请说{chinese}。", f"回答时请说{chinese}。", f"{chinese}说话。"),
        },
        requests={
            "en": (f"Say {adverb}:", f"Please say this {adverb}:", f"Read this {english}:"),
            "zh": (f"请{chinese}说：", f"{chinese}读：", f"请说{chinese}："),
        },
        again={
            "en": (f"Say it again {adverb}.", f"Once more {english}, please."),
            "zh": (f"再说一遍，{chinese}。", f"请再{chinese}说一遍。"),
        },
    )


STYLES: Mapping[StyleName, StyleWording] = {
    "slow": _style("slowly", "slowly", "慢一点"),
    "fast": _style("quickly", "fast", "快一点"),
    "high": _style("in a high voice", "in a high voice", "高一点"),
    "low": _style("in a low voice", "in a low voice", "低一点"),
    "soft": _style("softly", "softly", "轻一点"),
    "loud": _style("loudly", "loudly", "大声一点"),
}

# nano has learnt the first of ``systems``, which is not how a Chinese person would put these; a
# model that has read the world's Chinese is asked as people ask.
NATURAL: Mapping[tuple[StyleName, PromptLanguage], str] = {
    ("high", "zh"): "请用高一点的音调说。",
    ("low", "zh"): "请用低一点的音调说。",
    ("soft", "zh"): "请小声一点。",
}


def style_sentence(style: StyleName, language: PromptLanguage, natural: bool) -> str:
    """A style in a system prompt; ``natural``: as people say it, not as nano has learnt it."""
    usual = STYLES[style].systems[language][0]
    return NATURAL.get((style, language), usual) if natural else usual


def _emotion(english: str, chinese: str) -> Mapping[PromptLanguage, str]:
    return {"en": f"Speak in {english} tone.", "zh": f"请用{chinese}的语气说话。"}


EMOTIONS: Mapping[EmotionName, Mapping[PromptLanguage, str]] = {
    "happy": _emotion("a happy", "开心"),
    "sad": _emotion("a sad", "悲伤"),
    "angry": _emotion("an angry", "生气"),
    "calm": _emotion("a calm", "平静"),
    "excited": _emotion("an excited", "兴奋"),
    "gentle": _emotion("a gentle", "温柔"),
    "serious": _emotion("a serious", "严肃"),
    "surprised": _emotion("a surprised", "惊讶"),
}
