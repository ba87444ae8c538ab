"""The words of the UI: complete, the same placeholders in each language, chosen by the browser."""

from __future__ import annotations

import ast
import shutil
import string
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from demos import launch
from demos.base import word_files
from demos.base.languages import Words
from demos.base.word_files import ENGLISH, WordFile, in_language, page_languages, read_words
from demos.panels.header import build_header
from omni.errors import CheckpointError, MediaError, OmniError
from tests.support.root import ROOT

ERRORS = {
    "GivenError",
    "OmniError",
    "MediaError",
    "ConversationError",
    "CheckpointError",
    "ResourceError",
    "BusyError",
    "CancelledError",
    "VoiceError",
    "ServeError",
    "PortTaken",
    "CertificateError",
    "ReplicaLost",
    "NoEngineError",
}
WORDS = Words()
FILES = read_words()
THIRD = """
name: Deutsch
prompt_language: en
aliases: [gsw]
ui: {send: Senden, progress-wait: "Noch {ahead} vor dir ..."}
errors: {media-empty: "{name} ist leer."}
"""


def raised() -> dict[str, str]:
    """The English sentence of every error in omni/ and demos/, by its code."""
    found = {}
    for file in [*(ROOT / "omni").rglob("*.py"), *(ROOT / "demos").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id in ERRORS:
                code, sentence = (ast.literal_eval(argument) for argument in node.args[:2])
                found[code] = sentence
    return found


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def sentences(file: WordFile) -> dict[str, str]:
    """Everything that a file says, by section and key."""
    tables = {"ui": file.ui, "prompts": file.prompts, "errors": file.errors}
    return {f"{name}: {key}": text for name, table in tables.items() for key, text in table.items()}


def test_english_has_every_error_as_the_code_says_it() -> None:
    said = raised()
    assert {"media-empty", "image-too-narrow", "checkpoint-missing", "nothing-given"} <= set(said)
    ours = FILES[ENGLISH].errors
    wrong = {code for code in {*said, *ours} if said.get(code) != ours.get(code)}
    assert not wrong, f"assets/words/en.yaml and the code differ: {sorted(wrong)}"


@pytest.mark.parametrize("language", page_languages())
def test_every_language_says_what_english_says(language: str) -> None:
    ours, english = sentences(FILES[language]), sentences(FILES[ENGLISH])
    if not FILES[language].prompts:  # it has those of its prompt language
        english = {key: text for key, text in english.items() if not key.startswith("prompts: ")}
    assert sorted(set(english) - set(ours)) == [], "these are missing"
    assert sorted(set(ours) - set(english)) == [], "these are unknown"
    other = [key for key in ours if placeholders(ours[key]) != placeholders(english[key])]
    assert other == [], "these have other placeholders than in English"


def test_every_language_says_it_in_its_own_words() -> None:
    for key, text in sentences(FILES["zh"]).items():
        if key.startswith("errors: "):
            assert any("\u4e00" <= letter <= "\u9fff" for letter in text), key


def test_no_sentence_stands_in_the_code_of_the_page() -> None:
    """What Gradio shows comes from the files of words, but for the names that scripts use."""
    found = []
    for file in sorted((ROOT / "demos").rglob("*.py")):
        if file.name == "api.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("gr."):
                found += [f"{file.name}: {text}" for text in shown_by(node) if is_sentence(text)]
    assert found == []


def shown_by(call: ast.Call) -> Iterator[str]:
    """The texts that a call of Gradio shows as they stand in the code."""
    named = {"label", "info", "placeholder", "title", "message", "value"}
    given = [k.value for k in call.keywords if k.arg in named] + call.args
    for node in given:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def is_sentence(text: str) -> bool:
    return any(letter.isalpha() for letter in text) and not text.startswith("<")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("xx-XX,xx;q=0.9,zh-TW;q=0.7,en;q=0.3", "zh"),
        ("en;q=0.2, zh;q=0.4", "zh"),
        ("xx", "en"),
        ("", "en"),
        ("zh;q=many", "zh"),
    ],
)
def test_the_browser_chooses_the_language(header: str, language: str) -> None:
    assert WORDS.preferred(header) == language


def asked(header: str, cookie: str = "") -> Any:
    return SimpleNamespace(headers={"accept-language": header, "cookie": cookie})


def test_a_fixed_language_wins_over_the_browser() -> None:
    assert Words("auto").of(asked("zh-CN")) == "zh"
    assert Words("en").of(asked("zh-CN")) == "en"
    assert Words("auto").of(None) == "en"
    assert Words("zh").of(None) == "zh"


