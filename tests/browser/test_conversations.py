"""Conversations that are kept, in a real browser: they come back, and none is mixed up."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.server import Server, end, free_port, start
from tests.browser.test_accessible import violations
from tests.browser.visit import Visit, until

Come = Callable[..., Visit]
HOSTILE = "echo <script>window.hurt=1</script><img src=x onerror=window.hurt=1> \"'&amp; 你好"
LONG_MS = 4000  # the fake server's sessions end sooner
# A page that was there before, in another window: what it remembers is copied with it.
REMEMBERED = "sessionStorage.getItem('omni.visit')"
REFUSED = """Object.defineProperty(window, 'indexedDB', {
  value: {open() { throw new DOMException('refused', 'SecurityError'); }}});"""
NEVER_FETCHED = """(() => {
  const fetched = window.fetch;
  window.fetch = (...asked) =>
    String(asked[0]).includes('/file=') ? new Promise(() => {}) : fetched(...asked);
})()"""
PLAYS = """async () => {
  const media = [...document.querySelectorAll('audio')];
  for (const one of media) { one.muted = true; await one.play(); }
  return media.every((one) => one.duration > 0);
}"""


def titles(visit: Visit) -> list[str]:
    return visit.page.locator(".conversation-title").all_inner_texts()


def kept(visit: Visit, count: int) -> None:
    """Wait until the browser keeps so many conversations."""
    until(visit.page, "omniStore.all().then((all) => all.length)", count)


def kept_messages(page: Page, count: int) -> None:
    """Wait until the newest conversation that is kept has so many messages."""
    until(
        page,
        """omniStore.all().then((all) => {
          const [newest] = all.sort((one, other) => other.saved - one.saved);
          return newest ? JSON.parse(newest.messages).length : 0;
        })""",
        count,
    )


def hand(visit: Visit, file: Path) -> None:
    """Attach a file."""
    page = visit.page
    with page.expect_response(re.compile("/upload")), page.expect_file_chooser() as chooser:
        visit.part("attach").click()
        chooser.value.set_files(file)
    given = visit.part("tray").locator(".thumbnail-item, .preview, audio, .waveform-container")
    expect(given.first).to_be_attached()
    page.wait_for_timeout(500)


def again(visit: Visit, away_ms: int = 0) -> None:
    """Load the page again, after some time elsewhere."""
    before = len(visit.complaints)
    if away_ms:
        visit.page.goto("about:blank")
        visit.page.wait_for_timeout(away_ms)
        visit.page.goto(visit.address)
    else:
        visit.page.reload()
    expect(visit.part("send")).to_be_enabled(timeout=60_000)
    del visit.complaints[before:]  # Gradio's, about what it was asking for when the page went


def test_a_page_that_is_loaded_again_has_everything(
    visitors: Come, fake_server: Server, media: Path
) -> None:
    visit = visitors(fake_server, "audio")
    hand(visit, media / "question.wav")
    visit.ask("echo heard")
    visit.answered(1)
    visit.go("image")
    hand(visit, media / "one.png")
    visit.ask("echo a gradient")
    visit.answered(1)
    kept(visit, 2)
    visit.part("text").locator("textarea").fill("half a question")
    again(visit)  # by reference: the session before is still there
    for away_ms in (0, LONG_MS):  # then from the browser alone
        expect(visit.bubbles("bot")).to_have_text(re.compile("a gradient"))
        picture = visit.bubbles("user").locator("img")
        expect(picture).to_have_count(1)
        expect(picture).to_have_js_property("naturalWidth", 96)
        expect(visit.part("text").locator("textarea")).to_have_value("half a question")
        if not away_ms:
            again(visit, LONG_MS)
    visit.go("audio")
    expect(visit.bubbles("user").get_by_role("button", name=re.compile("Play"))).to_have_count(1)
    visit.play_answer()
    visit.ask("history")
    visit.answered(2)
    assert "3 messages" in visit.text()  # the model got what was said before
    kept_messages(visit.page, 4)
    kept(visit, 2)
    visit.nothing_wrong()


def test_a_page_loaded_again_before_all_is_kept(
    visitors: Come, real_server: Server, media: Path
) -> None:
    visit = visitors(real_server, "image")  # whose sessions outlive the page by a minute
    hand(visit, media / "one.png")
    visit.page.evaluate(NEVER_FETCHED)
    visit.ask("What do you see?")
    visit.answered(1)
    until(visit.page, f"Object.keys(JSON.parse({REMEMBERED} ?? '{{}}').chats ?? {{}}).length", 1)
    again(visit)
    expect(visit.bubbles("bot")).to_have_count(1)
    expect(visit.bubbles("user").locator("img")).to_have_count(1)
    kept(visit, 1)


def test_a_server_that_starts_again_gets_it_back(visitors: Come, tmp_path: Path) -> None:
    port = free_port()
    command = ["-m", "tests.browser.fake_app", str(port)]
    server = start(command, port, tmp_path / "log")
    try:
        visit = visitors(server)
        visit.ask("echo before")
        visit.answered(1)
        kept(visit, 1)
    finally:
        end(server)
    visit.complaints.clear()
    server = start(command, port, tmp_path / "log-2")
    try:
        again(visit)
        expect(visit.bubbles("bot")).to_have_text(re.compile("before"))
        visit.ask("history")
        visit.answered(2)
        assert "3 messages" in visit.text()
    finally:
        end(server)


def test_two_pages_do_not_fight(visitors: Come, fake_server: Server) -> None:
    one = visitors(fake_server)
    one.ask("echo first")
    one.answered(1)
    kept(one, 1)
    remembered = json.dumps(one.page.evaluate(REMEMBERED))
    copied = f"sessionStorage.omni ??= sessionStorage.setItem('omni.visit', {remembered}) ?? 1;"
    two = Visit.begin(one.page.context, fake_server.address, script=copied)
    expect(two.bubbles("bot")).to_have_count(1)  # the window was doubled
    two.ask("echo in the second window")
    two.answered(2)
    kept_messages(two.page, 4)
    one.ask("echo in the first window")
    one.answered(2)
    expect(one.page.locator("#page-note-bar")).to_contain_text("another window")
    kept(one, 2)
    for visit, own, other in ((one, "first", "second"), (two, "second", "first")):
        again(visit)
        expect(visit.bubbles("bot")).to_have_count(2)
        assert f"in the {own} window" in visit.text()
        assert f"in the {other} window" not in visit.text()
        visit.nothing_wrong()
    two.conversations()
    expect(two.page.locator(".conversation")).to_have_count(2)


def test_the_list_finds_names_opens_and_deletes(visitors: Come, fake_server: Server) -> None:
    visit = visitors(fake_server, "image")
    page = visit.page
    visit.ask(HOSTILE)
    visit.answered(1)
    kept(visit, 1)
    visit.part("example-count").dispatch_event("click")  # a conversation of its own
    visit.answered(1)
    kept(visit, 2)
    visit.go("audio")
    visit.ask("echo needle in the hay")
    visit.answered(1)
    kept(visit, 3)
    bar = visit.conversations()
    expect(page.locator(".conversation")).to_have_count(3)
    assert titles(visit)[2].startswith(HOSTILE[:40])
    assert page.evaluate("window.hurt") is None
    search = bar.locator("#conversations-search").get_by_role("textbox")
    search.fill("NEEDLE hay")
    expect(page.locator(".conversation")).to_have_count(1)
    search.fill("nowhere at all")
    expect(bar.locator(".conversation-none")).to_be_visible()
    search.fill("")
    row = page.locator(".conversation").first
    row.hover()
    row.get_by_role("button", name=re.compile("^Rename")).click()
    bar.get_by_role("textbox", name="Name of the conversation").fill("<b>My name</b>")
    page.keyboard.press("Enter")
    expect(page.locator(".conversation-title").first).to_have_text("<b>My name</b>")
    page.get_by_role("button", name=re.compile("^echo <script>")).click()  # one of another tab
    visit.tab = "image"
    expect(visit.bubbles("user")).to_have_count(1)
    expect(visit.bubbles("user")).to_contain_text("<script>window.hurt=1</script>")
    visit.ask("history")
    visit.answered(2)
    assert "3 messages" in visit.text()
    shown = page.locator(".conversation:has([aria-current])", has_text="<script>")
    shown.hover()
    shown.get_by_role("button", name=re.compile("^Delete")).click()
    expect(visit.bubbles("user")).to_have_count(0)
    kept(visit, 2)
    page.get_by_role("button", name="Undo").click()
    kept(visit, 3)
    again(visit)
    expect(page.locator(".conversation-title").filter(has_text="My name")).to_have_count(1)
    visit.conversations()
    page.locator("#conversations-delete-all").click()
    page.locator("#page-note-bar").get_by_role("button", name="Delete all").click()
    kept(visit, 0)
    expect(page.locator(".conversation")).to_have_count(0)
    visit.nothing_wrong()


def test_a_browser_that_keeps_nothing_says_so(visitors: Come, fake_server: Server) -> None:
    visit = visitors(fake_server, script=REFUSED)
    visit.ask("echo one")
    visit.answered(1)
    expect(visit.page.locator("#page-note-bar")).to_contain_text("keeps nothing")
    visit.part("clear").dispatch_event("click")
    expect(visit.bubbles("bot")).to_have_count(0)
    visit.conversations()
    visit.page.get_by_role("button", name="echo one", exact=True).click()  # until it is closed
    expect(visit.bubbles("bot")).to_have_count(1)
    visit.nothing_wrong()


def test_one_who_wants_nothing_kept_has_nothing_kept(visitors: Come, fake_server: Server) -> None:
    visit = visitors(fake_server)
    bar = visit.conversations()
    bar.locator("#conversations-keep input").uncheck()
    visit.ask("echo one")
    visit.answered(1)
    kept(visit, 1)
    again(visit, LONG_MS)
    visit.conversations()
    expect(bar.locator("#conversations-keep input")).not_to_be_checked()
    kept(visit, 0)
    expect(visit.bubbles("bot")).to_have_count(0)
    visit.nothing_wrong()


def test_the_page_to_share_stands_alone(
    visitors: Come, fake_server: Server, media: Path, tmp_path: Path
) -> None:
    size = {"width": 390, "height": 844}
    options = {"locale": "zh-CN", "color_scheme": "dark", "has_touch": True}
    visit = visitors(fake_server, "image", viewport=size, **options)
    page = visit.page
    hand(visit, media / "one.png")
    visit.ask(HOSTILE)
    visit.answered(1)
    kept(visit, 1)
    bar = visit.conversations()
    expect(bar.locator(".conversation")).to_have_count(1)
    expect(bar.locator("h3")).to_have_text("今天")
    bar.locator("#image-tools").get_by_role("button").first.click()
    assert [one for one in violations(visit) if "conversation" in one] == []
    with page.expect_download() as download:
        bar.locator("#image-replay").click()
    shared = tmp_path / "shared.html"
    download.value.save_as(shared)
    assert download.value.suggested_filename.endswith(".html")
    visit.nothing_wrong()
    page.context.set_offline(True)
    page.goto(shared.as_uri())
    assert page.evaluate("window.hurt") is None
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    expect(page.locator("img")).to_have_js_property("naturalWidth", 96)
    assert page.evaluate(PLAYS)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert violations(visit) == []
