"""The page, the voice and Live through nginx and Caddy, by the configuration of docs/serving.md."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demos.hosting import certificate
from tests.browser.server import Server, end, free_port, start
from tests.browser.visit import Visit
from tests.support.proxies import NAME, Proxy, proxy


@pytest.fixture(scope="module")
def told_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """app.py as docs/serving.md starts it behind a proxy."""
    port, log = free_port(), tmp_path_factory.mktemp("told") / "log"
    flags = ["--model", "nano", "--device", "cpu", "--allow-host", NAME, "--root-path", "/omni"]
    server = start(["app.py", "--port", str(port), *flags], port, log)
    yield server
    end(server)


@pytest.fixture(params=["nginx", "caddy"])
def address(request: pytest.FixtureRequest, told_server: Server, tmp_path: Path) -> Iterator[str]:
    """Where the page is through a proxy."""
    kind: Proxy = request.param
    if shutil.which(kind) is None:
        pytest.skip(f"{kind} is not installed")
    made = certificate.made(NAME, tmp_path)
    page = int(told_server.address.rsplit(":", 1)[1].strip("/"))
    with proxy(kind, tmp_path, free_port(), page, made.file, made.key) as found:
        yield found


def test_the_page_the_voice_and_live_come_through(
    address: str, told_server: Server, visitors: Callable[..., Visit]
) -> None:
    seen = Server(address, told_server.log, told_server.process)
    visit = visitors(seen, ignore_https_errors=True)
    assert visit.page.evaluate("isSecureContext")
    visit.ask("Hello, who are you?")
    visit.wait_for_sound(120)
    visit.finish()
    heard = visit.wait_for_silence(120)
    assert heard.peak > 0.01
    assert visit.voice().size > 12_000  # by the page's own line, not by Gradio's player
    assert len(visit.growth()) >= 2  # it came bit by bit
    visit.play_answer()  # a file of the session's

    visit.part("live-start").click()
    visit.page.wait_for_function(
        "omniLive.sessions.audio?.connection?.socket.readyState === 1", timeout=60_000
    )
    socket = visit.page.evaluate("omniLive.sessions.audio.connection.socket.url")
    assert socket == address.replace("https", "wss") + "live"
    visit.page.keyboard.press("Escape")
    # Browsers look for an icon at the host's root, which is somebody else's here.
    visit.complaints = [said for said in visit.complaints if "/favicon.ico" not in said]
    visit.nothing_wrong()
