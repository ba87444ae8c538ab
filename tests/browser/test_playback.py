"""The voice beyond playing: loudness, mute, browsers that do not let a page speak by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Playwright, expect

from tests.browser.server import SWITCHES, Server, chromium
from tests.browser.visit import Visit

QUIET = 0.25  # of full loudness
GESTURE_MS = 6000  # after this much a gesture is forgotten
ANSWER_MS = 15_000  # the answer is there, also on a busy machine


def peak(visit: Visit) -> float:
    """How loud a short answer was."""
    visit.page.evaluate("window.heard = {}")
    count = visit.bubbles("bot").count()
    visit.ask("short")
    visit.answered(count + 1)
    return visit.wait_for_silence().peak


def test_loudness_and_mute_hold_for_every_answer(
    fake_server: Server, visitors: Callable[..., Visit]
) -> None:
    visit = visitors(fake_server)
    loud = peak(visit)
    slider = visit.part("voice").get_by_role("slider", name="Volume")
    expect(slider).to_have_value("1")
    slider.fill(str(QUIET))
    assert peak(visit) == pytest.approx(QUIET * loud, rel=0.2)
    visit.go("image")
    slider = visit.part("voice").get_by_role("slider", name="Volume")
    expect(slider).to_have_value(str(QUIET))
    assert peak(visit) == pytest.approx(QUIET * loud, rel=0.2)
    visit.page.reload()
    expect(visit.page.locator("#audio-send")).to_be_enabled(timeout=60_000)
    visit.go("image")
    expect(slider).to_have_value(str(QUIET))
    visit.page.keyboard.press("Alt+m")
    mute = visit.part("voice").get_by_role("button", name="Mute or unmute")
    expect(mute).to_have_attribute("aria-pressed", "true")
    expect(slider).to_have_value("0")
    expect(visit.bubbles("bot")).to_have_count(1)  # the conversation is there again
    visit.page.evaluate("window.heard = {}")
    visit.ask("short")
    visit.answered(2)
    visit.page.wait_for_timeout(1500)
    heard = visit.heard()
    assert heard is None or heard.peak < 0.005
    mute.click()
    expect(slider).to_have_value(str(QUIET))
    assert peak(visit) == pytest.approx(QUIET * loud, rel=0.2)
    visit.nothing_wrong()


def test_a_blocked_start_is_explained(fake_server: Server, playwright: Playwright) -> None:
    # Every start of sound needs a gesture of a person, as in Safari.
    strict = [*SWITCHES, "--autoplay-policy=user-gesture-required"]
    browser = playwright.chromium.launch(executable_path=chromium(), args=strict)
    try:
        context = browser.new_context(locale="en-US")
        context.add_init_script("delete window.AudioContext")  # what is left is Gradio's player
        page = context.new_page()
        page.goto(fake_server.address)
        send, note = page.locator("#audio-send"), page.locator("#audio-blocked")
        expect(send).to_be_enabled(timeout=60_000)
        expect(note).to_be_hidden()
        page.locator("#audio-text textarea").fill("short")
        # Whatever Playwright does in a page counts as a gesture, for 5 s: it leaves the page alone.
        send.evaluate(f"button => void setTimeout(() => button.click(), {GESTURE_MS})")
        page.wait_for_timeout(GESTURE_MS + ANSWER_MS)
        expect(note).to_be_visible()
        expect(note).to_contain_text("Press play")
        player = page.locator("#audio-player audio")
        assert player.evaluate("audio => audio.paused")
        player.click(position={"x": 22, "y": 25})  # its play button
        expect(note).to_be_hidden()
        page.wait_for_function("document.querySelector('#audio-player audio').currentTime > 0.1")
    finally:
        browser.close()
