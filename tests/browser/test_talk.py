"""The voice mode: begun and ended quickly, by keyboard, for everybody, and what the page says.

Its microphone is Chromium's pretended one, which beeps; conversations are in test_live.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.server import Server
from tests.browser.test_accessible import SMALL
from tests.browser.visit import Visit

Come = Callable[..., Visit]
TIMES = 20
STATES = ("preparing", "listening", "hearing", "thinking", "speaking")
# A state as the server tells it, with something said.
TELL = """(state) => {
  omniLiveStage.show(state, omniWords.say(`live-${state}`));
  omniLiveCaptions.add({ answer: 1, text: 'The capital of France is Paris.', at: 0 });
}"""
FITS = """() => [...document.querySelectorAll('#talk button, #talk .talk-state')]
    .filter((e) => e.checkVisibility({ visibilityProperty: true }))
    .map((e) => [e.className, e.getBoundingClientRect()])
    .filter(([, b]) => b.left < 0 || b.top < 0 || b.right > innerWidth || b.bottom > innerHeight)
    .map(([name]) => name)"""
ON = "omniLive.sessions.audio?.connection?.socket.readyState === 1"


# What the server says is not heard any more, so that the states are those that the test tells.
DEAF = """() => {
  const { socket, pings } = omniLive.sessions.video.connection;
  clearInterval(pings);
  socket.onmessage = socket.onclose = null;
}"""
# A tenth of the sound, and nobody answers it: a busy machine keeps up with that.
THIN = """() => {
  let count = 0;
  const { prototype } = WebSocket, give = prototype.send;
  prototype.send = function (data) {
    if (typeof data === 'string' || count++ % 10 === 0) give.call(this, data);
  };
}"""


def violations(visit: Visit) -> list[str]:
    """What axe has to say about the voice mode as it is now."""
    found = Axe().run(visit.page, context="#talk").response["violations"]
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]


def begin(visit: Visit) -> None:
    """Press Talk and wait until it is on."""
    visit.page.evaluate(THIN)
    visit.part("live-start").click()
    visit.page.wait_for_function(ON, timeout=60_000)


def test_begun_and_ended_quickly_many_times(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server)
    visit.ask("short")
    visit.answered(1)
    page = visit.page
    page.evaluate(
        """() => {
          window.opened = [];
          const devices = navigator.mediaDevices, ask = devices.getUserMedia.bind(devices);
          devices.getUserMedia = async (wish) => {
            const stream = await ask(wish);
            opened.push(...stream.getTracks());
            return stream;
          };
        }"""
    )
    stage = page.locator("#talk")
    for count in range(TIMES):
        visit.part("live-start").click()
        expect(stage).to_be_visible()
        page.wait_for_timeout((0, 30, 150, 400, 1500)[count % 5])
        assert "under way" not in stage.inner_text(), "of an answer that nobody asked for"
        page.keyboard.press("Escape")
        expect(stage).to_be_hidden()
    page.wait_for_function("omniLive.resting('audio')", timeout=30_000)
    assert page.evaluate("opened.every((track) => track.readyState === 'ended')")
    visit.ask("short")  # nothing holds the tab any more
    visit.answered(2)
    begin(visit)
    assert "not finished" not in page.locator("body").inner_text()
    page.keyboard.press("Escape")
    visit.nothing_wrong()


def test_talk_goes_on_in_sight_and_a_message_waits(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server)
    page, mark = visit.page, visit.page.locator("#talk-mark")
    begin(visit)
    expect(visit.part("text").locator("textarea")).not_to_be_focused()
    page.get_by_role("button", name="Show the chat while Talk goes on").click()
    expect(page.locator("#talk")).to_be_hidden()
    expect(mark).to_have_text("Talk is on")
    assert page.title().startswith("● Talk is on")
    box = visit.part("text").locator("textarea")
    box.fill("And this?")
    box.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="End it to send")).to_be_visible()
    expect(box).to_have_value("And this?")
    assert not visit.bubbles("user").count()
    visit.go("image")
    expect(mark).to_be_visible()
    mark.click()
    expect(page.locator("#talk")).to_be_visible()
    expect(page.locator("#audio-tab-button")).to_have_attribute("aria-selected", "true")
    assert page.evaluate(ON)
    page.keyboard.press("Escape")
    expect(mark).to_have_count(0)
    assert not page.title().startswith("●")
    visit.nothing_wrong()


def test_the_keyboard_is_enough(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server)
    page, keyboard = visit.page, visit.page.keyboard
    visit.part("live-start").focus()
    keyboard.press("Enter")
    page.wait_for_function(ON, timeout=60_000)
    names: list[str] = []
    for _ in range(12):
        keyboard.press("Tab")
        inside = page.evaluate(
            "document.activeElement.closest('#talk') && document.activeElement.ariaLabel"
        )
        assert inside, "the focus has left the voice mode"
        names.append(inside)
    assert {"Mute the microphone", "Talk settings", "End"} <= set(names)
    mute = page.get_by_role("button", name="Mute the microphone")
    mute.focus()
    keyboard.press("Space")
    expect(page.locator("#talk .talk-note")).to_have_text("Muted: nothing you say is heard")
    muted = "omniLive.sessions.audio.stream.getAudioTracks().every((track) => !track.enabled)"
    assert page.evaluate(muted)
    keyboard.press("Space")
    assert not page.evaluate(muted)
    keyboard.press("Escape")
    expect(page.locator("#talk")).to_be_hidden()
    expect(visit.part("live-start")).to_be_focused()
    visit.nothing_wrong()


def test_settings_are_remembered_and_a_lost_device_is_told(
    fake_server: Server, visitors: Come
) -> None:
    visit = visitors(fake_server)
    page = visit.page
    visit.part("live-settings").click()
    sheet = page.locator(".talk-sheet")
    choices = sheet.locator("[data-device=microphone] option")
    expect(choices.nth(1)).to_be_attached(timeout=20_000)
    page.wait_for_function(  # the pretended microphone beeps
        "Number(document.querySelector('.talk-level').ariaValueNow) > 20", timeout=10_000
    )
    sheet.get_by_label("Noisy place").check()
    sheet.get_by_text("More").click()
    expect(sheet.locator("[data-field=barge_probability]")).to_have_value("0.9")
    sheet.locator("[data-field=end_s]").fill("1.5")
    expect(sheet.get_by_label("My own values")).to_be_checked()
    kept = json.loads(page.evaluate("localStorage.getItem('omni.talk')"))
    assert kept["own"] | {"end_s": 1.5, "barge_probability": 0.9} == kept["own"]
    kept["microphone"] = kept["loudspeaker"] = "gone"
    page.evaluate("value => localStorage.setItem('omni.talk', value)", json.dumps(kept))
    page.reload()
    expect(visit.part("send")).to_be_enabled(timeout=60_000)
    begin(visit)
    expect(page.locator("#talk .talk-note")).to_contain_text("not there any more")
    assert page.evaluate("omniLiveChoices.thresholds().end_s") == 1.5
    assert not json.loads(page.evaluate("localStorage.getItem('omni.talk')"))["microphone"]
    page.keyboard.press("Escape")
    visit.nothing_wrong()


@pytest.mark.parametrize(
    ("scheme", "locale", "size"),
    [
        ("light", "en-US", (1366, 650)),
        ("dark", "zh-CN", (1366, 650)),
        ("light", "zh-CN", (360, 740)),
        ("dark", "en-US", (390, 844)),
    ],
)
def test_axe_finds_nothing_in_any_state(
    fake_server: Server, visitors: Come, scheme: str, locale: str, size: tuple[int, int]
) -> None:
    shown = {"width": size[0], "height": size[1]}
    phone = {"has_touch": True, "is_mobile": True} if size[0] < 600 else {}
    visit = visitors(
        fake_server, "video", color_scheme=scheme, locale=locale, viewport=shown, **phone
    )
    page = visit.page
    visit.part("live-start").click()
    page.wait_for_function("omniLive.sessions.video?.connection?.socket.readyState === 1")
    page.evaluate(DEAF)
    colours = set()
    for state in STATES:
        page.evaluate(TELL, state)
        assert violations(visit) == [], state
        assert page.evaluate(FITS) == [], state
        colours.add(page.evaluate("getComputedStyle(omniLiveStage.root()).backgroundImage"))
    assert len(colours) == len(STATES)
    page.evaluate("omniLiveSettings.open({})")
    expect(page.locator(".talk-sheet")).to_be_visible()
    page.locator(".talk-more > summary").click()
    assert violations(visit) == []
    if phone:
        assert [one for one in page.evaluate(SMALL) if "talk" in one] == []
    page.evaluate("omniLiveSettings.close(); omniLiveStage.fail(omniWords.say('live-end-lost'))")
    assert violations(visit) == []
    assert page.evaluate(FITS) == []
    assert not re.search(r"talk-\w+|live-\w+", page.locator("#talk").inner_text()), (
        "a word is missing"
    )


def test_the_picture_stands_still_where_motion_is_not_wanted(
    fake_server: Server, visitors: Come
) -> None:
    visit = visitors(fake_server, reduced_motion="reduce")
    page = visit.page
    page.evaluate("omniLiveStage.open('audio', false, () => {})")
    look = "document.querySelector('.talk-orb').toDataURL()"
    pictures = set()
    for state in STATES:
        page.evaluate(TELL, state)
        pictures.add(page.evaluate(look))
        page.evaluate("omniLiveStage.meter(0.3)")
        page.wait_for_timeout(200)
        pictures.add(page.evaluate(look))
    assert len(pictures) == len(STATES)  # each its own, and none of them moves
