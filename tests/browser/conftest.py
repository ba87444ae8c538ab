"""Servers, a browser with a fake microphone and camera, and media files made on the spot."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from playwright.sync_api import Browser, BrowserContext, Playwright, expect, sync_playwright

from tests.browser.server import SWITCHES, Server, chromium, end, free_port, start
from tests.browser.visit import Visit
from tests.support.media_files import tone, write_clip, write_sound, write_track

CAMERA_MARK = 16
# Expectations are about what happens, not how soon: two cores may be busy with more than the test.
expect.set_options(timeout=20_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            # A browser, a server and a model on two shared cores, in real time: once more is fair,
            # and each time is reported with its traceback.
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=2))


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """app.py with the nano checkpoint."""
    port = free_port()
    log = tmp_path_factory.mktemp("real") / "log"
    server = start(["app.py", "--model", "nano", "--device", "cpu", "--port", str(port)], port, log)
    yield server
    end(server)


@pytest.fixture(scope="session")
def fake_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same page with an engine whose answers are known."""
    port = free_port()
    log = tmp_path_factory.mktemp("fake") / "log"
    server = start(["-m", "tests.browser.fake_app", str(port)], port, log)
    yield server
    end(server)


@pytest.fixture(scope="session")
def voice_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page with the owner's library of voices and an engine that tells its system prompt."""
    folder, port = tmp_path_factory.mktemp("voice"), free_port()
    server = start(["-m", "tests.browser.voice_app", str(port), str(folder)], port, folder / "log")
    yield server
    end(server)


@pytest.fixture(scope="session")
def session_root(fake_server: Server) -> Path:
    """The folder of the fake server's sessions."""
    found = re.search(r"Ready: \S+ (\S+)", fake_server.says())
    assert found
    return Path(found[1])


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of good and bad files."""
    folder = tmp_path_factory.mktemp("media")
    second = np.concatenate([tone(0.5), 0.5 * tone(0.5)])
    write_sound(folder / "question.wav", second)
    write_sound(folder / "voice.wav", tone(3.0, 24_000), 24_000)
    write_sound(folder / "blip.wav", tone(0.05))
    write_sound(folder / "silence.wav", np.zeros((16_000, 1), np.float32))
    write_clip(folder / "clip.mp4", [i / 10 for i in range(20)], rate=10, sound=True)
    (folder / "broken.mp4").write_bytes((folder / "clip.mp4").read_bytes()[:200])
    write_track(folder / "no-frames.mp4", tone(1.0, 48_000), 48_000, "aac")
    shades = np.linspace(0, 255, 96, dtype=np.uint8)
    gradient = np.stack(np.broadcast_arrays(shades[:, None], shades[None], shades[None, ::-1]), -1)
    Pillow.fromarray(gradient).save(folder / "one.png")
    Pillow.fromarray(gradient[::-1]).save(folder / "two.jpg")
    Pillow.new("RGB", (1, 1)).save(folder / "dot.png")
    Pillow.new("RGB", (900, 3), "white").save(folder / "strip.png")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is no sound, whatever its name says\n" * 50)
    (folder / "text.png").write_text("this is no picture\n" * 50)
    return folder


def write_y4m(path: Path, width: int = 320, height: int = 240, rate: int = 10) -> Path:
    """A second of a bright bar that moves to the right, as a fake camera reads it.

    In the upper left corner a white mark of CAMERA_MARK pixels stands still.
    """
    content = f"YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C420\n".encode()
    colours = np.full((2, height // 2, width // 2), 128, np.uint8)
    for number in range(rate):
        bright = np.full((height, width), 40, np.uint8)
        bright[:, number * width // rate :][:, : width // rate] = 220
        bright[:CAMERA_MARK, :CAMERA_MARK] = 235
        content += b"FRAME\n" + bright.tobytes() + colours.tobytes()
    path.write_bytes(content)
    return path


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """The one driver of the whole run: a second one cannot be started beside it."""
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def browser(media: Path, playwright: Playwright) -> Iterator[Browser]:
    """Chromium whose microphone hears a recording and whose camera sees a clip."""
    heard = write_sound(media / "microphone.wav", tone(2.0, 48_000), 48_000)
    seen = write_y4m(media / "camera.y4m")
    devices = [
        f"--use-file-for-fake-audio-capture={heard}",
        f"--use-file-for-fake-video-capture={seen}",
    ]
    browser = playwright.chromium.launch(
        executable_path=chromium(), args=SWITCHES + devices, headless=True
    )
    yield browser
    browser.close()


@pytest.fixture
def visitors(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Visitors, each with a browser profile of their own; closed after the test."""
    contexts: list[BrowserContext] = []

    def come(server: Server, tab: str = "audio", script: str = "", **options: Any) -> Visit:
        options = {"viewport": {"width": 1280, "height": 900}, "locale": "en-US"} | options
        context = browser.new_context(**options)
        contexts.append(context)
        return Visit.begin(context, server.address, tab, script)

    yield come
    for context in contexts:
        context.close()
