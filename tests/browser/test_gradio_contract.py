"""What our scripts and style sheets expect of Gradio's own page, which it does not promise.

All of it stands in assets/scripts/gradio.js and assets/gradio.css. Where a new version of Gradio
has it no more, these tests say what it was.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from playwright.sync_api import expect

from demos.base.theme import FRAME, STYLES
from tests.browser.conftest import CAMERA_MARK
from tests.browser.server import Server
from tests.browser.visit import Visit

Come = Callable[..., Visit]
NO_CONTEXT = "delete window.AudioContext;"  # so that Gradio's player speaks
# Names and selectors of which the page has nothing now.
MISSING = """(table) => Object.entries(table)
    .filter(([, selector]) => !document.querySelector(selector)).map(([name]) => name)"""


# What is true of an element only now and then: states, and what our own scripts note down.
NOW_AND_THEN = r"::[\w-]+|:(hover|has\(:[\w-]+\))|\[data-(notice|conversations|settings)[^\]]*\]"


def alternatives(selectors: str) -> list[str]:
    """Selectors of a rule, which are separated by commas outside of brackets."""
    found, depth = [""], 0
    for sign in selectors:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            found.append("")
        else:
            found[-1] += sign
    return [one.strip() for one in found]


def style_selectors() -> dict[str, str]:
    """Every selector of ours by itself, without what is not always there to be found."""
    own = [next(file for file in STYLES if file.name == "gradio.css"), FRAME]
    text = "".join(file.read_text(encoding="utf-8") for file in own)
    text = re.sub(r"/\*.*?\*/|url\('.*?'\)|@media [^{]*\{", "", text, flags=re.DOTALL)
    found = {}
    for rule in re.findall(r"([^{}]+)\{[^{}]*\}", text):
        for selector in alternatives(rule):
            found[selector] = re.sub(NOW_AND_THEN, "", selector).strip() or "body"
    return found


def test_gradios_page_has_what_we_look_for(
    fake_server: Server, visitors: Come, media: Path
) -> None:
    visit = visitors(fake_server, "image", NO_CONTEXT)
    expected = visit.page.evaluate("omniGradio.SELECTORS") | style_selectors()
    assert len(expected) > 40

    def look(visit: Visit = visit) -> None:
        missing = visit.page.evaluate(MISSING, expected)
        for name in set(expected) - set(missing):
            del expected[name]

    look()
    visit.conversations()
    visit.settings()
    look()
    visit.page.locator("#voice-role input").click()
    expect(visit.page.locator("[role=listbox] [role=option]").first).to_be_visible()
    look()
    visit.page.keyboard.press("Escape")
    visit.give("pictures", media / "one.png")
    look()
    visit.ask("hello")
    expect(visit.bubbles("bot")).to_have_count(1)
    expect(visit.page.locator("#image-player audio")).to_have_count(1)
    look()
    visit.answered(1)
    look()
    talker = visitors(fake_server, "video", permissions=["microphone", "camera"])
    look(talker)
    talker.choose("chip-describe-clip")  # of which there is none yet
    expect(talker.page.locator(".toast-title")).to_be_visible()
    look(talker)
    talker.part("record").click()
    expect(talker.part("question").locator(".stop-button")).to_be_visible()
    look(talker)
    talker.part("record").click()
    talker.page.evaluate("omniComposer.open(document.querySelector('#video-clip'), 1)")
    expect(talker.part("clip").locator("div[title] > button")).to_be_visible()
    look(talker)
    talker.give("clip", media / "clip.mp4")
    look(talker)
    assert expected == {}, "Gradio's page no longer has these"


def test_gradios_client_has_what_we_call(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server)
    core = visit.page.evaluate("omniGradio.core()")
    assert core, "Gradio's core module is not found among what the page has loaded"
    kind = visit.page.evaluate("async (core) => typeof (await import(core)).changeLocale", core)
    assert kind == "function", "Gradio's core module has no changeLocale"
    assert visit.page.evaluate("typeof window.gradio_config?.root") == "string"
    assert visit.page.evaluate("omniGradio.address('/live').href") == f"{visit.address}live"


def test_gradios_classes_say_dark_and_open(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server, color_scheme="dark")
    assert visit.page.evaluate("omniGradio.dark()"), "a dark page's body has no class dark"
    assert not visit.page.evaluate("omniGradio.sidebarIsOpen('settings')")
    visit.settings()
    assert visit.page.evaluate("omniGradio.sidebarIsOpen('settings')")
    expect(visit.page.locator("#voice-role")).to_be_visible()
    visit.page.locator("#shade").click()
    assert not visit.page.evaluate("omniGradio.dark()")


def test_a_picture_of_the_camera_is_not_mirrored(fake_server: Server, visitors: Come) -> None:
    visit = visitors(fake_server, "image")
    box = visit.part("pictures")
    visit.part("camera").click()  # it asks for the camera, too
    preview = box.locator("video")
    visit.page.wait_for_function(
        "document.querySelector('#image-pictures video').currentTime > 0.2"
    )
    assert preview.evaluate("video => getComputedStyle(video).transform") == "none"
    box.get_by_role("button", name="capture photo").click()
    shown = box.locator(".thumbnail-item img").first
    expect(shown).to_be_visible(timeout=30_000)
    taken = visit.page.request.get(shown.evaluate("image => image.src")).body()
    pixels = np.asarray(Pillow.open(io.BytesIO(taken)).convert("L")).astype(float)
    left, right = pixels[:CAMERA_MARK, :CAMERA_MARK], pixels[:CAMERA_MARK, -CAMERA_MARK:]
    assert left.mean() > 150
    assert right.mean() < 100
    visit.nothing_wrong()
