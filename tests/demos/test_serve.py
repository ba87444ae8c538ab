"""Serving: flags that cannot be followed, the page's policy, uploads."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from demos import serve
from demos.base.languages import Words
from demos.build import build
from demos.turns.sessions import Sessions
from omni.errors import CheckpointError
from tests.support.fake_engine import FakeEngine


@pytest.mark.parametrize("text", ["", "user", "user:", ":password"])
def test_a_login_has_two_halves(text: str) -> None:
    with pytest.raises(serve.ServeError, match="user:password"):
        serve.login(text)
    assert serve.login("user:pass:word") == ("user", "pass:word")


def test_a_port_in_use_is_told_or_avoided(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind((serve.LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(serve.PortTaken, match=f"Port {port} is in use"):
            serve.free_port(serve.LOOPBACK, port)
        monkeypatch.setattr(serve, "FIRST_PORT", port)
        assert serve.free_port(serve.LOOPBACK, None) > port
    assert serve.free_port(serve.LOOPBACK, port) == port


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 7860), (serve.LOOPBACK, 99999)])
def test_an_address_that_is_not_ours_is_told(host: str, port: int) -> None:
    with pytest.raises(serve.ServeError, match="cannot be used"):
        serve.free_port(host, port)


@pytest.mark.parametrize("name", ["auto", "nano", "owner/model"])
def test_names_are_left_to_loading(name: str) -> None:
    serve.check_model(name)


def test_a_local_checkpoint_is_looked_at_before_anything_starts(tmp_path: Path) -> None:
    for name in (tmp_path / "missing", tmp_path):
        with pytest.raises(CheckpointError):
            serve.check_model(str(name))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a served page with a login."""
    sessions = Sessions(tmp_path_factory.mktemp("served") / "root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(sessions.root))
        patch.delenv("SPACE_ID", raising=False)
        words = Words()
        page = build(FakeEngine(), sessions, words)  # type: ignore[arg-type]
        port = serve.free_port(serve.LOOPBACK, None)
        options = serve.ServeOptions(port=port, auth=(("me", "secret"),))
        address = serve.serve(page, words, options)
        with httpx.Client(base_url=address) as browser:
            yield browser
        page.close()
        sessions.close()


def test_without_a_login_there_is_nothing_to_see(client: httpx.Client) -> None:
    assert client.get("/config").status_code == 401
    assert client.post("/gradio_api/upload", files={"files": b"x"}).status_code == 401


def test_a_page_may_load_nothing_from_other_hosts(client: httpx.Client) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "content-security-policy" not in client.get("/robots.txt").headers


def test_the_folder_of_uploads_is_not_a_way_to_other_files(
    client: httpx.Client, tmp_path: Path
) -> None:
    client.post("/login", data={"username": "me", "password": "secret"})
    assert client.get("/config").status_code == 200
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for path in (secret, Path(__file__), Path("/etc/hostname"), Path("app.py")):
        assert client.get(f"/gradio_api/file={path}").status_code == 403


def test_a_page_that_nobody_uses_takes_no_time(client: httpx.Client) -> None:
    assert client.get("/robots.txt").status_code < 500  # it is there
    assert min(busy_share() for _ in range(3)) < 0.06


def busy_share(seconds: float = 1.0) -> float:
    """The share of a core that this process takes while it has nothing to do."""
    before = time.process_time()
    time.sleep(seconds)
    return (time.process_time() - before) / seconds
