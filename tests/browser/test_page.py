"""The page itself, with an engine whose answers are known: playback, stop, privacy, languages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from omni.events import SPEECH_RATE
from tests.browser.server import Server
from tests.browser.visit import Visit
from tests.support.fake_engine import CHUNK_S

CODEC_S = 0.15  # what an encoder adds at both ends
HOP = SPEECH_RATE // 100


def levels(samples: np.ndarray) -> np.ndarray:
    """The loudness of each hundredth of a second, without the codec's ends."""
    hops = samples[: samples.size // HOP * HOP].reshape(-1, HOP)
    loudness = np.sqrt(np.mean(hops**2, axis=1))
    loud = np.flatnonzero(loudness > 0.1)
    return loudness[loud[0] + 1 : loud[-1]]


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something that the server does by itself."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_an_answer_in_one_chunk_plays(fake_server: Server, visitors: Callable[..., Visit]) -> None:
    visit = visitors(fake_server)
    visit.ask("short")
    heard = visit.wait_for_silence()
    assert heard.peak > 0.1
    assert heard.clock[-1] >= CHUNK_S  # it played to its end
    assert visit.voice().size / SPEECH_RATE == pytest.approx(CHUNK_S)
    visit.nothing_wrong()


def test_sound_starts_while_the_answer_is_made_and_has_no_hole(
    fake_server: Server, visitors: Callable[..., Visit]
) -> None:
    visit = visitors(fake_server)
    visit.ask("slow long")
    visit.wait_for_sound()
    assert visit.part("stop").is_enabled()  # the answer is not ready by far
    visit.page.wait_for_function("window.heard['audio-player'].clock.at(-1) > 2")
    visit.part("stop").click()
    visit.finish()
    samples = visit.voice()
    assert samples.size / SPEECH_RATE > 2
    assert levels(samples).min() > 0.15  # a tone of 0.17 from the first chunk to the last
    visit.nothing_wrong()


# A browser whose audio never begins.
REFUSING = "Object.defineProperty(BaseAudioContext.prototype, 'state', {get: () => 'suspended'});"


@pytest.mark.parametrize("reason", ["no audio context", "no stream"])
def test_gradios_player_speaks_where_ours_cannot(
    fake_server: Server, visitors: Callable[..., Visit], reason: str
) -> None:
    streams = reason != "no stream"
    visit = visitors(fake_server, script=REFUSING if streams else "")
    if not streams:  # a proxy that lets nothing through before the response is whole
        visit.page.route("**/voice", lambda route: None)
    visit.ask("slow long")
    visit.wait_for_sound()
    visit.page.wait_for_function("window.heard['audio-player'].clock.at(-1) > 2")
    assert not visit.page.evaluate("window.pieces.length")
    visit.finish()
    samples = visit.gradio_stream()
    assert samples.size / SPEECH_RATE > 2
    assert levels(samples).min() > 0.15
    visit.nothing_wrong()


def test_a_voice_is_paused_and_goes_on(fake_server: Server, visitors: Callable[..., Visit]) -> None:
    visit = visitors(fake_server)
    visit.ask("slow long")
    visit.wait_for_sound()
    visit.part("voice").get_by_role("button", name="Pause").click()
    expect(visit.part("voice")).to_have_attribute("data-state", "paused")
    visit.page.wait_for_timeout(500)
    quiet_since = visit.page.evaluate("window.heard['audio-player'].last")
    visit.page.wait_for_timeout(500)
    assert visit.page.evaluate("window.heard['audio-player'].last") == quiet_since
    visit.part("voice").get_by_role("button", name="Resume").click()
    visit.page.wait_for_function(f"window.heard['audio-player'].last > {quiet_since + 500}")
    visit.finish()
    visit.wait_for_silence()
    assert levels(visit.voice()).min() > 0.15  # nothing was lost
    expect(visit.part("voice").get_by_role("button", name="Pause")).to_be_hidden()
    visit.nothing_wrong()


def test_stop_silences_at_once_and_ends_generation(
    fake_server: Server, visitors: Callable[..., Visit]
) -> None:
    visit = visitors(fake_server)
    visit.ask("slow long")
    visit.wait_for_sound()
    visit.part("stop").click()
    visit.finish()
    expect(visit.part("chat")).to_contain_text("You stopped this answer")
    visit.page.wait_for_timeout(2000)
    assert visit.sounded_after_stop() < 0.3
    assert "word59" not in visit.text()
    visit.ask("short")  # and the next answer is heard again
    visit.answered(2)
    visit.page.wait_for_function("window.heard['audio-player'].last > window.stopped + 2000")
    visit.nothing_wrong()


def test_stop_before_the_first_sound(fake_server: Server, visitors: Callable[..., Visit]) -> None:
    visit = visitors(fake_server)
    visit.ask("ponder long")
    visit.part("stop").click()
    visit.finish()
    visit.page.wait_for_timeout(2500)
    assert visit.heard() is None or visit.heard().peak < 0.01  # type: ignore[union-attr]
    visit.nothing_wrong()


def test_clear_stops_empties_and_removes(
    fake_server: Server, visitors: Callable[..., Visit], media: Path, session_root: Path
) -> None:
    visit = visitors(fake_server)
    visit.give("recording", media / "question.wav")
    visit.ask("hello")
    visit.answered(1)
    assert len(list(session_root.glob("sessions/*/*/question.wav"))) == 1
    visit.ask("slow long")
    visit.wait_for_sound()
    visit.part("clear").click()
    expect(visit.bubbles("bot")).to_have_count(0)
    visit.finish()
    visit.wait_for_silence()
    assert visit.bubbles("user").count() == 0
    until(lambda: not list(session_root.glob("sessions/*/*/question.wav")))
    visit.ask("hello")
    visit.answered(1)
    visit.nothing_wrong()


def test_two_browsers_never_see_each_other(
    fake_server: Server, visitors: Callable[..., Visit], media: Path
) -> None:
    one, two = visitors(fake_server), visitors(fake_server)
    one.give("recording", media / "question.wav")
    two.give("recording", media / "question.wav")  # the same file: still two copies
    one.ask("echo secret of the first")
    one.answered(1)
    assert two.bubbles("user").count() == two.bubbles("bot").count() == 0
    two.ask("echo riddle of the second")
    two.answered(1)
    assert "secret" not in two.text()
    assert "riddle" not in one.text()
    mine, hers = (set(sources(visit)) for visit in (one, two))
    assert mine
    assert hers
    assert not mine & hers
    one.part("clear").click()
    expect(one.bubbles("bot")).to_have_count(0)
    for source in hers:  # one session's Clear leaves the other's files alone
        assert two.page.request.get(source).ok
    for source in mine:
        until(lambda source=source: one.page.request.get(source).status == 403)
    one.nothing_wrong()
    two.nothing_wrong()


def sources(visit: Visit) -> list[str]:
    """Where the files of the chat's bubbles come from."""
    return visit.part("chat").locator("a[download]").evaluate_all("links => links.map(a => a.href)")


def test_a_closed_page_leaves_nothing_behind(
    fake_server: Server, visitors: Callable[..., Visit], media: Path, session_root: Path
) -> None:
    others = set(session_root.rglob("one.png"))  # of pages that were closed a moment ago
    visit = visitors(fake_server, "image")
    visit.give("pictures", media / "one.png")
    visit.ask("hello")
    visit.answered(1)
    visit.ask("slow long")
    visit.wait_for_sound()
    own = set(session_root.rglob("one.png")) - others
    assert own
    visit.page.context.close()
    until(lambda: not any(file.exists() for file in own))
    next_visit = visitors(fake_server)  # and the engine is free again
    next_visit.ask("short")
    next_visit.answered(1)


def test_a_second_question_waits_its_turn(
    fake_server: Server, visitors: Callable[..., Visit]
) -> None:
    one, two = visitors(fake_server), visitors(fake_server, "video")
    one.ask("slow long")
    one.wait_for_sound()
    two.ask("hello")
    expect(two.part("status")).to_contain_text("ahead of you")
    one.part("stop").click()
    two.answered(1)
    two.nothing_wrong()


def test_errors_are_told_and_the_page_goes_on(
    fake_server: Server, visitors: Callable[..., Visit]
) -> None:
    visit = visitors(fake_server, "image")
    visit.ask("broken picture")
    visit.answered(1)
    expect(visit.bubbles("bot").last).to_contain_text("This picture cannot be read")
    visit.ask("crash")
    visit.answered(2)
    expect(visit.bubbles("bot").last).to_contain_text("Something went wrong inside the program")
    assert "the fake engine crashes" in fake_server.says()
    assert "the fake engine crashes" not in visit.text()
    visit.ask("hello")
    visit.answered(3)
    expect(visit.bubbles("bot").last).to_contain_text("word7")
    visit.nothing_wrong()


def test_what_is_typed_stays_text(fake_server: Server, visitors: Callable[..., Visit]) -> None:
    visit = visitors(fake_server)
    attack = "<img src=http://example.org/a.png> ![x](http://example.org/b.png) <b>bold</b> *a*"
    visit.ask(f"echo {attack}")
    visit.answered(1)
    expect(visit.bubbles("user").first).to_contain_text(attack)
    assert visit.part("chat").locator("img[src*='example.org'], .message b").count() == 0
    assert visit.foreign == []


def test_enter_sends(fake_server: Server, visitors: Callable[..., Visit]) -> None:
    visit = visitors(fake_server)
    box = visit.part("text").locator("textarea")
    box.fill("first line")
    box.press("Shift+Enter")
    box.type("second line")
    box.press("Enter")
    visit.answered(1)
    expect(visit.bubbles("user").first).to_contain_text("second line")
    expect(box).to_have_value("")


@pytest.mark.parametrize(
    ("locale", "send", "said"),
    [
        ("en-US", "Send", "You stopped"),
        ("zh-CN", "发送", "你停止了"),
        ("zh-TW", "发送", "你停止了"),
    ],
)
def test_the_page_speaks_the_browsers_language(
    fake_server: Server, visitors: Callable[..., Visit], locale: str, send: str, said: str
) -> None:
    visit = visitors(fake_server, locale=locale)
    expect(visit.part("send")).to_have_text(send)
    visit.settings()
    assert "omni." not in visit.page.locator("body").inner_text()  # no key without its words
    assert "__i18n__" not in visit.page.locator("body").inner_text()
    visit.ask("slow long")
    visit.wait_for_sound()
    visit.part("stop").click()
    visit.finish()
    expect(visit.part("chat")).to_contain_text(said)
    visit.nothing_wrong()


def test_the_language_is_switched_in_the_middle(
    fake_server: Server, visitors: Callable[..., Visit]
) -> None:
    visit = visitors(fake_server)
    expect(visit.page.get_by_role("radio", name="EN")).to_be_checked()
    visit.ask("echo hello")
    visit.answered(1)
    visit.page.get_by_role("radio", name="中文").check()
    expect(visit.part("send")).to_have_text("发送")
    expect(visit.page.locator("#model-status")).to_contain_text("参数")
    expect(visit.page.locator("#voice-named")).to_contain_text("模型自带的声音")
    expect(visit.page.locator("#voice-named input")).to_have_value("邻家女声 ✓")
    expect(visit.page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(visit.bubbles("bot")).to_have_text(re.compile("hello"))  # what was said stays
    expect(visit.part("chat").get_by_role("button", name="复制文字").first).to_be_visible()
    visit.ask("broken picture")
    visit.answered(2)
    expect(visit.bubbles("bot").last).to_contain_text("a.png 已损坏")
    visit.part("clear").click()
    expect(visit.part("chat")).to_contain_text("录一段提问")
    words = visit.page.locator("body").inner_text()
    assert "omni." not in words
    assert "__i18n__" not in words
    visit.page.reload()
    expect(visit.part("send")).to_have_text("发送")
    expect(visit.page.get_by_role("radio", name="中文")).to_be_checked()
    visit.page.get_by_role("radio", name="EN").check()
    expect(visit.part("send")).to_have_text("Send")
    expect(visit.page.locator("#model-status")).to_contain_text("parameters")
    visit.nothing_wrong()


def test_a_passing_note_is_titled_in_the_language_of_the_page(
    fake_server: Server, visitors: Callable[..., Visit]
) -> None:
    visit = visitors(fake_server)
    visit.page.get_by_role("radio", name="中文").check()
    expect(visit.part("send")).to_have_text("发送")
    visit.choose("chip-read-aloud")  # of which there is nothing yet
    expect(visit.page.locator(".toast-title")).to_have_text("提示")
    visit.nothing_wrong()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone(fake_server: Server, visitors: Callable[..., Visit], scheme: str) -> None:
    visit = visitors(
        fake_server, viewport={"width": 375, "height": 812}, has_touch=True, color_scheme=scheme
    )
    for tab in ("audio", "video", "image"):
        visit.go(tab)
        width = visit.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 375
        for name in ("send", "text", "chat", "welcome"):
            expect(visit.part(name)).to_be_in_viewport()
    visit.part("card-count").click()
    visit.answered(1)
    expect(visit.bubbles("user").first).to_be_in_viewport()
    dark = visit.page.evaluate("document.body.classList.contains('dark')")
    assert dark is (scheme == "dark")
    visit.nothing_wrong()


def test_everything_that_can_be_used_has_a_name(
    fake_server: Server, visitors: Callable[..., Visit]
) -> None:
    visit = visitors(fake_server, viewport={"width": 1920, "height": 1080})
    visit.conversations()
    visit.settings()
    for tab in ("audio", "video", "image"):
        visit.go(tab)
        nameless = visit.page.evaluate(
            """() => [...document.querySelectorAll('button, input, textarea, select')]
                .filter((e) => e.checkVisibility({visibilityProperty: true}) && e.offsetParent
                    && !e.innerText?.trim() && !e.labels?.length
                    && !e.getAttribute('aria-label') && !e.title
                    && !document.getElementById(e.getAttribute('aria-labelledby'))
                        ?.textContent.trim())
                .map((e) => e.outerHTML.slice(0, 200))"""
        )
        assert nameless == []