@pytest.mark.parametrize(
    ("cookie", "language"),
    [
        ("omni_language=en", "en"),
        ("theme=1; omni_language=en; other=2", "en"),
        ("omni_language=xx", "zh"),
        ("not_omni_language=en", "zh"),
        ("omni_language=english", "zh"),
        ("", "zh"),
    ],
)
def test_the_switch_wins_over_the_browser_but_not_over_the_flag(cookie: str, language: str) -> None:
    request = asked("zh-CN", cookie)
    assert Words("auto").of(request) == language
    assert Words("zh").of(request) == "zh"


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


@pytest.fixture
def third(tmp_path: Path) -> Path:
    """Two of our files of words, and one of a third language beside them."""
    for language in ("en", "zh"):
        shutil.copy(word_files.FOLDER / f"{language}.yaml", tmp_path)
    (tmp_path / "de.yaml").write_text(THIRD, encoding="utf-8")
    return tmp_path


def test_a_further_language_is_one_file(third: Path) -> None:
    words = Words(folder=third)
    assert words.languages == ("en", "de", "zh")
    assert words.of(asked("de-CH,zh;q=0.9")) == words.of(asked("gsw")) == "de"
    assert words.of(asked("en", "omni_language=de")) == "de"
    assert words.say("de", "progress-wait", ahead=2) == "Noch 2 vor dir ..."
    assert words.say("de", "stop") == "Stop"  # what it lacks is said in English
    error = MediaError("media-empty", "{name} is empty.", name="a.wav")
    assert words.error("de", error) == "a.wav ist leer."
    tables = words.i18n().translations_dict
    assert tables["de"]["omni.send"] == "Senden"
    assert tables["de"]["omni.stop"] == "Stop"
    assert Words("de", third).static("send") == "Senden"


def test_a_further_language_stands_on_the_switch(third: Path) -> None:
    with gr.Blocks():
        switch = build_header(Words(folder=third)).language
    assert switch.choices == [("EN", "en"), ("DE", "de"), ("中文", "zh")]


def test_a_further_language_is_a_choice_of_the_command(
    third: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(word_files, "FOLDER", third)
    assert launch.parse(["--lang", "de"]).lang == "de"
    with pytest.raises(SystemExit):
        launch.parse(["--lang", "xx"])
    assert "'en', 'de', 'zh'" in capsys.readouterr().err


def test_the_language_of_the_prompt_is_one_of_the_models(third: Path) -> None:
    words = Words(folder=third)
    assert [words.prompt_language(one) for one in ("de", "en", "zh")] == ["en", "en", "zh"]
    assert words.prompt("de", "describe") == words.prompt("en", "describe")
    assert words.prompt("zh", "describe") != words.prompt("en", "describe")


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("name: X\nprompt_language: de", "prompt_language must be en or zh, not de"),
        ("name: X\nwords: {}", "are expected"),
        ("label: X", "name at least"),
        ("- X", "are expected"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, table: str, reason: str) -> None:
    (tmp_path / "de.yaml").write_text(table, encoding="utf-8")
    with pytest.raises(ValueError, match=f"de.yaml.*{reason}"):
        read_words(tmp_path)


def test_a_language_without_a_file_is_refused() -> None:
    with pytest.raises(ValueError, match="no words in xx"):
        Words("xx")


def test_a_table_of_texts_falls_back_to_english_and_then_to_what_there_is() -> None:
    assert in_language({"en": "king", "zh": "国王"}, "zh") == "国王"
    assert in_language({"en": "king", "zh": "国王"}, "de") == "king"
    assert in_language({"zh": "国王"}, "de") == "国王"


def test_what_is_written_in_no_file_is_not_said() -> None:
    with pytest.raises(KeyError):
        WORDS.say("en", "no such sentence")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_on_a_page_for_others_errors_name_no_folder(language: str) -> None:
    words = Words().for_others()
    said = "{path} is not a JSON object: fetch it again."
    error = OmniError("config-broken", said, path="/home/me/my models/config.json")
    assert "config.json" in words.error(language, error)
    assert "my models" not in words.error(language, error)
    assert "/home/me/my models" in Words().error(language, error)
    other = OmniError("other", "no {file} in (/srv/data/x/y.bin), see https://a.b/c/d", file="a/b")
    assert words.error("en", other) == "no a/b in (y.bin), see https://a.b/c/d"
