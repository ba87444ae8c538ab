"""Uploads that fail: a sentence, and nothing of them on the disk."""

from __future__ import annotations

import errno
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from gradio import route_utils

from demos import serve
from demos.base.languages import Words
from demos.build import build
from demos.turns import uploads
from demos.turns.room import Quota
from demos.turns.sessions import Sessions
from tests.support.fake_engine import FakeEngine

UPLOAD = "/gradio_api/upload"
ZH = {"accept-language": "zh-CN"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Sessions]]:
    """A client of a served page, and what the page keeps."""
    sessions = Sessions(tmp_path_factory.mktemp("uploads") / "root", grace_s=1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(sessions.root))
        patch.delenv("SPACE_ID", raising=False)
        words = Words()
        page = build(FakeEngine(), sessions, words)  # type: ignore[arg-type]
        port = serve.free_port(serve.LOOPBACK, None)
        address = serve.serve(page, words, serve.ServeOptions(port=port))
        with httpx.Client(base_url=address, timeout=60) as client:
            yield client, sessions
        page.close()
        sessions.close()


@pytest.fixture
def client(served: tuple[httpx.Client, Sessions]) -> Iterator[httpx.Client]:
    """A client; afterwards nothing is left of what failed, and the next upload is taken."""
    client, sessions = served
    before = left(sessions)
    yield client
    deadline = time.monotonic() + 10
    while left(sessions) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left(sessions) == before
    taken = client.post(UPLOAD, files={"files": ("good.txt", b"good")})
    assert taken.status_code == 200
    assert Path(taken.json()[0]).read_bytes() == b"good"


def left(sessions: Sessions) -> set[Path]:
    return {path for path in sessions.root.rglob("*") if path.is_file()}


def full(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("headers", "said"), [({}, "The disk of the server is full"), (ZH, "磁盘已满")]
)
def test_a_disk_that_is_full_in_the_middle_is_one_sentence(
    client: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
    said: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(route_utils.GradioUploadFile, "write", full)
        files = {"files": ("a.wav", b"x" * 3_000_000)}
        answer = client.post(UPLOAD, files=files, headers=headers)
    assert answer.status_code == 507
    assert said in answer.text
    assert not caplog.records


def test_a_disk_that_takes_no_folder_is_one_sentence(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(route_utils, "Path", lambda path: SimpleNamespace(mkdir=full))
        answer = client.post(UPLOAD, files={"files": ("a.wav", b"x")})
    assert (answer.status_code, "disk of the server is full" in answer.text) == (507, True)


def test_what_does_not_fit_on_the_disk_is_not_begun(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        usage = shutil.disk_usage("/")._replace(free=uploads.SPARE_BYTES + 1000)
        patch.setattr(uploads.shutil, "disk_usage", lambda _: usage)
        answer = client.post(UPLOAD, files={"files": ("a.wav", b"x" * 2000)})
        assert (answer.status_code, "disk of the server is full" in answer.text) == (507, True)


def in_chunks(size: int) -> Iterator[bytes]:
    """A body whose size nobody tells."""
    yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    for _ in range(0, size, 500_000):
        yield b"x" * 500_000
    yield b"\r\n--b--\r\n"


@pytest.mark.parametrize("told", [True, False])
def test_more_than_a_session_may_keep_is_refused(
    served: tuple[httpx.Client, Sessions],
    client: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    told: bool,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(served[1], "quota", Quota(session=5_000_000))
        patch.setattr(uploads, "LOOK_EVERY", 1_000_000)
        headers = {"content-type": "multipart/form-data; boundary=b"}
        body = b"".join(in_chunks(8_000_000)) if told else in_chunks(8_000_000)
        answer = client.post(UPLOAD, content=body, headers=headers)
    assert answer.status_code == 413
    assert answer.text.startswith("This is more than the 5 MB that may be sent here")


def test_what_all_visitors_may_keep_is_refused(
    served: tuple[httpx.Client, Sessions], client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(served[1], "quota", Quota(everybody=1_000_000))
        answer = client.post(UPLOAD, files={"files": ("a.wav", b"x" * 2_000_000)})
    assert answer.status_code == 507
    assert "as much for its visitors as it may" in answer.text


@pytest.mark.parametrize("cut", ["in the file", "before its end", "with a reset"])
def test_an_upload_that_breaks_off_leaves_nothing(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, cut: str
) -> None:
    body = b"".join(in_chunks(2_000_000))
    length = len(body) + (1000 if cut == "before its end" else 0)
    address = (client.base_url.host, client.base_url.port or 80)
    with socket.create_connection(address) as connection:
        head = (
            f"POST {UPLOAD} HTTP/1.1\r\nHost: {serve.LOOPBACK}\r\nContent-Length: {length}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        )
        connection.sendall(head.encode() + (body if cut == "before its end" else body[:1_000_000]))
        time.sleep(0.3)
        if cut == "with a reset":
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    time.sleep(0.3)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    "body",
    [
        b'--b\r\nContent-Disposition: form-data; name="other"; filename="a"\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nnever ends',
        b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n--b--\r\n',
        b"no form at all",
        b"",
    ],
)
def test_a_form_that_is_none_leaves_nothing(client: httpx.Client, body: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = client.post(UPLOAD, content=body, headers=headers)
    assert answer.status_code in (200, 400)
    assert answer.status_code == 400 or answer.json() == []
