"""Each tab with the real nano checkpoint: give something, see text grow, hear the answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.server import ROOT, Server
from tests.browser.visit import HELD, Visit
from tests.support.root import DATA

SPEECH = DATA / "speech.ogg"
EXAMPLES = ROOT / "examples"  # of what the model has learnt to talk about
INPUTS = {"audio": "recording", "video": "clip", "image": "pictures"}


AT_ONCE = 30  # characters: nano has a shorter answer ready before the page draws its first word


def grew_and_sounded(visit: Visit) -> None:
    """The answer's text came bit by bit, and its sound was heard while the clock moved."""
    visit.wait_for_sound(120)
    visit.finish()
    heard = visit.wait_for_silence(120)
    assert heard.peak > 0.01
    assert len(heard.clock) > 10
    assert heard.clock[-1] > 0.5
    growth = visit.growth()
    assert len(growth) >= 2 or growth[-1] < AT_ONCE


@pytest.mark.parametrize(
    ("tab", "files"),
    [
        ("audio", ["sentence_en.flac"]),
        ("video", ["changes.mp4"]),
        ("image", ["shapes.png", "stars.png"]),
    ],
)
def test_a_file_is_answered_in_text_and_speech(
    real_server: Server, visitors: Callable[..., Visit], tab: str, files: list[str]
) -> None:
    visit = visitors(real_server, tab)
    visit.give(INPUTS[tab], *[EXAMPLES / file for file in files])
    visit.ask("What do you see?")
    grew_and_sounded(visit)
    shown = {"audio": "[data-testid^=waveform]", "video": "video", "image": "img"}[tab]
    expect(visit.bubbles("user").first.locator(shown)).to_have_count(len(files))
    assert "What do you see?" in visit.text()
    visit.play_answer()  # it stays in its bubble
    visit.ask("And now?")  # the history, spoken answer included, goes with it
    visit.answered(2)
    visit.nothing_wrong()


def test_the_model_is_honestly_described_loaded_and_unloaded(
    real_server: Server, visitors: Callable[..., Visit]
) -> None:
    visit = visitors(real_server)
    status = visit.page.locator("#model-status")
    visit.model()
    if visit.page.locator("#model-unload").is_enabled():
        visit.page.locator("#model-unload").click()
    expect(status).to_contain_text("No model is loaded")
    visit.page.locator("#model-load").click()
    expect(status).to_contain_text(re.compile(r"nano · [\d.]+ M parameters"), timeout=60_000)
    expect(visit.page.locator("#model-unload")).to_be_enabled()
    visit.nothing_wrong()


def test_a_voice_prompt_goes_with_every_tab(
    real_server: Server, visitors: Callable[..., Visit]
) -> None:
    visit = visitors(real_server)
    visit.settings()
    visit.page.locator("#voice-recording button.label-wrap").click()
    chooser = visit.page.locator("#voice-prompt input[type=file]")
    chooser.set_input_files(str(SPEECH))
    expect(visit.page.locator("#voice-check")).to_contain_text("Ready:", timeout=60_000)
    for tab in INPUTS:
        visit.go(tab)
        visit.ask("Who are you?")
        visit.answered(1)
        visit.play_answer()
    visit.nothing_wrong()


def test_a_long_answer_grows(real_server: Server, visitors: Callable[..., Visit]) -> None:
    visit = visitors(real_server)
    visit.ask("Say: The red star is left of the green heart.")
    grew_and_sounded(visit)
    assert visit.growth()[-1] >= AT_ONCE
    visit.nothing_wrong()


def test_answers_without_speech(real_server: Server, visitors: Callable[..., Visit]) -> None:
    visit = visitors(real_server)
    visit.part("speak").locator("input").uncheck()
    visit.ask("Say something.")
    visit.answered(1)
    assert visit.heard() is None
    assert visit.bubbles("bot").last.get_by_role("button", name="Play").count() == 0
    visit.nothing_wrong()


def test_the_microphone(real_server: Server, visitors: Callable[..., Visit]) -> None:
    visit = visitors(real_server, permissions=["microphone"])
    record(visit, "recording")
    visit.ask("Who are you?")
    grew_and_sounded(visit)
    expect(visit.bubbles("user").first.locator("[data-testid^=waveform]")).to_have_count(1)
    visit.nothing_wrong()


