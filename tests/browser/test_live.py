"""Live in a real browser whose microphone hears a scripted conversation."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from playwright.sync_api import Browser, Locator, Playwright, expect

from benchmarks.speed.conversations import RATE, say, silence
from omni.media.wav import write_wav
from tests.browser.conftest import write_y4m
from tests.browser.proxy import Hosts, Proxy
from tests.browser.server import SWITCHES, Server, chromium
from tests.browser.visit import Visit

MICROPHONE_RATE = 48_000  # of the fake device's file
ANSWER_S = 3.2  # of the fake engine
LATEST_SILENCE_MS = 300  # from the first sound of who interrupts to silence
SCRIPT_S = 26
# What leaves the page, looked at behind the player every few milliseconds.
WATCH_OUTPUT = """
() => {
  const {player: {context, node}} = omniLive.sessions.audio;
  const analyser = context.createAnalyser();
  analyser.fftSize = 256;  // 11 ms
  node.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  window.output = [];  // when it was not silent
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    if (samples.some((sample) => Math.abs(sample) > 0.002)) output.push(performance.now());
  }, 4);
}
"""

pytestmark = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")


def write_script(path: Path) -> Path:
    """Three turns: one with a pause inside, one amid knocks, one into the second's answer."""
    knock = (np.random.default_rng(0).uniform(-0.3, 0.3, 600) * np.linspace(1, 0, 600)).astype("f4")
    knocks = np.concatenate([piece for _ in range(3) for piece in (knock, silence(0.5))])
    pieces = [
        silence(2.0),
        say("I would like to know", "en-us+m1"),
        silence(0.45),
        say("what seven plus five is", "en-us+m1"),
        silence(0.7 + ANSWER_S + 1.5),
        knocks,
        silence(0.5),
        say("How many cats are there in the picture", "en-us+m1"),
        silence(2.2),  # the answer has played for over a second
        say("No wait I meant the dogs", "en-us+m1"),
        silence(30),
    ]
    sound = soxr.resample(np.concatenate(pieces), RATE, MICROPHONE_RATE)
    write_wav(path, np.clip(sound, -1, 1), MICROPHONE_RATE)
    return path


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Switches for a microphone that hears the script from when it is opened, and a camera."""
    folder = tmp_path_factory.mktemp("script")
    return [
        f"--use-file-for-fake-audio-capture={write_script(folder / 'script.wav')}%noloop",
        f"--use-file-for-fake-video-capture={write_y4m(folder / 'camera.y4m')}",
    ]


@contextlib.contextmanager
def talking(playwright: Playwright, devices: list[str]) -> Iterator[Callable[..., Visit]]:
    """Visitors with a browser each, which ends with the test: its sound and camera cost."""
    browsers: list[Browser] = []

    def come(server: Server, tab: str = "audio", refuse: bool = False, **options: Any) -> Visit:
        switches = [s for s in SWITCHES if not (refuse and "fake-ui" in s)]
        if refuse:
            switches.append("--deny-permission-prompts")
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=switches + devices, headless=True
        )
        browsers.append(browser)
        options = {"viewport": {"width": 1280, "height": 900}, "locale": "en-US"} | options
        return Visit.begin(browser.new_context(**options), server.address, tab)

    try:
        yield come
    finally:
        for browser in browsers:
            browser.close()


@pytest.fixture(scope="module")
def warm(fake_server: Server, playwright: Playwright, devices: list[str]) -> Server:
    """The fake server after its first session, which loads the detector's libraries (seconds)."""
    with talking(playwright, devices) as come:
        warm_up(come(fake_server))
    return fake_server


@pytest.fixture
def talkers(
    warm: Server, playwright: Playwright, devices: list[str]
) -> Iterator[Callable[..., Visit]]:
    """Visitors whose microphone hears the script from when it is opened."""
    with talking(playwright, devices) as come:
        yield come


def warm_up(visit: Visit) -> None:
    """The server's first session loads the detector's libraries, which takes seconds."""
    visit.part("live-start").click()
    wait_for_end(visit, 0, 60)
    end(visit)


