"""The system prompt's text from a role, a voice and a way of speaking."""

from __future__ import annotations

from typing import Any

import pytest

from omni.conversation import DEFAULT_SYSTEM_TEXT
from omni.prompting.styles import EMOTIONS, STYLE_NAMES, STYLES
from omni.prompting.system_text import SystemChoices, joined, system_text


def test_no_choice_is_the_published_default() -> None:
    assert system_text(SystemChoices(), "en") == DEFAULT_SYSTEM_TEXT
    assert system_text(SystemChoices(), "zh") == DEFAULT_SYSTEM_TEXT


@pytest.mark.parametrize(
    ("chosen", "english", "chinese"),
    [
        ({"styles": ("slow",)}, "Speak slowly.", "请说慢一点。"),
        ({"styles": ("fast",)}, "Speak fast.", "请说快一点。"),
        ({"styles": ("high",)}, "Speak in a high voice.", "请说高一点。"),
        ({"styles": ("low",)}, "Speak in a low voice.", "请说低一点。"),
        ({"styles": ("soft",)}, "Speak softly.", "请说轻一点。"),
        ({"styles": ("loud",)}, "Speak loudly.", "请说大声一点。"),
        ({"emotion": "angry"}, "Speak in an angry tone.", "请用生气的语气说话。"),
        ({"wish": "  Like a host. "}, "Like a host.", "Like a host."),
        ({"role": "You are a king."}, "You are a king.", "You are a king."),
        ({}, "", ""),
        (
            {"styles": ("low", "slow"), "emotion": "sad", "wish": "Pause often"},
            "Speak in a sad tone. Speak slowly. Speak in a low voice. Pause often",
            "请用悲伤的语气说话。请说慢一点。请说低一点。 Pause often",
        ),
        (
            {"voice": "某人", "role": "You are a king.", "styles": ("slow",)},
            "You are a king. 请用【某人】这个声音回答问题。 Speak slowly.",
            "You are a king. 请用【某人】这个声音回答问题。请说慢一点。",
        ),
    ],
)
def test_choices_become_sentences(chosen: dict[str, Any], english: str, chinese: str) -> None:
    choices = SystemChoices(**({"voice": None} | chosen))
    assert system_text(choices, "en") == english
    assert system_text(choices, "zh") == chinese


def test_styles_are_asked_for_as_people_ask() -> None:
    choices = SystemChoices(voice=None, styles=("high", "loud"))
    assert system_text(choices, "zh", natural=True) == "请用高一点的音调说。请说大声一点。"
    assert system_text(choices, "en", natural=True) == system_text(choices, "en")


def test_every_style_and_emotion_has_its_own_sentence_in_both_languages() -> None:
    for language in ("en", "zh"):
        sentences = [STYLES[name].systems[language][0] for name in STYLE_NAMES]
        sentences += [emotion[language] for emotion in EMOTIONS.values()]
        assert len(set(sentences)) == len(sentences) == len(STYLE_NAMES) + len(EMOTIONS)


def test_a_space_stands_where_the_script_needs_one() -> None:
    assert joined(["One.", "", "Two."]) == "One. Two."
    assert joined(["", "一。", "二。", "Three."]) == "一。二。 Three."
