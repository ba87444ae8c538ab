"""Takes the pictures of the page for the README: python docs/screenshots.py [FOLDER]

Starts the app with the nano checkpoint, asks each tab one of the questions in examples/, and saves
what a visitor then sees; and a conversation as a picture that moves. Needs Chromium and what
requirements-dev.txt names.
"""

from __future__ import annotations

import io
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.server import SWITCHES, chromium, end, free_port, start  # noqa: E402
from tests.browser.visit import Visit  # noqa: E402

EXAMPLES = ROOT / "examples"
DESKTOP = (1200, 720)
PHONE = (390, 844)
SCALE = 1.0  # pixels a point


@dataclass(frozen=True)
class Picture:
    """One screenshot: which tab, for whom, and what is asked."""

    name: str
    tab: str
    given: tuple[str, ...] = ()  # files of examples/
    text: str = ""
    locale: str = "en-US"
    scheme: Literal["light", "dark"] = "light"
    size: tuple[int, int] = DESKTOP


PICTURES = (
    Picture("audio", "audio", ("capital_en.flac",)),
    Picture("video", "video", ("moves.mp4",), "What happens?"),
    Picture("image", "image", ("shapes.png",), "What do you see?"),
    Picture("audio_zh", "audio", ("capital_zh.flac",), locale="zh-CN"),
    Picture("image_phone", "image", ("shapes.png",), "What do you see?", size=PHONE),
)
# The moving picture: pixels of the window and of the file, pictures a second.
FILM_WINDOW = (1200, 720)
FILM_SIZE = (720, 432)
FILM_RATE = 5
FILM_REST_S = 3.0  # how long the end stands before it begins again
FILM_QUESTION = "Where is the circle?"
READY = "nano ·"  # what the model's chip says, in every language, once it is loaded
INPUTS = {"audio": "recording", "video": "clip", "image": "pictures"}


def main(folder: Path) -> None:
    """Take all pictures into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = ["app.py", "--model", "nano", "--port", str(port)]
    with tempfile.TemporaryDirectory() as scratch:
        server = start(command, port, Path(scratch) / "log")
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium(), args=SWITCHES)
                for picture in PICTURES:
                    take(browser, server.address, picture, folder / f"{picture.name}.webp")
                    print(folder / f"{picture.name}.webp")
                film(browser, server.address, folder / "loop.webp")
                print(folder / "loop.webp")
                browser.close()
        finally:
            end(server)


def take(browser: Browser, address: str, picture: Picture, path: Path) -> None:
    """Visit the page, ask, wait for the answer's end, save what is seen."""
    width, height = picture.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=SCALE,
        locale=picture.locale,
        color_scheme=picture.scheme,
    )
    visit = Visit.begin(context, address, picture.tab)
    expect(visit.page.locator("#model-open")).to_contain_text(READY, timeout=60_000)
    if picture.given:
        visit.give(INPUTS[picture.tab], *[EXAMPLES / name for name in picture.given])
    visit.ask(picture.text)
    visit.answered(1)
    if picture.size == PHONE:
        visit.part("chat").scroll_into_view_if_needed()
    else:
        visit.page.evaluate("window.scrollTo(0, 0)")
    expect(visit.bubbles("user").first).to_be_visible()
    visit.page.wait_for_timeout(3000)  # thumbnails and the rest of the sound
    # A phone has no room for question and answer: the answer matters.
    place = "log.scrollHeight" if picture.size == PHONE else "0"
    visit.part("chat").locator(".bubble-wrap").evaluate(f"log => log.scrollTo(0, {place})")
    visit.page.wait_for_timeout(300)
    taken = visit.page.screenshot()
    context.close()
    with Image.open(io.BytesIO(taken)) as image:  # a page has few colours: a fifth of the bytes
        few = image.convert("RGB").quantize(96, dither=Image.Dither.NONE)
        few.convert("RGB").save(path, lossless=True, quality=100, method=6)


def film(browser: Browser, address: str, path: Path) -> None:
    """A picture card is clicked and answered, then a question typed and answered."""
    width, height = FILM_WINDOW
    context = browser.new_context(viewport={"width": width, "height": height}, locale="en-US")
    visit = Visit.begin(context, address, "image")
    frames: list[Image.Image] = []

    def watch(until_over: bool, seconds: float) -> None:
        """Take pictures for ``seconds``, or until the answer is over."""
        for _ in range(round(seconds * FILM_RATE)):
            with Image.open(io.BytesIO(visit.page.screenshot())) as taken:
                frames.append(taken.convert("RGB").resize(FILM_SIZE, Image.Resampling.LANCZOS))
            if until_over and visit.part("send").is_enabled():
                return
            visit.page.wait_for_timeout(1000 / FILM_RATE)

    watch(until_over=False, seconds=1.5)
    visit.page.locator("#image-tab .card, #image-tab [id^=image-example]").first.click()
    watch(until_over=False, seconds=1)
    watch(until_over=True, seconds=60)
    watch(until_over=False, seconds=1)
    box = visit.page.locator("#image-text textarea")
    for letter in FILM_QUESTION:
        box.press_sequentially(letter)
        if letter == " ":
            watch(until_over=False, seconds=1 / FILM_RATE)
    box.press("Enter")
    watch(until_over=False, seconds=1)
    watch(until_over=True, seconds=60)
    watch(until_over=False, seconds=2)
    context.close()
    times = [round(1000 / FILM_RATE)] * (len(frames) - 1) + [round(1000 * FILM_REST_S)]
    first, *others = frames
    first.save(
        path, save_all=True, append_images=others, duration=times, loop=0, quality=50, method=6
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
