"""A load on the page: what is told of it, and Cancel."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.server import Server
from tests.browser.visit import Visit
from tests.support.fake_engine import SLOW

Come = Callable[..., Visit]


def test_a_load_tells_how_far_it_is_and_can_be_cancelled(
    fake_server: Server, visitors: Come
) -> None:
    visit = visitors(fake_server)
    page = visit.page
    load, cancel = page.locator("#model-load"), page.locator("#model-cancel")
    status, name = page.locator("#model-status"), page.locator("#model-name input")
    expect(cancel).to_be_hidden()
    page.locator("#model-choice button.label-wrap").first.click()
    name.fill(SLOW)
    name.press("Enter")
    expect(load).to_be_enabled()
    load.click()
    expect(status).to_contain_text(
        re.compile(r"Reading weights: \d\.0 of 10\.0 GB, about \d+ s left")
    )
    expect(status.locator("progress")).to_be_visible()
    expect(name).to_be_disabled()
    late = visitors(fake_server)  # somebody who comes meanwhile
    expect(late.page.locator("#model-status")).to_contain_text("Reading weights")
    cancel.click()
    expect(page.get_by_text("It was cancelled.")).to_be_visible()
    expect(cancel).to_be_hidden()
    expect(name).to_be_enabled()
    expect(name).to_have_value(SLOW)
    expect(load).to_be_enabled()
    expect(late.page.locator("#model-status")).not_to_contain_text("Reading weights")
    expect(late.page.locator("#model-cancel")).to_be_hidden()


def test_the_bar_shows_the_load_that_a_message_began(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server)
    page = visit.page
    unload = page.locator("#model-unload")
    if unload.is_enabled():
        unload.click()
        expect(unload).to_be_disabled()
    visit.ask("hello")
    expect(page.locator("#model-status")).to_contain_text(re.compile("Reading weights|loaded in"))
    visit.answered(1)
    expect(page.locator("#model-status")).to_contain_text("loaded in")
    expect(page.locator("#model-cancel")).to_be_hidden()
