"""What sounds on the page: one thing at a time, and Stop and Esc end it, whoever plays it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.server import Server
from tests.browser.visit import Visit

Come = Callable[..., Visit]
# Players that sound now, in the page and in the shadow trees of the bubbles.
SOUNDING = """() => [...document.querySelectorAll('*')].flatMap(
    (e) => [e, ...(e.shadowRoot?.querySelectorAll('audio') ?? [])])
    .filter((e) => e.tagName === 'AUDIO' && !e.paused).length"""


@pytest.mark.parametrize("by", ["Stop", "Escape"])
def test_a_voice_whose_answer_is_ready_can_be_ended(
    fake_server: Server, visitors: Come, by: str
) -> None:
    visit = visitors(fake_server)
    visit.ask("long")  # 24 s of sound, made at once
    visit.wait_for_sound()
    visit.finish()
    hush = visit.part("hush")
    expect(hush).to_be_visible()
    expect(visit.part("stop")).to_be_hidden()
    if by == "Stop":
        hush.click()
    else:
        visit.page.keyboard.press("Escape")
    ended = visit.page.evaluate("performance.now()")
    expect(hush).to_be_hidden()
    expect(visit.part("send")).to_be_visible()
    visit.page.wait_for_timeout(1500)
    assert visit.page.evaluate("window.heard['audio-player'].last") < ended + 300
    visit.nothing_wrong()


def test_a_replay_ends_with_escape_and_for_another_sound(
    fake_server: Server, visitors: Come
) -> None:
    visit = visitors(fake_server)
    visit.ask("long")
    visit.wait_for_sound()
    visit.finish()
    visit.play_answer()  # while the voice still speaks
    assert visit.page.evaluate(SOUNDING) == 1
    expect(visit.part("voice")).to_have_attribute("data-state", "off")
    expect(visit.part("hush")).to_be_visible()
    visit.page.keyboard.press("Escape")
    visit.page.wait_for_function(f"({SOUNDING})() === 0")
    expect(visit.part("hush")).to_be_hidden()
    visit.play_answer()
    visit.ask("slow")  # a new answer speaks: the replay ends
    visit.page.wait_for_function("document.querySelector('#audio-voice').dataset.state=='playing'")
    assert visit.page.evaluate(SOUNDING) == 0
    visit.answered(2)
    visit.nothing_wrong()
