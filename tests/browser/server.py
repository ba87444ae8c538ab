"""Servers of the page in processes of their own, and the browser that visits them.

Knows: starting, waiting and ending, Chromium's switches. Does not know: pytest, the page.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.root import ROOT

START_S = 120
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]


@dataclass(frozen=True)
class Server:
    """A running app: where it is, and the lines that it prints."""

    address: str
    log: Path
    process: subprocess.Popen[bytes]

    def says(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(command: list[str], port: int, log: Path) -> Server:
    """Start a server and wait until it says that it is ready."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, stdout=file, stderr=file, env=environment
        )
    server = Server(f"http://127.0.0.1:{port}/", log, process)
    for _ in range(START_S * 10):
        if "Ready:" in server.says():
            return server
        try:
            process.wait(0.1)
            break
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    raise RuntimeError(f"the server did not start:\n{server.says()}")


def end(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(30)
    except subprocess.TimeoutExpired:
        server.process.kill()
        raise


def chromium() -> str | None:
    """The system's Chromium; None: the one that Playwright has installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")
