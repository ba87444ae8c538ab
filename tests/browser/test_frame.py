"""The page's frame: what is in sight at every size, the composer's tray, what is remembered."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.server import Server
from tests.browser.test_conversations import again
from tests.browser.visit import HELD, OPEN, Visit

Come = Callable[..., Visit]
TABS = ("audio", "video", "image")
SIZES = [(1366, 650), (1920, 1080), (390, 844), (360, 740)]
MOST_SHIFT = 0.1  # layout shift while loading, as browsers count it
MOST_BYTES = 160_000  # of the document as it travels
MOST_S = 30.0  # until the page can be used, on two cores that do other work too
SHIFT = """window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({type: 'layout-shift', buffered: true});"""
# Pixels of the chat below what is in sight.
BELOW = """() => {
  const frame = document.querySelector('#image-chat .bubble-wrap');
  return Math.round(frame.scrollHeight - frame.scrollTop - frame.clientHeight);
}"""
# A file that is dropped on, or pasted into, an element.
BRING = """([selector, name, type, data, how]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const carrier = new DataTransfer();
  carrier.items.add(new File([bytes], name, {type}));
  const options = {bubbles: true, cancelable: true, composed: true};
  const event = how === 'drop' ? new DragEvent('drop', {...options, dataTransfer: carrier})
    : new ClipboardEvent('paste', {...options, clipboardData: carrier});
  document.querySelector(selector).dispatchEvent(event);
}"""
# What can be read or is read aloud and has words in Latin letters.
LATIN = """() => {
  const found = new Set();
  const add = (text) => /[A-Za-z]{3,}/.test(text ?? '') && found.add(text.trim());
  for (const e of document.querySelectorAll('body *')) {
    if (['SCRIPT', 'STYLE', 'OPTION'].includes(e.tagName)) continue;
    if (!e.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
    if (e.closest('kbd, strong')) continue;
    for (const name of ['aria-label', 'title', 'placeholder', 'alt']) add(e.getAttribute(name));
    for (const child of e.childNodes) if (child.nodeType === 3) add(child.nodeValue);
  }
  return [...found];
}"""
# Names, units and words that Chinese uses as they are.
NAMES = re.compile(
    r"Baichuan-Omni-1\.5|Omni|nano|token|Top [kp]|GPU|CPU|API|float32|cpu|auto|MB|zip|HTML|echo"
)


def bring(visit: Visit, part: str, file: Path, how: str) -> None:
    """Drop or paste a file."""
    kind = {".png": "image/png", ".wav": "audio/wav", ".mp4": "video/mp4"}[file.suffix]
    data = base64.b64encode(file.read_bytes()).decode()
    visit.page.evaluate(BRING, [f"#{visit.tab}-{part}", file.name, kind, data, how])


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_composer_and_last_answer_are_in_sight(
    fake_server: Server, visitors: Come, size: tuple[int, int]
) -> None:
    width, height = size
    viewport = {"width": width, "height": height}
    visit = visitors(fake_server, "image", viewport=viewport, has_touch=width < 500)
    for part in ("text", "send", "welcome", "card-shapes"):
        expect(visit.part(part)).to_be_in_viewport(ratio=0.9 if part != "welcome" else 0.2)
    for number in range(1, 4):
        visit.ask("echo " + "a line that is long enough to be broken on a phone " * 4)
        visit.answered(number)
    expect(visit.bubbles("bot").last).to_be_in_viewport()
    expect(visit.part("text")).to_be_in_viewport(ratio=1)
    expect(visit.part("welcome")).to_be_hidden()
    page = visit.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert page[0] <= width
    assert page[1] <= height + 1  # only the chat scrolls
    box = visit.part("composer").bounding_box()
    assert box
    assert abs(box["x"] + box["width"] / 2 - width / 2) < 0.15 * width  # it stands in the middle
    visit.nothing_wrong()


def test_the_end_of_a_chat_stays_in_sight_until_one_scrolls_up(
    fake_server: Server, visitors: Come, media: Path
) -> None:
    visit = visitors(fake_server, "image", viewport={"width": 1366, "height": 650})

    def below() -> int:
        visit.page.wait_for_timeout(800)
        return visit.page.evaluate(BELOW)

    visit.give("pictures", media / "one.png")
    visit.ask("hello")
    visit.answered(1)
    visit.give("pictures", media / "text.png")
    visit.ask("And this?")  # which is no picture
    visit.answered(2)
    assert below() == 0
    visit.ask("slow long")
    visit.wait_for_sound()
    visit.part("chat").hover()
    visit.page.mouse.wheel(0, -300)
    assert below() >= 200
    visit.part("stop").click()
    visit.finish()
    assert below() >= 200  # also where the answer has grown
    visit.ask("hello")
    visit.answered(4)
    assert below() == 0
    visit.nothing_wrong()


def test_send_ends_a_recording_and_sends_it(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server, permissions=["microphone"])
    for number, enter in enumerate((False, True), start=1):
        visit.part("record").click()
        stop = visit.part("recording").locator(".stop-button")
        expect(stop).to_be_visible()
        visit.page.wait_for_timeout(1200)
        if enter:
            visit.part("text").locator("textarea").press("Enter")
        else:
            visit.part("send").click()
        visit.answered(number)
        heard = visit.bubbles("user").last.locator(".minimal-audio-player")
        expect(heard.first).to_be_attached()
        expect(visit.part("tray")).to_be_hidden()
    visit.nothing_wrong()


def test_files_go_where_they_belong(fake_server: Server, visitors: Come, media: Path) -> None:
    visit = visitors(fake_server, "image")
    bring(visit, "chat", media / "one.png", "drop")
    expect(visit.part("pictures").locator(".thumbnail-item")).to_have_count(1)
    bring(visit, "text", media / "one.png", "paste")
    expect(visit.part("pictures").locator(".thumbnail-item")).to_have_count(2)
    bring(visit, "composer", media / "question.wav", "drop")
    expect(visit.part("question").locator(HELD)).not_to_have_count(0)
    visit.part("question").locator(".close-notice").click()
    expect(visit.part("question")).to_be_hidden()
    bring(visit, "chat", media / "clip.mp4", "drop")
    told = visit.part("composer").get_by_role("alert")
    expect(told).to_contain_text("they go to the Video tab")
    told.get_by_role("button", name="Take it there").click()
    visit.tab = "video"
    expect(visit.part("clip").locator(HELD)).not_to_have_count(0)
    expect(visit.part("clip-sound")).to_be_visible()
    visit.ask("hello")
    visit.answered(1)
    expect(visit.part("tray")).to_be_hidden()
    visit.nothing_wrong()


def test_a_file_that_does_not_arrive_is_told(
    fake_server: Server, visitors: Come, media: Path
) -> None:
    visit = visitors(fake_server, "image")
    visit.page.route(
        re.compile(r"/upload(\?|$)"), lambda route: route.fulfill(status=500, body="full")
    )
    bring(visit, "chat", media / "one.png", "drop")
    told = visit.part("composer").get_by_role("alert")
    expect(told).to_contain_text("did not reach the server")
    visit.ask("hello")  # nothing waits for it any more
    visit.answered(1)


def test_a_wrong_file_is_answered_in_the_persons_language(
    fake_server: Server, visitors: Come, media: Path
) -> None:
    visit = visitors(fake_server, locale="zh-CN")
    panel = visit.settings()
    panel.locator("#voice-recording > button.label-wrap").click()
    panel.locator("#voice-prompt input[type=file]").set_input_files(str(media / "one.png"))
    expect(panel.get_by_role("alert")).to_contain_text("这里不能用这种文件")
    visit.nothing_wrong()


def test_what_was_chosen_is_remembered(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server)
    page = visit.page
    expect(page.locator("#settings")).not_to_have_class(OPEN)
    visit.settings().locator("#voice-style > button.label-wrap").click()
    expect(page.locator("#voice-speed")).to_be_visible()
    visit.part("speak").locator("label").click()
    visit.go("video")
    expect(visit.part("speak").locator("input")).not_to_be_checked()  # one choice for all tabs
    page.locator("#model-banner .close-notice").click()
    expect(page.locator("#model-banner")).to_be_hidden()
    again(visit)
    expect(visit.part("text")).to_be_visible()
    expect(page.locator("#settings")).to_have_class(OPEN)
    expect(page.locator("#voice-speed")).to_be_visible()
    expect(visit.part("speak").locator("input")).not_to_be_checked()
    expect(page.locator("#model-banner")).to_be_hidden()
    page.set_viewport_size({"width": 390, "height": 844})
    again(visit)  # a small window has a memory of its own
    expect(visit.part("text")).to_be_visible()
    page.wait_for_timeout(500)
    expect(page.locator("#settings")).not_to_have_class(OPEN)
    visit.nothing_wrong()


def test_nothing_moves_while_the_page_loads(fake_server: Server, visitors: Come) -> None:
    for width, height in SIZES[:3]:
        viewport = {"width": width, "height": height}
        visit = visitors(fake_server, script=SHIFT, viewport=viewport)
        visit.page.wait_for_timeout(1500)
        assert visit.page.evaluate("window.shift") < MOST_SHIFT, (width, height)
        used = visit.page.evaluate("performance.now() / 1000")
        assert used < MOST_S
    document = visit.page.request.get(visit.address).body()
    assert len(gzip.compress(document)) < MOST_BYTES


def test_a_chinese_page_has_no_english_labels(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server, locale="zh-CN", permissions=["microphone", "camera"])
    seen = set(visit.page.evaluate(LATIN))

    def look() -> None:
        visit.page.wait_for_timeout(700)
        seen.update(visit.page.evaluate(LATIN))

    visit.part("record").click()
    look()
    visit.part("record").click()
    expect(visit.part("recording").locator(HELD)).not_to_have_count(0)
    look()
    visit.ask("echo 你好")
    visit.answered(1)
    look()
    for tab in TABS[1:]:
        visit.go(tab)
        visit.part("camera").click()
        look()
        visit.menu()
        look()
    visit.settings()
    look()
    unknown = {text for text in seen if re.search(r"[A-Za-z]{3,}", NAMES.sub("", text))}
    assert unknown == set()
