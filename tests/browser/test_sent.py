"""What is typed while what was sent is on its way stays; what does not arrive comes back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.server import Server
from tests.browser.visit import Visit
from tests.support.root import ROOT

Come = Callable[..., Visit]


def hold(page: Page) -> list[Route]:
    """Messages to the server neither arrive nor fail; those that are held."""
    held: list[Route] = []
    page.route("**/queue/join*", lambda route: held.append(route))
    return held


def test_the_box_is_empty_at_once_and_what_is_typed_then_stays(
    fake_server: Server, visitors: Come
) -> None:
    visit = visitors(fake_server)
    box = visit.part("text").locator("textarea")
    visit.late(1500)
    visit.ask("hello")
    expect(box).to_have_value("", timeout=1000)
    box.fill("And then")
    expect(visit.bubbles("user")).to_have_count(0)  # the server has said nothing yet
    visit.late(0)
    visit.answered(1)
    expect(visit.bubbles("user")).to_contain_text("hello")
    expect(box).to_have_value("And then")
    visit.part("send").click()
    visit.answered(2)
    expect(visit.bubbles("user").last).to_contain_text("And then")
    expect(box).to_have_value("")
    visit.nothing_wrong()


def test_what_is_refused_stands_in_the_box_again(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server)
    visit.ask("broken picture")
    visit.finish()
    expect(visit.part("text").locator("textarea")).to_have_value("broken picture")


@pytest.mark.parametrize("more", ["", "and more"])
def test_what_does_not_arrive_stands_in_the_box_again(
    fake_server: Server, visitors: Come, more: str
) -> None:
    visit = visitors(fake_server)
    box = visit.part("text").locator("textarea")
    held = hold(visit.page)
    visit.page.clock.install()
    visit.ask("hello")
    expect(box).to_have_value("")
    box.fill(more)
    visit.page.clock.fast_forward(31_000)
    expect(box).to_have_value(f"hello\n{more}".strip())
    for route in held:
        route.fulfill(status=503)
    visit.page.unroute("**/queue/join*")
    visit.page.wait_for_timeout(500)
    visit.part("send").click()
    visit.answered(1)
    expect(visit.bubbles("user")).to_contain_text("hello")
    expect(box).to_have_value("")


def test_what_is_read_aloud_leaves_the_box_and_what_is_typed_then_stays(
    fake_server: Server, visitors: Come
) -> None:
    visit = visitors(fake_server)
    box = visit.part("text").locator("textarea")
    box.fill("The red star.")
    visit.part("more").click()
    visit.late(1500)
    visit.part("chip-read-aloud").click()
    expect(box).to_have_value("", timeout=1000)
    box.fill("And then")
    visit.late(0)
    visit.answered(1)
    expect(visit.bubbles("user")).to_contain_text("The red star.")
    expect(box).to_have_value("And then")


def test_a_draft_outlives_a_task_that_does_not_take_it(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server)
    visit.give("recording", ROOT / "examples" / "capital_en.flac")
    box = visit.part("text").locator("textarea")
    box.fill("a draft")
    visit.part("more").click()
    visit.part("chip-transcribe").click()
    visit.answered(1)
    expect(box).to_have_value("a draft")


def test_what_was_cleared_on_its_way_does_not_come_back(
    fake_server: Server, visitors: Come
) -> None:
    visit = visitors(fake_server)
    box = visit.part("text").locator("textarea")
    visit.ask("hello")
    visit.answered(1)
    hold(visit.page)
    visit.page.clock.install()
    visit.ask("gone")
    expect(box).to_have_value("")
    visit.part("clear").click()
    expect(visit.bubbles("user")).to_have_count(0)
    visit.page.clock.fast_forward(31_000)
    visit.page.wait_for_timeout(500)
    expect(box).to_have_value("")