def record(visit: Visit, name: str, milliseconds: int = 1500) -> None:
    """Record with the composer's microphone, which fills the audio input of that name."""
    visit.part("record").click()
    expect(visit.part(name).locator(".stop-button")).to_be_visible()
    visit.page.wait_for_timeout(milliseconds)
    visit.part("record").click()
    expect(visit.part(name).locator(HELD)).not_to_have_count(0)


def test_the_camera_records_a_clip_with_its_sound(
    real_server: Server, visitors: Callable[..., Visit]
) -> None:
    visit = visitors(real_server, "video", permissions=["microphone", "camera"])
    box = visit.part("clip")
    visit.part("camera").click()
    record_button = box.locator(".capture-button")
    record_button.click()
    expect(record_button).to_contain_text("Stop")
    visit.page.wait_for_timeout(2500)
    record_button.click()
    expect(box.locator("video[src]")).to_be_visible(timeout=30_000)
    visit.ask("What do you see?")
    grew_and_sounded(visit)
    visit.nothing_wrong()


def test_the_camera_takes_a_picture_and_the_question_is_spoken(
    real_server: Server, visitors: Callable[..., Visit]
) -> None:
    visit = visitors(real_server, "image", permissions=["microphone", "camera"])
    box = visit.part("pictures")
    visit.part("camera").click()
    visit.page.wait_for_function(
        "document.querySelector('#image-pictures video').currentTime > 0.2"
    )
    box.get_by_role("button", name="capture photo").click()
    expect(box.locator(".thumbnail-item")).to_have_count(1, timeout=30_000)
    record(visit, "question")
    visit.ask()
    grew_and_sounded(visit)
    expect(visit.bubbles("user").first.locator("img")).to_have_count(1)
    visit.nothing_wrong()


def test_stop(real_server: Server, visitors: Callable[..., Visit]) -> None:
    visit = visitors(real_server)
    visit.ask("Say: The red star is left of the green heart.")
    visit.wait_for_sound(120)
    visit.part("stop").click()
    visit.finish()
    expect(visit.part("chat")).to_contain_text("You stopped this answer")
    visit.page.wait_for_timeout(1500)
    assert visit.sounded_after_stop() < 0.3
    visit.ask("And again.")
    visit.answered(2)
    visit.nothing_wrong()


@pytest.mark.parametrize(
    ("tab", "file", "sentence"),
    [
        ("audio", None, "There is nothing to answer"),
        ("audio", "empty.wav", "empty.wav is empty"),
        ("audio", "text.wav", "text.wav could not be read as sound"),
        ("audio", "blip.wav", "blip.wav is too short"),
        ("audio", "silence.wav", "I could not hear anything in silence.wav"),
        ("image", "text.png", "text.png is not a picture"),
        ("image", "dot.png", "1 x 1 pixels is too small"),
        ("image", "strip.png", "900 x 3 pixels is too narrow"),
        ("video", "broken.mp4", "broken.mp4 is not a clip"),
        ("video", "no-frames.mp4", "no-frames.mp4 has no moving pictures"),
    ],
)
def test_bad_input_is_one_sentence_and_the_next_turn_works(
    real_server: Server,
    visitors: Callable[..., Visit],
    media: Path,
    tab: str,
    file: str | None,
    sentence: str,
) -> None:
    visit = visitors(real_server, tab)
    if file:
        visit.give(INPUTS[tab], media / file)
        visit.ask("What is this?")
        visit.answered(1)
        assert sentence in visit.text()
    else:  # nothing was asked: no bubble tells of it
        visit.ask()
        expect(visit.part("status")).to_contain_text(sentence)
    expect(visit.page.locator(".toast-body", has_text=sentence)).to_have_count(1)
    if file:  # what was typed is not lost
        expect(visit.part("text").locator("textarea")).to_have_value("What is this?")
    assert visit.foreign == []
    visit.ask("And now something good.")
    visit.answered(2 if file else 1)
    expect(visit.bubbles("bot").last).not_to_contain_text(sentence)
