"""The page in browsers that are not Chromium: the same way through it in each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.other_browsers import Browser, launch, until
from tests.browser.server import Server

NAMES = ("firefox", "webkit")
TEXT = "#audio-text textarea"
ANSWER = "[...document.querySelectorAll('#{tab}-chat .bot')].map((one) => one.innerText).join(' ')"
WATCH_SOUND = """
  window.hasSounded = false;
  const look = () => { window.hasSounded ||= document.body.dataset.sounding === "true"; };
  new MutationObserver(look).observe(document.body, { attributes: true });
"""


@pytest.fixture(params=NAMES)
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    found = launch(request.param)
    if found is None:
        pytest.skip(f"no {request.param} that can be driven on this machine (see .ci/run)")
    yield found
    found.close()


def in_sight(browser: Browser, selector: str) -> bool:
    """Whether an element is wholly in the window."""
    box = f"document.querySelector('{selector}').getBoundingClientRect()"
    inside = "box.top >= 0 && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth"
    return bool(browser.run(f"const box = {box}; return box.height > 0 && {inside};"))


def test_a_question_a_picture_and_talking(browser: Browser, real_server: Server) -> None:
    browser.open(real_server.address)
    until(browser, f"document.querySelector('{TEXT}')")
    browser.run(WATCH_SOUND)
    browser.type(TEXT, "What is two plus three?")
    browser.click("#audio-send")
    until(browser, f"{ANSWER.format(tab='audio')}.includes('five')")
    until(browser, "window.hasSounded")
    until(browser, "!document.querySelector('#audio-send').disabled")
    until(browser, "document.body.dataset.sounding !== 'true'")  # till then Stop is in its place
    assert in_sight(browser, TEXT)
    assert in_sight(browser, "#audio-send")

    browser.click("#audio-live-start")  # with a microphone that the browser pretends
    until(browser, "['listening', 'hearing'].includes(omniLiveStage.state())")
    browser.click('.talk-icon[data-act="end"]')
    until(browser, "omniLiveStage.state() === 'off'")

    assert browser.errors() == []
