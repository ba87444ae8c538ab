"""Task chips and examples: prompts in the person's language, at once or into the text box."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from demos.base.languages import Words
from demos.base.word_files import ENGLISH, PROMPT_LANGUAGES
from demos.build import TABS, build
from demos.tabs.chips import files
from demos.tabs.examples import read_examples
from demos.turns.chat import Thread
from demos.turns.sessions import Sessions
from omni.conversation import Audio, Image, Text, Video
from tests.support.fake_engine import FakeEngine
from tests.support.media_files import tone, write_sound
from tests.support.page import event, handler, request, shown, values
from tests.support.root import ROOT

FOLDER = ROOT / "examples"
WORDS = Words()
ENGLISH_WORDS = WORDS.files[ENGLISH]
EXAMPLES = read_examples()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def page(engine: FakeEngine, tmp_path: Path) -> gr.Blocks:
    return build(engine, Sessions(tmp_path / "root", grace_s=1000), Words())  # type: ignore[arg-type]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(gr, "Info", said.append)
    return said


def click(
    page: gr.Blocks, name: str, text: str = "", language: str = "en", **media: Any
) -> Iterator[dict[str, Any]]:
    """Click a button; ``media``: values of the tab's inputs by the end of their id, and thread."""
    tab = name.split("-")[0]
    thread = media.pop("thread", Thread())
    named = {f"{tab}_{end}": value for end, value in ({"text": text} | media).items()}
    named["thread"] = thread
    for changes in handler(page, name)(request(language=language), values(page, name, **named)):
        yield shown(tab, changes)


def test_a_chip_without_its_files_fills_the_text_box(
    page: gr.Blocks, engine: FakeEngine, told: list[str]
) -> None:
    (changes,) = click(page, "image-chip-describe", language="zh")
    assert changes["text"] == "图片里有什么？"
    one = [("a.png", None)]
    (changes,) = click(page, "image-chip-compare", pictures=one)
    assert changes["text"] == WORDS.prompt("en", "compare")
    assert told == [
        WORDS.say("zh", "chip-add-first", count=1),
        WORDS.say("en", "chip-add-first", count=2),
    ]
    assert engine.seen == []


def test_a_chip_with_its_files_runs_at_once(page: gr.Blocks, engine: FakeEngine) -> None:
    *_, last = click(page, "image-chip-compare", pictures=two())
    *seen, asked = engine.seen[-1].messages[-1].parts
    assert [type(part) for part in seen] == [Image, Image]
    assert asked == Text(WORDS.prompt("en", "compare"))
    assert len(last["thread"].entries) == 2
    assert all((FOLDER / name).exists() for name in ("shapes.png", "stars.png"))


def test_transcribe_uses_the_models_own_form(
    page: gr.Blocks, engine: FakeEngine, tmp_path: Path
) -> None:
    sound = write_sound(tmp_path / "q.wav", tone(0.2))
    *_, last = click(page, "audio-chip-transcribe", recording=str(sound))
    asked, answered = last["thread"].entries
    assert isinstance(asked.message.parts[0], Audio)
    assert answered.text == "This is q.wav"
    assert engine.seen == []


def test_read_aloud_reads_the_text_box(
    page: gr.Blocks, engine: FakeEngine, told: list[str]
) -> None:
    *_, last = click(page, "audio-chip-read-aloud", text="three short words", speak=False)
    asked, answered = last["thread"].entries
    assert asked.text == "three short words"
    assert answered.sound is not None
    assert engine.seen == []
    (changes,) = click(page, "audio-chip-read-aloud", text="  ")
    assert told == [WORDS.say("en", "chip-type-first")]
    assert changes == {"text": gr.skip()}


def test_reading_leaves_no_trace_in_the_conversation(page: gr.Blocks, engine: FakeEngine) -> None:
    *_, last = click(page, "audio-chip-read-aloud", text="three short words")
    read = last["thread"]
    *_, last = click(page, "audio-chip-translate", text="I see a cat.", thread=read)
    (asked,) = engine.seen[-1].messages
    assert asked.parts == (Text("Translate into Chinese: I see a cat."),)
    assert [entry.text for entry in last["thread"].entries][:1] == ["three short words"]


def test_reading_heeds_the_system_prompt(page: gr.Blocks, engine: FakeEngine) -> None:
    list(click(page, "audio-chip-read-aloud", text="plain"))
    given = {"audio_text": "slow", "system_prompt": "Speak slowly."}
    named = values(page, "audio-chip-read-aloud", **given)
    list(handler(page, "audio-chip-read-aloud")(request(), named))
    assert engine.manners == ["", "Speak slowly."]


