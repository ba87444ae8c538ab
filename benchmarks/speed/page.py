"""How long `python app.py` takes until the page is there.

Knows: starting the program, asking for the page. Does not know: models (none is loaded for it).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GIVE_UP_S = 120.0
POLL_S = 0.02


def page_ready_s() -> float:
    """Seconds from the start of the process to the first HTTP 200.

    Raises:
        RuntimeError: the program ended, or there is no page after two minutes.
    """
    start = time.perf_counter()
    with serving("nano"):
        return time.perf_counter() - start


@contextmanager
def serving(model: str) -> Iterator[str]:
    """A running `python app.py` from its first HTTP 200 on; gives its address.

    Raises:
        RuntimeError: the program ended, or there is no page after two minutes.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(ROOT / "app.py"), "--model", model, "--port", str(port)]
    address = f"http://127.0.0.1:{port}/"
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ)
    ) as process:
        try:
            _wait(process, address)
            yield address
        finally:
            process.terminate()
            process.wait(30)


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.perf_counter() + GIVE_UP_S
    while time.perf_counter() < deadline:
        if process.poll() is not None:
            assert process.stderr is not None
            raise RuntimeError(f"app.py ended: {process.stderr.read().decode()[-500:]}")
        if _answers(address):
            return
        time.sleep(POLL_S)
    raise RuntimeError(f"no page after {GIVE_UP_S:.0f} s")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=GIVE_UP_S) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError):
        return False
