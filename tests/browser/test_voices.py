"""Ready voices, hearing a voice, readings with several voices, warnings and marks in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from omni.listening.gallery import gallery
from tests.browser.server import Server
from tests.browser.test_accessible import violations
from tests.browser.test_voice_panel import CHECKED_MS, DEFAULT, Panel
from tests.browser.visit import Visit
from tests.support.fake_engine import CHUNK_S

Come = Callable[..., Visit]
AUDIO_PLAYS = """() => window.samples?.some((one) => one.currentTime > 0.1 || one.ended)"""
NOTE_SAMPLES = """
window.samples = [];
const Sample = window.Audio;
window.Audio = function (...given) {
  const made = new Sample(...given);
  window.samples.push(made);
  return made;
};"""
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def server(voice_server: Server) -> Server:
    return voice_server


def test_a_ready_voice_is_played_used_put_away_and_remembered(
    server: Server, visitors: Come
) -> None:
    visit = visitors(server, script=NOTE_SAMPLES)
    panel = Panel(visit)
    expect(panel.page.locator("[data-voice]")).to_have_count(len(gallery()))
    panel.page.get_by_role("button", name="Play Ben").click()
    panel.page.wait_for_function(AUDIO_PLAYS, timeout=CHECKED_MS)
    use = panel.page.get_by_role("button", name="Use the voice of Anna")
    use.click()
    expect(use).to_have_attribute("aria-pressed", "true", timeout=CHECKED_MS)
    panel.shows("")  # no named voice beside it
    by = visit.part("speak").locator(".label-text")
    expect(by).to_have_attribute("data-by", "Anna")
    visit.ask("hello")
    visit.answered(1)
    assert "voice(anna.wav, system" in visit.text()
    panel.open("style")
    panel.step("speed", "Slow")
    panel.shows("Speak slowly.")
    panel.page.wait_for_timeout(800)  # it is written down
    visit.page.reload()
    again = Panel(visit)
    expect(again.page.get_by_role("button", name="Use the voice of Anna")).to_have_attribute(
        "aria-pressed", "true", timeout=CHECKED_MS
    )
    again.shows("Speak slowly.")
    again.page.get_by_role("button", name="Use the voice of Anna").click()
    again.shows(f"{DEFAULT} Speak slowly.")
    expect(by).to_have_attribute("data-by", "")
    again.click("reset")
    again.shows(DEFAULT)
    visit.nothing_wrong()


@pytest.mark.parametrize(("language", "words"), [("en-US", 6), ("zh-CN", 1)])
def test_a_voice_is_heard_and_the_chat_knows_nothing_of_it(
    server: Server, visitors: Come, language: str, words: int
) -> None:
    visit = visitors(server, locale=language)
    panel = Panel(visit)
    panel.click("hear")
    panel.page.wait_for_function(
        "(s) => window.pieces.reduce((sum, one) => sum + one.samples.length, 0) > 23900 * s",
        arg=words * CHUNK_S,
        timeout=CHECKED_MS,
    )
    expect(panel.page.locator('[data-testid="bot"]')).to_have_count(0)
    visit.ask("hello")
    visit.answered(1)
    visit.nothing_wrong()


def test_lines_are_read_in_the_voices_of_their_names(server: Server, visitors: Come) -> None:
    visit = visitors(server)
    visit.page.locator("#audio-text textarea").fill("Anna: Hello Ben!\nBen: Hello Anna!")
    visit.page.evaluate("document.querySelector('#audio-chip-read-aloud').click()")
    bot = visit.page.locator('[data-testid="bot"]').first
    expect(bot).to_contain_text("Anna: Hello Ben!", timeout=CHECKED_MS)
    expect(bot).to_contain_text("Ben: Hello Anna!", timeout=CHECKED_MS)
    expect(visit.page.locator("#audio-chat audio")).not_to_have_count(0)
    visit.page.locator("#audio-text textarea").fill("Anna: Hello!\nBob: Who am I?")
    visit.page.evaluate("document.querySelector('#audio-chip-read-aloud').click()")
    # Voices that the owner saved stand before those that are ready.
    told = (
        r"There is no voice called Bob\. The voices here are: .*Anna, Emma, Mei, Ben, George, Wei\."
    )
    expect(visit.page.locator('[data-testid="bot"]').last).to_contain_text(re.compile(told))


@pytest.mark.parametrize(
    ("language", "sentence"), [("en-US", "two people seem to speak"), ("zh-CN", "好像有两个人")]
)
def test_two_people_in_a_recording_are_warned_of(
    server: Server, visitors: Come, tmp_path: Path, language: str, sentence: str
) -> None:
    both = []
    for voice in gallery():
        if voice.id in ("anna", "ben"):
            samples, rate = soundfile.read(voice.path, dtype="float32")
            both.append(samples[: 5 * rate])
    file = tmp_path / "both.wav"
    soundfile.write(file, np.concatenate(both), rate)
    panel = Panel(visitors(server, locale=language))
    panel.open("recording")
    panel.give(file)
    panel.told("check", sentence)
    expect(panel.page.locator("#system-after")).not_to_be_empty()  # it is used all the same


@pytest.mark.parametrize(
    ("language", "mark"), [("en-US", "(not with nano)"), ("zh-CN", "（nano 不支持）")]
)
def test_what_nano_does_not_do_says_so(
    server: Server, visitors: Come, language: str, mark: str
) -> None:
    visit = visitors(server, locale=language)
    panel = Panel(visit)
    panel.open("style")
    panel.box("emotion").click()
    expect(panel.page.get_by_role("option").filter(has_text=mark).first).to_be_visible()
    panel.page.keyboard.press("Escape")
    expect(panel.page.locator("#audio-chip-summarize-speech")).to_contain_text(mark)
    expect(panel.page.locator("#audio-chip-transcribe")).not_to_contain_text(mark)


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_gallery_fits_a_phone_and_everybody(
    server: Server, visitors: Come, language: str, scheme: str
) -> None:
    visit = visitors(server, locale=language, viewport=PHONE, color_scheme=scheme, has_touch=True)
    panel = Panel(visit)
    shown = panel.page.locator("[data-voice-act]")
    assert shown.count() == 2 * len(gallery())
    for place in range(shown.count()):
        box = shown.nth(place).bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
        assert min(box["width"], box["height"]) >= 44
    assert violations(visit) == []
    assert not re.search(r"__i18n__|omni\.", panel.page.locator("#settings").inner_text())
