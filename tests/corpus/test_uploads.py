"""Uploads and routes as no page sends them: names, broken forms, files of the server."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from benchmarks.load.running import API, App, Visitor
from tests.corpus.outcomes import says
from tests.corpus.sounds import SAID, wav

NAMES = {
    "chinese": "你好 世界.wav",
    "emoji": "👩‍👩‍👧.wav",
    "accents": "café ñandú.wav",
    "long": "a" * 300 + ".wav",
    "up": "../../../../tmp/up.wav",
    "absolute": "/etc/passwd",
    "windows": "C:\\Users\\a\\b.wav",
    "device": "CON.wav",
    "hidden": ".wav",
    "dots": "...",
    "spaces": "   .wav",
    "percent": "%2e%2e%2f%00.wav",
    "quotes": "a'b`c$(id).wav",
    "html": "<img src=x onerror=alert(1)>.wav",
    "backwards": "\u202evaw.exe",
    "newline": "a\nb.wav",
    "none": "recording",
}
FORM = "multipart/form-data; boundary=cut"
PART = b'--cut\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n'


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_file_of_any_name_is_heard(visitor: Visitor, tmp_path: Path, name: str) -> None:
    path = tmp_path / "plain.wav"
    path.write_bytes(wav())
    file = visitor.upload(path, name)
    assert visitor.app.root in Path(file["path"]).parents
    answer = visitor.call("transcribe", audio=file)
    assert answer.error is None
    assert answer.data[0] == SAID


@pytest.mark.parametrize(
    "name", [b"caf\xe9.wav", b"\xc4\xe3\xba\xc3.wav", b"a\x00b.wav", b"\xff.wav"]
)
def test_a_name_of_another_code_page(visitor: Visitor, name: bytes) -> None:
    body = PART % name + wav() + b"\r\n--cut--\r\n"
    sent = visitor.http.post(f"{API}/upload", content=body, headers={"content-type": FORM})
    if sent.status_code != 200:  # a null is no name
        assert 400 <= sent.status_code < 500 and b"\0" in name
        return
    file = {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}
    answer = visitor.call("transcribe", audio=file)
    assert answer.data and answer.data[0] == SAID


def test_a_form_that_is_none(visitor: Visitor) -> None:
    """No boundary, no file, a part without its end, no part at all, another method."""
    forms = [
        (FORM, b""),
        (FORM, b"--cut--\r\n"),
        (FORM, PART % b"a.wav"),
        (FORM, b"--cut\r\n\r\n\r\n--cut--\r\n"),
        (FORM, b'--cut\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--cut--\r\n'),
        ("multipart/form-data", PART % b"a.wav" + b"\r\n--cut--"),
        ("application/json", b"{}"),
        ("text/plain", b"a"),
    ]
    for kind, body in forms:
        sent = visitor.http.post(f"{API}/upload", content=body, headers={"content-type": kind})
        assert sent.status_code < 500 and "Traceback" not in sent.text, (kind, body, sent.text)
    assert visitor.http.get(f"{API}/upload").status_code in (404, 405)


@pytest.mark.parametrize(
    "path",
    [
        "file=/etc/passwd",
        "file=../../../etc/passwd",
        "file=%2e%2e/%2e%2e/etc/passwd",
        "file=//etc/passwd",
        "file=file:///etc/passwd",
        "file=app.py",
        "file=\\\\host\\share",
        "file=a%00b",
        "file=" + "x" * 5000,
        "file=",
        "proxy=http://127.0.0.1:9/a",
        "stream/a/b/c/playlist.m3u8",
        "queue/data",
        "queue/data?session_hash=nobody",
        "heartbeat/",
        "call/chat/nothing",
        "component_server",
        "reset",
        "nothing",
    ],
)
def test_a_route_gives_nothing_that_is_not_the_visitors(visitor: Visitor, path: str) -> None:
    for method in ("GET", "HEAD"):
        with visitor.http.stream(method, f"{API}/{path}") as got:
            assert got.status_code != 500
            said = next(got.iter_text(), "") if got.status_code != 200 else ""
            assert "root:" not in said and "Traceback" not in said
            if got.status_code == 200:
                assert path.startswith(("queue", "heartbeat", "call")), "a file of the server"


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"host": "evil.example"}])
def test_another_site_is_refused(unharmed: App, headers: dict[str, str]) -> None:
    with httpx.Client(base_url=unharmed.address, headers=headers) as client:
        for path in (f"{API}/upload", f"{API}/queue/join", f"{API}/run/chat"):
            assert client.post(path, json={}).status_code == 403


def test_an_upload_that_breaks_off(visitor: Visitor) -> None:
    def half() -> object:
        yield PART % b"a.wav"
        yield bytes(100_000)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        visitor.http.post(
            f"{API}/upload",
            content=half(),  # type: ignore[arg-type]
            headers={"content-type": FORM},
        )
    assert visitor.call("model").error is None


def test_what_was_uploaded_is_gone_when_it_is_asked_for(visitor: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav())
    file = visitor.upload(path)
    Path(file["path"]).unlink()
    answer = visitor.call("transcribe", audio=file)
    assert says(answer.error, "upload-gone", "value-unusable"), answer
