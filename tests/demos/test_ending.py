"""Processes with the embedded model that are told to end in the middle of a spoken turn."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client

from tests.browser.server import START_S, free_port, start
from tests.support.root import ROOT

ABORT = "terminate called"
END_S = 20
SOUND = 50_000  # bytes of an answer that has begun
SIGNALS = [(signal.SIGTERM, 0), (signal.SIGINT, 130)]
STORY = "The red ball is on the blue cube. A small dog runs to the green tree. " * 12


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Processes that we start hear Ctrl+C, also where whoever started the tests made us deaf."""
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, ours)


@pytest.mark.parametrize(("sent", "code"), SIGNALS)
def test_the_page_ends_in_the_middle_of_turns(tmp_path: Path, sent: int, code: int) -> None:
    port = free_port()
    server = start(["app.py", "--model", "nano", "--port", str(port)], port, tmp_path / "log")
    try:
        clients = [Client(server.address, verbose=False) for _ in range(3)]
        clients[0].predict(text="Hello!", api_name="/chat")  # the model is loaded then
        for client in clients:
            client.submit(text=STORY, api_name="/read_aloud")
        time.sleep(1)
        server.process.send_signal(sent)
        assert server.process.wait(END_S) == code, server.says()
    finally:
        server.process.kill()
    assert ABORT not in server.says()
    assert "Traceback" not in server.says()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_command_line_ends_in_the_middle_of_a_turn(
    tmp_path: Path, sent: int, code: int
) -> None:
    answer = tmp_path / "answer.wav"
    command = [sys.executable, "-m", "omni", "tts", STORY, "--model", "nano"]
    process = subprocess.Popen(
        [*command, "--out", str(answer)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + START_S
    while not (answer.exists() and answer.stat().st_size > SOUND):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(sent)
    _, said = process.communicate(timeout=END_S)
    assert process.returncode == code, said.decode()
    assert ABORT not in said.decode() and "Traceback" not in said.decode()
