"""What the page says of itself at first sight: its name, what answers, what can be done."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.server import Server
from tests.browser.test_conversations import again
from tests.browser.visit import Visit

Come = Callable[..., Visit]
PHONE = {"width": 360, "height": 740}


def test_the_notice_opens_the_model_card_and_is_read_with_the_first_message(
    fake_server: Server, visitors: Come
) -> None:
    visit = visitors(fake_server)
    banner = visit.page.locator("#model-banner")
    banner.get_by_role("button", name="Choose the model").click()
    expect(visit.page.locator("#model-card")).to_be_visible()
    visit.page.keyboard.press("Escape")
    expect(banner).to_be_visible()
    for number in (1, 2):  # with the first one a model is loaded, of which something else is said
        visit.ask("hello")
        visit.answered(number)
        visit.page.wait_for_timeout(1000)
    expect(banner).to_be_hidden()
    visit.part("clear").click()
    expect(visit.part("welcome")).to_be_visible()
    expect(banner).to_be_hidden()  # one has read it
    visit.page.evaluate("localStorage.clear()")
    again(visit)
    expect(visit.part("text")).to_be_visible()
    expect(banner).to_be_visible()  # another day, another reader: it was not closed
    visit.nothing_wrong()


@pytest.mark.parametrize(("locale", "headings"), [
    ("en-US", ("Quick tasks", "Try an example")),
    ("zh-CN", ("快捷任务", "试试示例")),
])  # fmt: skip
def test_the_menu_says_what_it_is_made_of(
    fake_server: Server, visitors: Come, locale: str, headings: tuple[str, str]
) -> None:
    visit = visitors(fake_server, locale=locale)
    menu = visit.menu()
    for heading in headings:
        told = menu.get_by_text(heading, exact=True)
        box = told.locator("xpath=ancestor::*[contains(@class, 'block')][1]").bounding_box()
        assert box and box["height"] > 10
    menu_box, composer = menu.bounding_box(), visit.part("composer").bounding_box()
    assert menu_box and composer
    assert menu_box["y"] + menu_box["height"] < composer["y"]  # it covers nothing of it
    visit.nothing_wrong()


@pytest.mark.parametrize(("locale", "other"), [("en-US", "中文"), ("zh-CN", "EN")])
def test_a_phone_tells_the_name_and_offers_the_other_language(
    fake_server: Server, visitors: Come, locale: str, other: str
) -> None:
    visit = visitors(fake_server, viewport=PHONE, has_touch=True, locale=locale)
    page = visit.page
    title = page.locator(".page-title h1")
    expect(title).to_be_in_viewport(ratio=1)
    expect(title).to_have_text("Baichuan-Omni-1.5")
    box, switch = title.bounding_box(), page.locator("#language").bounding_box()
    assert box and switch
    assert box["x"] + box["width"] <= switch["x"] + 1
    shown = page.locator("#language label:visible")
    expect(shown).to_have_count(1)
    expect(shown).to_have_text(other)
    shown.click()
    expect(page.locator("#language label:visible")).not_to_have_text(other)
    page.locator("#model-open").click()
    links = page.locator("#model-card .links a")
    expect(links).to_have_count(3)
    expect(links.first).to_be_visible()
    visit.nothing_wrong()


def test_nothing_can_be_made_quiet_before_something_was_said(
    fake_server: Server, visitors: Come
) -> None:
    visit = visitors(fake_server)
    mute = visit.part("voice").get_by_role("button", name="Mute or unmute")
    expect(mute).to_have_css("opacity", "0")
    mute.focus()  # whoever looks for it finds it
    expect(mute).to_have_css("opacity", "1")
    visit.ask("hello")
    visit.answered(1)
    expect(mute).to_have_css("opacity", "1")
    visit.nothing_wrong()
