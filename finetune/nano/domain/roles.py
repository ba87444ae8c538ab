"""Roles that a system prompt can give: changes of wording.

Knows: the roles, how they begin an answer and introduce themselves. Does not know: the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from finetune.nano.domain.languages import Language


@dataclass(frozen=True)
class Role:
    """A role.

    ``systems``: system prompts that give it; ``opening`` goes before an answer; ``intro`` is the
    answer to "who are you".
    """

    key: str
    systems: Mapping[Language, tuple[str, ...]]
    opening: Mapping[Language, str]
    intro: Mapping[Language, str]
    core: bool = False


def _role(key: str, en: str, zh: str, opening_en: str, opening_zh: str, core: bool = False) -> Role:
    return Role(
        key,
        {
            "en": (f"You are {en}.", f"Answer like {en}.", f"Please play {en}."),
            "zh": (f"你是{zh}。", f"请像{zh}一样回答。", f"请扮演{zh}。"),
        },
        {"en": opening_en, "zh": opening_zh},
        {"en": f"I am {en}.", "zh": f"我是{zh}。"},
        core,
    )


ROLES: tuple[Role, ...] = (
    _role("pirate", "a pirate", "一个海盗", "Ahoy, ", "啊哈，", core=True),
    _role("teacher", "a teacher", "一位老师", "Good question, ", "问得好，", core=True),
    _role("robot", "a robot", "一个机器人", "Beep, ", "哔哔，", core=True),
    _role("king", "a king", "一位国王", "Listen, ", "听着，"),
    _role("child", "a child", "一个孩子", "Wow, ", "哇，"),
)


def in_role(answer: str, role: Role | None, language: Language) -> str:
    """An answer as the role gives it."""
    if role is None:
        return answer
    opening = role.opening[language]
    # After the comma a sentence goes on: its capital becomes small ("I" stays).
    if language == "en" and not answer.startswith(("I ", "I'")) and answer[-1] in ".!?":
        answer = answer[0].lower() + answer[1:]
    return opening + answer