def stage(visit: Visit) -> Locator:
    """The voice mode."""
    return visit.page.locator("#talk")


def connected(visit: Visit, seconds: float = 20) -> None:
    """Until Talk is on."""
    visit.page.wait_for_function(
        "tab => omniLive.sessions[tab]?.connection?.socket.readyState === 1",
        arg=visit.tab,
        timeout=seconds * 1000,
    )


def end(visit: Visit) -> None:
    """Press End, and see the page as it was."""
    stage(visit).get_by_role("button", name=re.compile("^(End|结束)$")).click()
    expect(stage(visit)).to_be_hidden()
    expect(visit.page.locator("#talk-mark")).to_have_count(0)
    assert visit.page.evaluate("Object.keys(omniLive.sessions).length") == 0


def events(visit: Visit, kind: str) -> list[dict[str, Any]]:
    """What the page noted of one type."""
    found = visit.page.evaluate("omniLive.log")
    return [event for event in found if event["type"] == kind]


def states(visit: Visit) -> list[str]:
    return [str(event["state"]) for event in events(visit, "state")]


def wait_for_end(visit: Visit, answers: int, seconds: float) -> None:
    """Until so many answers were heard whole or cut, and Live listens again."""
    expect(visit.bubbles("bot")).to_have_count(answers, timeout=seconds * 1000)
    visit.page.wait_for_function(
        "document.querySelector('#talk').dataset.state === 'listening'",
        timeout=seconds * 1000,
    )


def silence_after(visit: Visit, begun: float) -> float:
    """Milliseconds from ``begun`` to the end of the sound that left the page then."""
    output = visit.page.evaluate("output")
    later = [at for at in output if at >= begun]
    assert later, "nothing was playing"
    last = later[0]
    for at in later:
        if at - last > 100:
            break
        last = at
    return last - begun


def test_three_turns_hands_free(talkers: Callable[..., Visit], fake_server: Server) -> None:
    visit = talkers(fake_server)
    visit.part("live-start").click()
    connected(visit)
    visit.page.evaluate(WATCH_OUTPUT)
    visit.page.wait_for_timeout(SCRIPT_S * 1000)
    wait_for_end(visit, 3, 20)
    assert visit.bubbles("user").count() == 3
    assert visit.bubbles("user").locator("audio").count() == 3
    # Each answer began to sound, and just the one that was spoken into was stopped.
    assert len(events(visit, "began")) == 3
    flushed = events(visit, "flushed")
    assert len(flushed) == 1
    assert flushed[0]["samples"] > 0.5 * 24_000
    assert "You interrupted here." in visit.bubbles("bot").nth(1).inner_text()
    assert "interrupted" not in visit.bubbles("bot").nth(2).inner_text()
    begun = [e["at"] for e in events(visit, "loud") if e["at"] < flushed[0]["at"]][-1]
    silent = silence_after(visit, begun)
    print(f"silent {silent:.0f} ms after a voice into the answer")
    assert silent <= LATEST_SILENCE_MS
    for sound in events(visit, "began"):
        ended = [e["at"] for e in events(visit, "quiet") if e["at"] < sound["at"]][-1]
        print(f"first sound {sound['at'] - ended:.0f} ms after the end of a turn")
    assert {"listening", "hearing", "speaking"} <= set(states(visit))
    end(visit)
    expect(visit.part("send")).to_be_enabled()
    assert visit.page.evaluate("Object.keys(omniLive.sessions).length") == 0
    assert not visit.complaints
    assert not visit.foreign


def test_loudness_holds_for_live_too(talkers: Callable[..., Visit], fake_server: Server) -> None:
    visit = talkers(fake_server)
    gain = visit.page.evaluate_handle(
        """() => {
          const made = {}, connect = AudioWorkletNode.prototype.connect;
          AudioWorkletNode.prototype.connect = function (target, ...rest) {
            if (target.gain) made.node = target; // beside it an analyser draws what is heard
            return connect.call(this, target, ...rest);
          };
          return made;
        }"""
    )
    visit.part("voice").locator(".volume input").fill("0.5")
    visit.part("live-start").click()
    connected(visit)
    loudness = "made => made.node.gain.value"
    assert visit.page.evaluate(loudness, gain) == pytest.approx(0.5)
    visit.page.evaluate("omniVolume.mute()")
    assert visit.page.evaluate(loudness, gain) == 0
    end(visit)


