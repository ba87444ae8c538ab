"""Machines as companies, containers and accidents leave them: the page starts, or says why not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from demos import launch, serve
from tests.support.root import ROOT

NOWHERE = "http://127.0.0.1:9"  # where nobody listens
# The program for a user without an entry, as containers run it.
NOBODY = """
import sys
try:
    import pwd
except ImportError:
    pass
else:
    def none(*_):
        raise KeyError("no entry")
    pwd.getpwuid = none
from demos.launch import program
sys.exit(program())
"""
BARE = ("HOME", "USERPROFILE", "USER", "LOGNAME", "USERNAME", "LNAME")


def start(*flags: str, **variables: str) -> subprocess.Popen[str]:
    """The program in an environment that has ``variables`` and no user."""
    kept = {name: value for name, value in os.environ.items() if name not in BARE}
    environment = kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | variables
    return subprocess.Popen(
        [sys.executable, "-c", NOBODY, "--model", "nano", *flags],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine has no {host}")
        return int(probe.getsockname()[1])


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM that a program hears there")
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_the_page_starts_where_nothing_is_as_usual(host: str, tmp_path: Path) -> None:
    uploads = tmp_path / "to" / "come"
    port = free_port(host.strip("[]"))
    process = start(
        http_proxy=NOWHERE,
        HTTPS_PROXY=NOWHERE,
        ALL_PROXY="socks5://127.0.0.1:9",
        no_proxy="10.0.0.0/8,::1/128,[::1]",
        TMPDIR=str(tmp_path / "gone"),
        GRADIO_TEMP_DIR=str(uploads),
        GRADIO_SERVER_NAME=host,
        GRADIO_SERVER_PORT=str(port),
        GRADIO_ROOT_PATH="/app",
    )
    watch = threading.Timer(90, process.kill)
    watch.start()
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Ready: http://{host}:{port}/\n"
        with httpx.Client(trust_env=False) as client:
            page = client.get(f"http://{host}:{port}/")
        assert page.status_code == 200
        assert "/app" in page.text
        assert list(uploads.glob("omni-webui-*"))
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        watch.cancel()
    assert process.returncode == 0
    assert "TMPDIR names" in errors and "no home folder" in errors
    assert "Traceback" not in errors
    assert not list(uploads.glob("omni-webui-*"))
    assert not (ROOT / "~").exists()


def nothing(*_: Any) -> None:
    raise AssertionError("this should not be reached")


@pytest.fixture
def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """The one sentence with which the program refuses, in this process."""
    monkeypatch.setattr(serve, "serve", nothing)
    monkeypatch.setattr(launch.atexit, "register", lambda close: close())

    def start(*flags: str, **variables: str) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert launch.main(list(flags)) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1, said.err
        return said.err

    return start


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("HTTPS_PROXY", "foo://127.0.0.1:9", "names a proxy that cannot be used"),
        ("SSL_CERT_FILE", "/no/such/file.pem", "SSL_CERT_FILE names /no/such/file.pem"),
        ("HF_ENDPOINT", "ftp://mirror", "names no address of a Hub"),
        ("GRADIO_SERVER_PORT", "many", "must be a whole number, not many"),
        ("GRADIO_SERVER_NAME", "192.0.2.1", "192.0.2.1"),
        ("GRADIO_TEMP_DIR", f"{__file__}/below", "which cannot be written"),
    ],
)
def test_an_environment_that_leads_nowhere_is_one_sentence(
    refused: Callable[..., str], variable: str, value: str, sentence: str
) -> None:
    assert sentence in refused(**{variable: value})


def test_it_is_said_in_the_language_of_the_page(refused: Callable[..., str]) -> None:
    assert "环境变量 HTTPS_PROXY" in refused("--lang", "zh", HTTPS_PROXY="foo://x")


def test_no_folder_for_temporary_files_is_one_sentence(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("omni.loading.places.tempfile.gettempdir", none)
    assert "TMPDIR" in refused()


def test_what_nobody_has_foreseen_is_one_sentence(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a\nb")

    monkeypatch.setattr(serve, "serve", fail)
    said = refused()
    assert "could not be started (RuntimeError: a b)" in said and "--verbose" in said


def test_the_flag_wins_over_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[serve.ServeOptions] = []

    def fake(page: Any, words: Any, options: serve.ServeOptions) -> str:
        seen.append(options)
        return ""

    monkeypatch.setattr(serve, "serve", fake)
    monkeypatch.setattr(launch, "wait", lambda: None)
    monkeypatch.setattr(launch.atexit, "register", lambda close: close())
    monkeypatch.setenv("GRADIO_SERVER_NAME", "192.0.2.1")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "1")
    port = free_port("127.0.0.1")
    assert launch.main(["--host", "127.0.0.1", "--port", str(port)]) == 0
    assert (seen[0].host, seen[0].port) == ("127.0.0.1", port)


def test_a_port_that_is_taken_meanwhile_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two programs that start at once find the same free port; one of them moves on."""
    tried: list[int | None] = []
    with socket.socket() as other:

        def fake(page: Any, words: Any, options: serve.ServeOptions) -> str:
            tried.append(options.port)
            if len(tried) == 1:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                other.bind(("127.0.0.1", options.port))
                other.listen()
                raise OSError("Cannot find empty port in range")
            return ""

        monkeypatch.setattr(serve, "serve", fake)
        monkeypatch.setattr(launch, "wait", lambda: None)
        monkeypatch.setattr(launch.atexit, "register", lambda close: close())
        assert launch.main([]) == 0
        first, second = tried
        assert first is not None and second is not None and second > first
        tried.clear()
        other.close()
    with socket.socket() as other:
        assert launch.main(["--port", str(free_port("127.0.0.1"))]) == 2
    assert "is in use by another program" in capsys.readouterr().err
