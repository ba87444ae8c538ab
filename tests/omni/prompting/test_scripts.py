"""What a checkpoint cannot read is told by its first word; formulas and marks do not matter."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni.engine import Engine, EngineSettings
from omni.errors import ConversationError
from omni.events import SpeechChunk
from omni.prompting.scripts import strange_word
from omni.requests import ReadLine
from tests.support.checkpoints import write_checkpoint

LEARNT = ("LATIN", "CJK")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("The red star.", None),
        ("红色的星形。", None),
        ("Ｆｕｌｌ　ｗｉｄｔｈ", None),
        ("café, naïve, Zürich", None),
        ("5 µm, π is 3.14, the angle α", None),  # single letters
        ("人々", None),
        ("3 × 4 = 12 👋 ✓ ①", None),
        ("", None),
        ("Привет, мир", "Привет"),
        ("Say Привет twice", "Привет"),
        ("안녕하세요", "안녕하세요"),
        ("こんにちは", "こんにちは"),
        ("日本の星", None),  # a word with a letter that is known is tried
        ("Γειά σου", "Γειά"),
        ("مرحبا", "مرحبا"),
        ("नमस्ते", "नमस"),  # its signs of vowels are no letters
    ],
)
def test_the_first_word_without_a_known_letter(text: str, word: str | None) -> None:
    assert strange_word(text, LEARNT) == word


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    limits = {"audio_frames": 8, "rounds": 1}
    return write_checkpoint(
        tmp_path_factory.mktemp("tiny"), omni={"scripts": ["LATIN", "CJK"], "limits": limits}
    )


def test_a_reading_in_another_script_is_refused_with_its_word(folder: Path) -> None:
    engine = Engine(EngineSettings(str(folder), device="cpu"))
    list(engine.load())
    for asked in (
        engine.read_aloud("Hello, Привет"),
        engine.read_lines((ReadLine("Hello"), ReadLine("Привет"))),
    ):
        heard = []
        with pytest.raises(ConversationError, match="“Привет” aloud") as caught:
            heard.extend(event for event in asked if isinstance(event, SpeechChunk))
        assert caught.value.code == "script-not-learnt"
        assert heard == []  # nothing of the first line either
    assert any(isinstance(event, SpeechChunk) for event in engine.read_aloud("Hello"))


def test_a_checkpoint_that_tells_nothing_of_scripts_tries(tmp_path: Path) -> None:
    engine = Engine(EngineSettings(str(write_checkpoint(tmp_path)), device="cpu"))
    list(engine.load())
    assert next(iter(engine.read_aloud("Привет")))
