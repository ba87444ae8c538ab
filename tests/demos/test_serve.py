"""Serving: flags that cannot be followed, the page's policy, uploads."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from demos import launch, serve
from demos.base.languages import Words
from demos.base.safe_headers import content_policy
from demos.build import build
from demos.turns.sessions import Sessions
from omni.errors import CheckpointError
from tests.support.fake_engine import FakeEngine


@pytest.mark.parametrize("text", ["", "user", "user:", ":password"])
def test_a_login_has_two_halves(text: str) -> None:
    with pytest.raises(serve.ServeError, match="user:password"):
        serve.login(text)
    assert serve.login("user:pass:word") == ("user", "pass:word")


LARGEST_PAGE = 110_000  # bytes, as it travels


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


def test_a_local_adapter_is_looked_at_before_anything_starts(tmp_path: Path) -> None:
    serve.check_adapter("owner/adapter")
    for name in (tmp_path / "missing", tmp_path):
        with pytest.raises(CheckpointError, match="no adapter"):
            serve.check_adapter(str(name))


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
    assert "form-action 'self'" in policy
    assert policy.endswith("frame-ancestors 'self'")
    host = client.base_url.netloc.decode()
    assert f"connect-src 'self' blob: data: ws://{host} wss://{host};" in policy


def test_the_page_travels_compressed(client: httpx.Client) -> None:
    sizes = {}
    for coding in ("gzip", "identity"):
        with client.stream("GET", "/", headers={"accept-encoding": coding}) as answer:
            assert answer.headers.get("content-encoding", "identity") == coding
            sizes[coding] = sum(map(len, answer.iter_raw()))
    assert sizes["gzip"] < sizes["identity"] / 5
    assert sizes["gzip"] < LARGEST_PAGE


@pytest.mark.parametrize("path", ["/", "/config", "/robots.txt", "/gradio_api/info", "/nowhere"])
def test_every_answer_says_what_a_browser_may_do_with_it(client: httpx.Client, path: str) -> None:
    for headers in ({}, {"origin": "http://evil.example"}):
        answer = client.get(path, headers=headers).headers
        assert answer["x-content-type-options"] == "nosniff"
        assert "frame-ancestors" in answer["content-security-policy"]


ROUTES = [
    "/gradio_api/upload",
    "/gradio_api/queue/join",
    "/login",
    "/voice",
    "/gradio_api/run/model",
]


@pytest.mark.parametrize("path", [*ROUTES, "/nowhere"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:8888"},  # another program of this machine
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"host": "evil.example"},
        {"host": "evil.example", "origin": "http://evil.example", "sec-fetch-site": "same-origin"},
        {"host": "evil.example", "x-forwarded-host": "localhost", "origin": "http://localhost"},
    ],
)
def test_no_route_answers_to_other_sites(
    client: httpx.Client, path: str, headers: dict[str, str]
) -> None:
    answer = client.post(path, headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    asked = headers | {"access-control-request-method": "POST"}
    assert client.options(path, headers=asked).status_code == 403


def test_the_live_connection_does_not_open_to_other_sites(client: httpx.Client) -> None:
    address = f"ws://{client.base_url.netloc.decode()}/live"
    with pytest.raises(InvalidStatus) as refused:
        connect(address, origin=Origin("http://evil.example"))
    assert refused.value.response.status_code == 403


def test_the_page_its_scripts_and_links_to_it_are_answered(client: httpx.Client) -> None:
    own = f"http://{client.base_url.netloc.decode()}"
    assert client.get("/", headers={"sec-fetch-site": "none"}).status_code == 200
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    for kind in ("document", "iframe"):
        assert client.get("/", headers=followed | {"sec-fetch-dest": kind}).status_code == 200
    assert client.post("/login", headers={"origin": own}).status_code == 422


def test_guessing_a_password_gets_slow_and_is_logged(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {"username": "me", "password": "wrong"}
    codes = [client.post("/login", data=wrong).status_code for _ in range(8)]
    assert codes[0] == 400
    assert codes[-1] == 429
    assert any("wrong password" in message for message in caplog.messages)
    time.sleep(float(client.post("/login", data=wrong).text.split("wait ")[1].split()[0]))


def test_a_space_may_be_framed_by_its_host_and_is_reached_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPACE_ID", "owner/space")
    monkeypatch.setenv("SPACE_HOST", "owner-space.example")
    hosts = serve.hosts_of(serve.ServeOptions("0.0.0.0"))
    for name in ("owner-space.example", "owner-space.hf.space", "10.0.0.1"):
        assert hosts.ours(name)
    assert not hosts.ours("evil.example")
    monkeypatch.setenv("SPACE_HOST", "owner-space.hf.space,omni.example.org")
    assert serve.hosts_of(serve.ServeOptions("0.0.0.0")).ours("omni.example.org")
    assert "frame-ancestors 'self' https://huggingface.co" in content_policy(("a.hf.space",), True)


def test_what_stands_in_the_host_does_not_get_into_the_policy(client: httpx.Client) -> None:
    policy = client.get("/", headers={"x-forwarded-host": "a; script-src *"}).headers
    assert "script-src *" not in policy["content-security-policy"]


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


@pytest.mark.parametrize("text", ["/omni", "/a/b/", "https://example.org/omni", ""])
def test_a_path_below_which_a_proxy_serves(text: str) -> None:
    assert serve.root_of(text) == text.rstrip("/")


@pytest.mark.parametrize("text", ["omni", "/a b", "/a?b", "ftp://x/y"])
def test_another_path_is_told(text: str) -> None:
    with pytest.raises(serve.ServeError, match="must look like /omni"):
        serve.root_of(text)


def test_logins_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = launch.parse(["--host", "0.0.0.0"])
    monkeypatch.setenv(serve.AUTH_VARIABLE, "a:b c:d:e")
    assert serve.options_of(flags, "0.0.0.0", 1).auth == (("a", "b"), ("c", "d:e"))
    monkeypatch.setenv(serve.AUTH_VARIABLE, "nobody")
    with pytest.raises(serve.ServeError, match="OMNI_AUTH must look like"):
        serve.options_of(flags, "0.0.0.0", 1)
    given = launch.parse(["--auth", "x:y"])
    assert serve.options_of(given, "127.0.0.1", 1).auth == (("x", "y"),)


def test_a_whole_address_names_the_host_too() -> None:
    options = serve.ServeOptions(root_path="https://omni.example.org/omni")
    assert serve.hosts_of(options).ours("omni.example.org")
