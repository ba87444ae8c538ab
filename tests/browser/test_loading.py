"""The model card: what fits, a load and its end on every page, Cancel, a load that fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.server import Server, end, free_port, start
from tests.browser.test_accessible import violations
from tests.browser.visit import Visit
from tests.support.fake_engine import BROKEN, SLOW
from tests.support.root import ROOT

Come = Callable[..., Visit]
QUESTION = ROOT / "examples" / "capital_en.flac"  # somebody asks for the capital of France
BYTES_READ = re.compile(r"Reading weights: \d\.0 of 10\.0 GB, about \d+ s left")


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A page that strangers reach."""
    port, log = free_port(), tmp_path_factory.mktemp("shared") / "log"
    server = start(["-m", "tests.browser.fake_app", str(port), "auto", "", "shared"], port, log)
    yield server
    end(server)


def choose(page: Page, model: str) -> None:
    """Type a model's name into the card."""
    name = page.locator("#model-name input")
    name.fill(model)
    name.press("Enter")


def unloaded(visit: Visit) -> None:
    """The card, open, and no model."""
    visit.model()
    unload = visit.page.locator("#model-unload")
    if unload.is_enabled():
        unload.click()
    expect(visit.page.locator("#model-open")).to_have_text(re.compile("No model|未加载"))


@pytest.mark.parametrize(
    ("width", "height", "locale", "scheme"),
    [
        (1366, 650, "en-US", "light"),
        (1920, 1080, "zh-CN", "dark"),
        (390, 844, "zh-CN", "light"),
        (360, 740, "en-US", "dark"),
    ],
)
def test_the_card_tells_what_fits(
    fake_server: Server, visitors: Come, width: int, height: int, locale: str, scheme: str
) -> None:
    size = {"width": width, "height": height}
    visit = visitors(fake_server, viewport=size, locale=locale, color_scheme=scheme)
    page = visit.page
    chip, card = page.locator("#model-open"), visit.model()
    expect(chip).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#model-close")).to_be_focused()
    rows = card.locator(".outlook tbody tr")
    expect(rows).to_have_count(3, timeout=60_000)  # torch is imported for it
    expect(rows.nth(0)).to_contain_text("nano")
    expect(rows.nth(1)).to_contain_text("22.1 GB")
    expect(card.locator(".outlook-verdict")).to_contain_text("nano")
    box = card.bounding_box()
    assert box and box["x"] >= 0 and box["y"] >= 0
    assert box["x"] + box["width"] <= width and box["y"] + box["height"] <= height
    wide = card.evaluate("card => card.scrollWidth - card.clientWidth")
    assert wide <= 0, "it scrolls sideways"
    assert violations(visit) == []
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    expect(chip).to_be_focused()
    expect(chip).to_have_attribute("aria-expanded", "false")
    chip.click()
    expect(card).to_be_visible()
    page.mouse.click(5, 90)
    expect(card).to_be_hidden()
    visit.nothing_wrong()


def test_a_load_is_seen_by_every_page_and_can_be_cancelled(
    fake_server: Server, visitors: Come
) -> None:
    visit, other = visitors(fake_server), visitors(fake_server)
    page, name = visit.page, visit.page.locator("#model-name input")
    status, cancel = page.locator("#model-status"), page.locator("#model-cancel")
    unloaded(visit)
    expect(cancel).to_be_hidden()
    choose(page, SLOW)
    expect(page.locator("#model-verdict")).to_contain_text("will be known once it is fetched")
    page.locator("#model-load").click()
    expect(status).to_contain_text(BYTES_READ)
    expect(status.locator("progress")).to_be_visible()
    expect(name).to_be_disabled()
    seen = re.compile(r"Loading \d+ %")
    expect(page.locator("#model-open")).to_have_text(seen)
    expect(other.page.locator("#model-open")).to_have_text(seen)  # nobody has clicked there
    late = visitors(fake_server)  # somebody who comes meanwhile
    late.model()
    expect(late.page.locator("#model-status")).to_contain_text(BYTES_READ)
    late.page.locator("#model-cancel").click()  # one model, one load: everybody's
    expect(page.locator("#model-problem")).to_have_text("It was cancelled.")
    expect(cancel).to_be_hidden()
    expect(name).to_be_enabled()
    expect(name).to_have_value(SLOW)
    expect(page.locator("#model-load")).to_be_enabled()
    for one in (late, other, visit):
        expect(one.page.locator("#model-open")).to_have_text("No model")
    expect(late.page.locator("#model-cancel")).to_be_hidden()
    visit.nothing_wrong()