def test_what_was_read_is_read_again(page: gr.Blocks, engine: FakeEngine) -> None:
    *_, last = click(page, "audio-chip-read-aloud", text="three short words", speak=False)
    given = values(page, "audio_retry", thread=last["thread"], audio_speak=False)
    *_, again = handler(page, "audio_retry")(request(), event(index=[0, 0]), given)
    assert len(engine.manners) == 2
    assert engine.seen == []
    assert shown("audio", again)["thread"].entries[1].sound is not None


def test_an_example_begins_a_conversation(page: gr.Blocks, engine: FakeEngine) -> None:
    *_, last = click(page, "image-example-asked")
    former = last["thread"]
    *_, last = click(page, "image-example-asked", thread=former)
    assert len(engine.seen[-1].messages) == 1
    assert len(last["thread"].entries) == len(last["chat"]) == 2  # the former is in the list
    assert last["thread"].id != former.id
    assert all(path.exists() for path in last["thread"].files())
    assert not any(path.exists() for path in former.files())
    *_, last = click(page, "image-chip-compare", pictures=two(), thread=last["thread"])
    assert len(engine.seen[-1].messages) == 3  # and the example's own goes on


def two() -> list[tuple[str, None]]:
    """A gallery's value with two pictures."""
    return [(str(FOLDER / name), None) for name in ("shapes.png", "stars.png")]


def test_translate_takes_the_text_box_or_what_is_said(
    page: gr.Blocks, engine: FakeEngine, tmp_path: Path, told: list[str]
) -> None:
    *_, _ = click(page, "audio-chip-translate", text="I see a cat.")
    assert engine.seen[-1].messages[-1].parts == (Text("Translate into Chinese: I see a cat."),)
    sound = write_sound(tmp_path / "q.wav", tone(0.2))
    *_, _ = click(page, "audio-chip-translate", recording=str(sound))
    heard, asked = engine.seen[-1].messages[-1].parts
    assert isinstance(heard, Audio)
    assert asked == Text(WORDS.prompt("en", "translate"))
    assert told == []
    (changes,) = click(page, "audio-chip-translate")
    assert changes["text"] == WORDS.prompt("en", "translate")
    assert told == [WORDS.say("en", "chip-add-first", count=1)]


def test_an_example_may_use_the_models_own_form(page: gr.Blocks, engine: FakeEngine) -> None:
    *_, last = click(page, "audio-example-write")
    assert last["thread"].entries[-1].text == "This is sentence_en.flac"
    *_, last = click(page, "audio-example-say", speak=False)
    assert last["thread"].entries[-1].sound is not None
    assert engine.seen == []


def test_what_counts_as_a_file() -> None:
    assert files({"clip": None, "with_sound": True, "question": "question.wav"}) == 1
    assert files({"pictures": [("a", None), ("b", None)], "question": None}) == 2
    assert files({"clip": "clip.mp4", "with_sound": False, "question": None}) == 1
    assert files({"clip": None, "with_sound": True}) == files({"pictures": [], "x": False}) == 0


def test_every_chip_has_its_words() -> None:
    for chip in (chip for tab in TABS for chip in tab.chips):
        assert f"chip-{chip.key}" in ENGLISH_WORDS.ui
        assert chip.task == "read" or chip.key in ENGLISH_WORDS.prompts
        assert not chip.takes_text or f"{chip.key}-text" in ENGLISH_WORDS.prompts


@pytest.mark.parametrize("tab", ["audio", "video", "image"])
def test_examples_are_complete(tab: str) -> None:
    assert EXAMPLES[tab]
    for example in EXAMPLES[tab]:
        assert f"example-{example.key}" in ENGLISH_WORDS.ui
        for language in PROMPT_LANGUAGES:
            variant = example.variants[language]
            assert variant.text or variant.audio
            for name in variant.files:
                assert (FOLDER / name).is_file()
                assert (FOLDER / name).stat().st_size < 200_000


def test_an_example_runs_with_one_click_in_the_persons_language(
    page: gr.Blocks, engine: FakeEngine
) -> None:
    *_, last = click(page, "image-example-asked", text="half a question", language="zh")
    picture, question = engine.seen[-1].messages[-1].parts
    assert isinstance(picture, Image)
    assert isinstance(question, Audio)
    assert question.path.name == "asked_zh.flac"
    assert FOLDER not in question.path.parents  # a copy: sessions remove their files
    assert "text" not in last  # what stands in the text box stays
    *_, last = click(page, "video-example-moves")
    assert [type(part) for part in engine.seen[-1].messages[-1].parts] == [Video, Text]


def test_examples_survive_a_session(page: gr.Blocks, tmp_path: Path) -> None:
    *_, last = click(page, "audio-example-capital")
    thread = last["thread"]
    handler(page, "audio_clear")(request(), thread, 1)
    assert not any(path.exists() for path in thread.files())
    assert (FOLDER / "capital_en.flac").is_file()
