"""The words of the UI: complete, the same placeholders in each language, chosen by the browser."""

from __future__ import annotations

import ast
import string
from pathlib import Path
from types import SimpleNamespace

import pytest

from demos.base.languages import LANGUAGES, Words, preferred
from omni.errors import CheckpointError, MediaError
from tests.support.root import ROOT

ERRORS = {
    "OmniError",
    "MediaError",
    "ConversationError",
    "CheckpointError",
    "ResourceError",
    "VoiceError",
}
WORDS = Words()


def raised() -> dict[str, tuple[str, Path]]:
    """Every error code in omni/ and demos/, with its English sentence and where it is."""
    found = {}
    for file in [*(ROOT / "omni").rglob("*.py"), *(ROOT / "demos").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id not in ERRORS:
                continue
            code, sentence = (ast.literal_eval(argument) for argument in node.args[:2])
            found[code] = (sentence, file.relative_to(ROOT))
    return found


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


RAISED = raised()


def test_errors_are_found_in_the_source() -> None:
    assert {"media-empty", "image-too-narrow", "checkpoint-missing", "nothing-given"} <= set(RAISED)


@pytest.mark.parametrize("code", sorted(RAISED))
def test_every_error_has_a_chinese_sentence(code: str) -> None:
    sentence, file = RAISED[code]
    assert code in WORDS.errors, f"{file} raises {code}: translate it in demos/words.yaml"
    chinese = WORDS.errors[code]["zh"]
    assert placeholders(chinese) <= placeholders(sentence)
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)


def test_no_translation_of_an_error_that_nobody_raises() -> None:
    assert set(WORDS.errors) <= set(RAISED)


def test_every_word_has_every_language_with_the_same_placeholders() -> None:
    for key, words in WORDS.ui.items():
        assert set(words) == set(LANGUAGES), key
        assert len({frozenset(placeholders(text)) for text in words.values()}) == 1, key


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("de-DE,de;q=0.9,zh-TW;q=0.7,en;q=0.3", "zh"),
        ("en;q=0.2, zh;q=0.4", "zh"),
        ("fr", "en"),
        ("", "en"),
        ("zh;q=many", "zh"),
    ],
)
def test_the_browser_chooses_the_language(header: str, language: str) -> None:
    assert preferred(header) == language


def test_a_fixed_language_wins_over_the_browser() -> None:
    request = SimpleNamespace(headers={"accept-language": "zh-CN"})
    assert Words("auto").of(request) == "zh"  # type: ignore[arg-type]
    assert Words("en").of(request) == "en"  # type: ignore[arg-type]
    assert Words("auto").of(None) == "en"


@pytest.mark.parametrize(
    ("cookie", "language"),
    [
        ("omni_language=en", "en"),
        ("theme=1; omni_language=en; other=2", "en"),
        ("omni_language=fr", "zh"),
        ("not_omni_language=en", "zh"),
        ("omni_language=english", "zh"),
        ("", "zh"),
    ],
)
def test_the_switch_wins_over_the_browser_but_not_over_the_flag(cookie: str, language: str) -> None:
    request = SimpleNamespace(headers={"accept-language": "zh-CN", "cookie": cookie})
    assert Words("auto").of(request) == language  # type: ignore[arg-type]
    assert Words("zh").of(request) == "zh"  # type: ignore[arg-type]


def test_static_words_are_translated_in_the_browser_or_fixed() -> None:
    assert Words("zh").static("send") == "发送"
    words = Words("auto")
    key = words.static("send").key  # type: ignore[union-attr]
    tables = words.i18n().translations_dict
    assert tables["en"][key] == "Send"
    assert tables["zh"][key] == tables["zh-CN"][key] == tables["zh-TW"][key] == "发送"


def test_an_error_is_told_in_the_persons_language() -> None:
    error = MediaError("media-empty", "{name} is empty: record or choose it again.", name="a.wav")
    assert WORDS.error("en", error) == "a.wav is empty: record or choose it again."
    assert "a.wav" in WORDS.error("zh", error)
    assert "empty" not in WORDS.error("zh", error)


def test_an_error_without_a_translation_is_told_in_english() -> None:
    error = CheckpointError("brand-new", "Something new about {path}.", path="x")
    assert WORDS.error("zh", error) == "Something new about x."