def test_a_load_that_fails_keeps_the_choices_and_says_why(
    fake_server: Server, visitors: Come
) -> None:
    visit, other = visitors(fake_server), visitors(fake_server)
    page = visit.page
    unloaded(visit)
    choose(page, BROKEN)
    page.locator("#model-quantization input").click()
    page.get_by_role("option", name="8bit", exact=True).click()
    expect(visit.model()).to_be_visible()  # a list that it opens belongs to it
    page.locator("#model-load").click()
    problem = page.get_by_role("alert").filter(has_text=f"{BROKEN} is broken.")
    expect(problem).to_be_visible()
    expect(page.locator("#model-name input")).to_have_value(BROKEN)
    expect(page.locator("#model-quantization input")).to_have_value("8bit")
    expect(page.locator("#model-load")).to_be_enabled()
    choose(page, "nano")
    page.locator("#model-load").click()
    expect(problem).to_be_hidden()
    for one in (visit, other):
        expect(one.page.locator("#model-open")).to_have_text("nano · ready")


def test_the_card_shows_the_load_that_a_message_began(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server)
    page = visit.page
    unloaded(visit)
    page.keyboard.press("Escape")
    visit.ask("hello")
    visit.answered(1)
    expect(page.locator("#model-open")).to_have_text("nano · ready")
    expect(page.locator("#model-status")).to_contain_text("loaded in")
    expect(page.locator("#model-cancel")).to_be_hidden()


def test_strangers_see_the_state_and_not_the_choices(shared_server: Server, visitors: Come) -> None:
    visit = visitors(shared_server, viewport={"width": 390, "height": 844})
    card = visit.model()
    expect(card.locator("#model-status")).to_contain_text("No model is loaded yet")
    for name in ("name", "load", "unload", "outlook", "cancel"):
        expect(card.locator(f"#model-{name}")).to_be_hidden()
    visit.page.keyboard.press("Escape")
    visit.ask("hello")
    visit.answered(1)
    expect(visit.page.locator("#model-open")).to_have_text("nano · ready")
    visit.nothing_wrong()


def test_parameters_before_a_load_are_those_of_what_will_be_loaded(
    fake_server: Server, visitors: Come
) -> None:
    visit = visitors(fake_server)
    unloaded(visit)
    folded = visit.page.locator("#parameters > button.label-wrap").first
    folded.evaluate("button => button.click()")
    heat = visit.page.locator("#parameter-speech-temperature input").first
    expect(heat).to_have_value("0.6")  # nano's own, from its files
    rows = visit.page.locator(".outlook tbody tr")
    expect(rows).not_to_have_count(0, timeout=60_000)  # torch is imported for it
    choose(visit.page, "owner/slow")
    expect(heat).not_to_have_value("0.6")
    choose(visit.page, "nano")
    expect(heat).to_have_value("0.6")


def test_what_the_model_heard_stands_below_the_question(
    real_server: Server, visitors: Come
) -> None:
    visit = visitors(real_server)
    visit.give("recording", QUESTION)
    visit.ask()
    visit.answered(1)
    asked = visit.bubbles("user").last
    expect(asked).to_contain_text(re.compile("The model heard: “.*France.*”"))
    visit.ask("Hello!")  # it is no part of what the model gets, and stays where it is
    visit.answered(2)
    expect(visit.bubbles("user").first).to_contain_text("The model heard")
    visit.nothing_wrong()
