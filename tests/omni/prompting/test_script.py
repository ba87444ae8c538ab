"""Texts for several voices."""

from __future__ import annotations

import pytest

from omni.errors import ConversationError, VoiceError
from omni.prompting.script import ScriptLine, is_script, script_lines

NAMES = ("Anna", "Ben", "小美")


def test_each_line_has_its_voice() -> None:
    text = "  anna: Hello!\n\nBEN： How are you?\nAnd your cat?\n小美:你好。"
    assert script_lines(text, NAMES) == (
        ScriptLine("Anna", "Hello!"),
        ScriptLine("Ben", "How are you?\nAnd your cat?"),
        ScriptLine("小美", "你好。"),
    )


def test_what_stands_before_the_first_name_has_no_voice() -> None:
    assert script_lines("A play.\nBen: Well.", NAMES)[0] == ScriptLine("", "A play.")


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(VoiceError) as caught:
        script_lines("Anna: Hi.\nBob: Hi.", NAMES)
    assert caught.value.code == "voice-unknown"
    assert (
        str(caught.value) == "There is no voice called Bob. The voices here are: Anna, Ben, 小美."
    )


@pytest.mark.parametrize("text", ["Anna: Hi.\nhttps://a.org", "Ben:Hi.\n12:30 it is."])
def test_addresses_and_times_are_no_names(text: str) -> None:
    assert is_script(text, NAMES)
    assert {line.name for line in script_lines(text, NAMES)} <= {"Anna", "Ben"}


@pytest.mark.parametrize("text", ["Note: this is plain.", "Anna says: hello", "Hello, Anna: come!"])
def test_a_colon_alone_makes_no_script(text: str) -> None:
    assert not is_script(text, NAMES)


@pytest.mark.parametrize("text", ["", "  \n ", "Anna:\nBen: "])
def test_there_must_be_something_to_say(text: str) -> None:
    with pytest.raises(ConversationError):
        script_lines(text, NAMES)