def test_what_the_camera_saw_goes_with_the_words(
    talkers: Callable[..., Visit], fake_server: Server
) -> None:
    visit = talkers(fake_server, "video", locale="zh-CN")
    visit.part("live-start").click()
    wait_for_end(visit, 1, 30)
    question = visit.bubbles("user").first
    expect(question.locator("video, img")).not_to_have_count(0)
    expect(question.locator("audio")).to_have_count(1)
    assert stage(visit).locator(".talk-state").inner_text() == "等你说话"
    end(visit)
    assert not visit.complaints


def test_a_lost_connection_is_explained(talkers: Callable[..., Visit], fake_server: Server) -> None:
    visit = talkers(fake_server)
    visit.part("live-start").click()
    connected(visit)
    visit.page.evaluate("omniLive.sessions.audio.connection.socket.close()")
    state = stage(visit).locator(".talk-state")
    expect(state).to_contain_text("connection was lost", timeout=10_000)
    stage(visit).get_by_role("button", name="Talk again").click()
    connected(visit)
    end(visit)


@pytest.mark.parametrize("hosts", ["kept", "forwarded"])
def test_behind_a_proxy_under_another_name(
    talkers: Callable[..., Visit], fake_server: Server, hosts: Hosts
) -> None:
    proxy = Proxy(fake_server, hosts)
    try:
        visit = talkers(proxy.at("omni.localhost"))
        visit.part("live-start").click()
        wait_for_end(visit, 1, 40)
        address = visit.page.evaluate("omniLive.sessions.audio.connection.socket.url")
        assert address == f"ws://omni.localhost:{proxy.port}/live"
        end(visit)
        assert not visit.foreign
    finally:
        proxy.close()


@pytest.mark.parametrize(
    ("locale", "sentence"), [("en-US", "may not pass WebSockets"), ("zh-CN", "不支持 WebSocket")]
)
def test_a_proxy_without_websockets(
    talkers: Callable[..., Visit], fake_server: Server, locale: str, sentence: str
) -> None:
    proxy = Proxy(fake_server, sockets=False)
    try:
        visit = talkers(proxy.at("127.0.0.1"), locale=locale)
        visit.part("live-start").click()
        state = stage(visit).locator(".talk-state")
        expect(state).to_contain_text(sentence, timeout=20_000)
        assert visit.page.evaluate("Object.keys(omniLive.sessions).length") == 0
    finally:
        proxy.close()


@pytest.mark.parametrize(
    ("locale", "sentence"), [("en-US", "connection was lost"), ("zh-CN", "连接断开")]
)
def test_a_network_that_falls_silent(
    talkers: Callable[..., Visit], fake_server: Server, locale: str, sentence: str
) -> None:
    proxy = Proxy(fake_server)
    try:
        visit = talkers(proxy.at("127.0.0.1"), locale=locale)
        visit.part("live-start").click()
        connected(visit)
        proxy.silence()
        state = stage(visit).locator(".talk-state")
        expect(state).to_contain_text(sentence, timeout=20_000)
        assert visit.page.evaluate("Object.keys(omniLive.sessions).length") == 0
        proxy.resume()  # the server, too, has given up meanwhile: its event ends
        visit.page.wait_for_function("omniLive.resting('audio')", timeout=30_000)
    finally:
        proxy.close()


TAKE_AWAY = "omniLive.sessions.audio.stream.getAudioTracks()[0].dispatchEvent(new Event('ended'))"


