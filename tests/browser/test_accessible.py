"""The page for everybody: what axe finds, keyboard, light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.server import Server
from tests.browser.visit import HELD, Visit

Come = Callable[..., Visit]
TABS = ("audio", "video", "image")
FOLDED = ("parameters", "voice-recording", "voice-library", "voice-style")


def violations(visit: Visit) -> list[str]:
    """What axe has to say about the page as it is now."""
    # What slides or fades has a colour of its own on its way.
    visit.page.add_style_tag(
        content="* { transition: none !important; animation: none !important }"
    )
    visit.page.wait_for_timeout(500)
    found = Axe().run(visit.page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for rule in found
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize(
    ("scheme", "locale", "width"),
    [
        ("light", "en-US", 1280),
        ("dark", "zh-CN", 1280),
        ("light", "zh-CN", 375),
        ("dark", "en-US", 375),
    ],
)
def test_axe_finds_nothing(
    fake_server: Server, visitors: Come, scheme: str, locale: str, width: int
) -> None:
    size = {"width": width, "height": 900}
    permissions = ["microphone"]
    visit = visitors(
        fake_server, color_scheme=scheme, locale=locale, viewport=size, permissions=permissions
    )
    for tab in TABS:
        visit.go(tab)
        assert violations(visit) == []
    visit.part("record").click()  # the tray is open
    expect(visit.part("question").locator(".stop-button")).to_be_visible()
    assert violations(visit) == []
    visit.part("record").click()
    expect(visit.part("question").locator(HELD)).not_to_have_count(0)
    visit.menu()
    assert violations(visit) == []
    visit.page.keyboard.press("Escape")
    visit.ask("short")
    visit.answered(1)
    assert violations(visit) == []
    visit.conversations()
    assert violations(visit) == []
    visit.page.locator("#conversations .toggle-button").click()
    panel = visit.settings()
    for name in FOLDED:
        panel.locator(f"#{name} > button.label-wrap").first.evaluate("button => button.click()")
    expect(visit.page.locator("#parameter-text-temperature")).to_be_visible()
    assert violations(visit) == []


def test_the_page_is_used_by_keyboard(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server, permissions=["microphone"])
    keyboard, page = visit.page.keyboard, visit.page
    page.locator("#audio-tab-button").focus()
    keyboard.press("ArrowRight")
    expect(page.locator("#video-tab-button")).to_be_focused()
    expect(page.locator("#video-text")).to_be_visible()
    keyboard.press("ArrowLeft")
    expect(visit.part("text")).to_be_visible()
    keyboard.press("/")
    box = visit.part("text").locator("textarea")
    expect(box).to_be_focused()
    keyboard.type("slow/long")  # a slash within a text stays one
    expect(box).to_have_value("slow/long")
    keyboard.press("Enter")
    expect(visit.part("stop")).to_be_enabled()
    keyboard.press("Escape")
    expect(visit.part("chat")).to_contain_text("You stopped this answer")
    visit.finish()
    keyboard.press("Alt+r")
    stop = visit.part("recording").get_by_role("button", name="Stop", exact=True)
    expect(stop.first).to_be_visible()
    page.wait_for_timeout(1000)
    with page.expect_response(re.compile("/upload")):
        keyboard.press("Alt+r")
    expect(visit.part("recording").locator("[data-testid^=waveform]").first).to_be_visible()
    box.focus()
    keyboard.press("Enter")
    visit.answered(2)
    expect(visit.bubbles("user").last.locator(".minimal-audio-player").first).to_be_attached()
    visit.nothing_wrong()


def test_light_and_dark_by_a_button_that_is_remembered(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server, color_scheme="light")
    body = visit.page.locator("body")
    expect(body).not_to_have_class(re.compile(r"\bdark\b"))
    visit.page.get_by_role("button", name="Light or dark").click()
    expect(body).to_have_class(re.compile(r"\bdark\b"))
    visit.page.reload()
    expect(visit.page.locator("#audio-send")).to_be_visible()
    expect(body).to_have_class(re.compile(r"\bdark\b"))
    visit.page.get_by_role("button", name="Light or dark").click()
    expect(body).not_to_have_class(re.compile(r"\bdark\b"))
    visit.nothing_wrong()


# What can be touched and is smaller than a finger; a choice is as large as the frame around it.
SMALL = """() => [...document.querySelectorAll('button, [role=tab], select, input, textarea, a')]
    .filter((e) => e.checkVisibility() && !e.closest('.visually-hidden, .skip'))
    .map((e) => [e, (e.closest('label, .wrap-inner') ?? e).getBoundingClientRect()])
    .filter(([, box]) => box.width && (box.width < 44 || box.height < 44))
    .map(([e, box]) => `${e.outerHTML.slice(0, 120)} ${box.width} x ${box.height}`)"""


def test_everything_is_as_large_as_a_finger(fake_server: Server, visitors: Come) -> None:
    size = {"width": 390, "height": 844}
    visit = visitors(fake_server, viewport=size, has_touch=True, is_mobile=True)
    for tab in TABS:
        visit.go(tab)
        assert visit.page.evaluate(SMALL) == []
    visit.ask("short")
    visit.answered(1)
    assert visit.page.evaluate(SMALL) == []
    visit.menu()
    assert visit.page.evaluate(SMALL) == []
    visit.page.keyboard.press("Escape")
    visit.conversations()
    assert visit.page.evaluate(SMALL) == []


def test_the_keyboard_may_skip_to_the_text_box(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server)
    visit.page.reload()
    expect(visit.part("send")).to_be_enabled(timeout=60_000)
    visit.page.keyboard.press("Tab")
    expect(visit.page.locator("#skip")).to_be_focused()
    expect(visit.page.locator("#skip")).to_be_in_viewport()
    visit.page.keyboard.press("Enter")
    expect(visit.part("text").locator("textarea")).to_be_focused()
