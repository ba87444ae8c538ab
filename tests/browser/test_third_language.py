"""A further language is one file of words: the page has it on its switch and speaks it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from demos.base.word_files import FOLDER
from tests.browser.server import Server, end, free_port, start
from tests.browser.visit import Visit

GERMAN = """
name: Deutsch
prompt_language: en
ui: {send: Senden, thinking: "Ich denke nach ...", model-loading: "Wird geladen ..."}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page with German beside its own languages."""
    folder, port = tmp_path_factory.mktemp("german"), free_port()
    for language in ("en", "zh"):
        shutil.copy(FOLDER / f"{language}.yaml", folder)
    (folder / "de.yaml").write_text(GERMAN, encoding="utf-8")
    command = ["-m", "tests.browser.fake_app", str(port), "auto", str(folder)]
    server = start(command, port, folder / "log")
    yield server
    end(server)


def test_the_page_speaks_a_third_language(server: Server, visitors: Callable[..., Visit]) -> None:
    visit = visitors(server, locale="de-DE")
    expect(visit.part("send")).to_have_text("Senden")
    expect(visit.part("stop")).to_have_text("Stop")  # not translated
    switch = visit.page.locator("#language label")
    expect(switch).to_have_text(["EN", "DE", "中文"])
    expect(switch.nth(1).locator("input")).to_be_checked()  # the server has told it
    tops = [switch.nth(number).bounding_box() for number in range(3)]
    assert len({box["y"] for box in tops if box}) == 1  # in one line
    switch.nth(2).click()
    expect(visit.part("send")).to_have_text("发送")
    switch.nth(1).click()
    expect(visit.part("send")).to_have_text("Senden")
    assert visit.page.evaluate("document.documentElement.lang") == "de"
    visit.nothing_wrong()
    visit.page.reload()  # the cookie is kept
    expect(visit.part("send")).to_have_text("Senden")