def test_a_microphone_that_is_taken_away(
    talkers: Callable[..., Visit], fake_server: Server
) -> None:
    visit = talkers(fake_server)
    visit.part("live-start").click()
    connected(visit)
    first = "omniLive.sessions.audio.stream.getAudioTracks()[0].id"
    before = visit.page.evaluate(first)
    visit.page.evaluate(TAKE_AWAY)  # there is another one
    visit.page.wait_for_function(f"id => {first} !== id", arg=before)
    visit.page.evaluate(
        """() => {
          const none = () => Promise.reject(new DOMException('', 'NotFoundError'));
          navigator.mediaDevices.getUserMedia = none;
        }"""
    )
    visit.page.evaluate(TAKE_AWAY)  # there is none
    expect(stage(visit).locator(".talk-state")).to_contain_text("taken away", timeout=10_000)
    expect(visit.part("status")).to_contain_text("taken away", timeout=10_000)
    stage(visit).get_by_role("button", name="Close").click()
    expect(stage(visit)).to_be_hidden()


@pytest.mark.parametrize(
    ("locale", "sentence", "known"),
    [("en-US", "under way in this tab", True), ("zh-CN", "正在回答", False)],
)
def test_start_while_a_typed_turn_runs(
    talkers: Callable[..., Visit], fake_server: Server, locale: str, sentence: str, known: bool
) -> None:
    """``known``: to the page, which then opens no microphone; else the server refuses it."""
    visit = talkers(fake_server, locale=locale)
    visit.page.evaluate(
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
    visit.part("text").locator("textarea").fill("slow long")  # 9 s
    visit.part("send").click()
    expect(visit.part("stop")).to_be_enabled(timeout=10_000)
    if not known:
        visit.page.evaluate(
            """for (const [id, off] of [['audio-send', false], ['audio-stop', true]])
              document.getElementById(id).disabled = off"""
        )
    visit.part("live-start").click()
    state = stage(visit).locator(".talk-state")
    expect(state).to_contain_text(sentence, timeout=8_000)
    visit.page.wait_for_function("opened.every((track) => track.readyState === 'ended')")
    assert visit.page.evaluate("opened.length") == (0 if known else 1)
    assert visit.page.evaluate("Object.keys(omniLive.sessions).length") == 0
    stage(visit).get_by_role("button", name=re.compile("Close|关闭")).click()
    assert not visit.text().count("You stopped"), "the turn was touched"
    visit.page.evaluate("document.getElementById('audio-stop').disabled = false")
    visit.part("stop").click()
    expect(visit.part("stop")).to_be_disabled(timeout=20_000)  # what Send shows was forced above
    expect(visit.part("send")).to_be_enabled()
    visit.part("live-start").click()
    connected(visit)
    end(visit)


def test_a_refused_microphone_is_explained(
    talkers: Callable[..., Visit], fake_server: Server
) -> None:
    visit = talkers(fake_server, refuse=True)
    visit.part("live-start").click()
    expect(stage(visit).locator(".talk-state")).to_contain_text("allow it", timeout=10_000)
    expect(visit.part("status")).to_contain_text("allow it", timeout=10_000)
    visit.page.keyboard.press("Escape")
    expect(stage(visit)).to_be_hidden()
    expect(visit.part("live-start")).to_be_focused()


def test_a_page_without_https_is_explained(
    talkers: Callable[..., Visit], fake_server: Server
) -> None:
    visit = talkers(fake_server)
    visit.page.evaluate("Object.defineProperty(window, 'isSecureContext', {value: false})")
    visit.part("live-start").click()
    expect(visit.part("status")).to_contain_text("localhost", timeout=10_000)


def test_a_closed_page_frees_the_server(
    talkers: Callable[..., Visit], fake_server: Server, session_root: Path
) -> None:
    def questions() -> set[Path]:
        return set(session_root.glob("sessions/*/*/question.wav"))

    others = questions()
    visit = talkers(fake_server)
    visit.part("live-start").click()
    wait_for_end(visit, 1, 30)
    assert questions() - others
    visit.page.close()
    deadline = time.monotonic() + 20
    while questions() - others and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not questions() - others
