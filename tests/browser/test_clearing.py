"""Clear at any moment of an answer: the page is empty and ready, and no bare error stands on it."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Route, expect

from tests.browser.server import Server
from tests.browser.visit import Visit

Come = Callable[..., Visit]
ERRORS = """() => [...document.querySelectorAll('.error, .toast-body')]
    .filter((e) => e.checkVisibility()).map((e) => e.outerHTML.slice(0, 300))"""
MOMENTS_MS = (0, 15, 40, 120, 300, 700)


def test_clear_in_an_answer_shows_no_error(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server)
    seen = []
    for question in ("slow", "long"):
        for moment in MOMENTS_MS:
            visit.ask(question)
            visit.page.wait_for_timeout(moment)
            visit.part("clear").click()
            for _ in range(4):
                visit.page.wait_for_timeout(100)
                seen += [(question, moment, error) for error in visit.page.evaluate(ERRORS)]
            expect(visit.part("send")).to_be_enabled()
            expect(visit.bubbles("user")).to_have_count(0)
    assert seen == []
    visit.nothing_wrong()


def test_clear_once_more_before_the_first_is_answered(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server)
    page, held = visit.page, []
    clear = page.evaluate(
        "gradio_config.dependencies.find((event) => event.api_name === 'audio_clear').id"
    )

    def on_its_way(route: Route) -> None:
        if (route.request.post_data_json or {}).get("fn_index") == clear:
            held.append(route)
        else:
            route.continue_()

    page.route("**/queue/join*", on_its_way)
    for count in (1, 2):
        visit.ask("hello")
        expect(visit.bubbles("bot").last).to_be_visible()
        visit.finish()
        visit.part("clear").click()
        expect(visit.bubbles("user")).to_have_count(0)
        page.wait_for_timeout(500)
        assert len(held) == count
    for route in held:
        route.continue_()
    visit.page.wait_for_timeout(500)
    visit.ask("history")
    visit.answered(1)
    visit.nothing_wrong()
