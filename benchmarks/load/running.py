"""The app in a process of its own, with the embedded model; a visitor of it by bare HTTP.

Knows: starting and ending it, Gradio's routes, what the process holds. Does not know: cases.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import psutil
from gradio_client import Client

API = "/gradio_api"
GREETING, GREETED = "Hello!", "Hello! Nice to meet you."  # what nano answers
HEAD = {"content-type": "application/json"}
MEGABYTE = 1_000_000
ROOT = Path(__file__).resolve().parents[2]
START_S, END_S = 120.0, 30.0
FREED_S = 1.0  # from the end of a session's files to that of its memory
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not needed here, and slow to make for each


@dataclass(frozen=True)
class Held:
    """What the process holds."""

    memory: int  # bytes of it that are in memory
    files: int  # open ones, and connections
    threads: int
    kept: int  # files on the disk that visitors gave or got


@dataclass(frozen=True)
class Answer:
    """How an event ended. ``error``: its sentence; None: it went well, with ``data``."""

    error: str | None
    data: list[Any] = field(default_factory=list)
    said: tuple[str, ...] = ()  # sentences that the page shows meanwhile

    @property
    def sentences(self) -> str:
        """All that a person reads."""
        return " ".join([self.error or "", *self.said])


@dataclass
class App:
    """A running app."""

    address: str
    log: Path  # what it prints
    root: Path  # where it keeps what visitors give
    process: psutil.Process
    read: int = 0  # characters of its log

    def new_lines(self) -> str:
        """What its log says since this was asked last."""
        log = self.log.read_text(encoding="utf-8", errors="replace")
        new, self.read = log[self.read :], len(log)
        return new

    def held(self) -> Held:
        """What the process holds now."""
        with self.process.oneshot():
            memory = self.process.memory_info().rss
            files, threads = self.process.num_fds(), self.process.num_threads()
        kept = sum(len(names) for _, _, names in os.walk(self.root))
        return Held(memory, files, threads, kept)

    def forget_peak(self) -> None:
        """Begin to measure the most memory anew."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak(self) -> int:
        """The most memory, in bytes, since :meth:`forget_peak`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def visitor(self, beats: bool = True, **headers: str) -> Visitor:
        """A new session, see :class:`Visitor`."""
        return Visitor(self, headers, beats)

    def client(self) -> Client:
        """A script as most people write one."""
        return Client(self.address, verbose=False)

    def greets(self) -> str:
        """The answer to a good request of somebody new."""
        with self.visitor() as visitor:
            answer = visitor.call("chat", text=GREETING, speech=False, seed=1)
        return answer.error or str(answer.data[0])

    def settled(self, within_s: float = 40.0) -> Held:
        """What it holds once whoever left is forgotten, or after ``within_s``."""
        due = time.monotonic() + within_s
        while self.held().kept and time.monotonic() < due:
            time.sleep(0.2)
        time.sleep(FREED_S)
        return self.held()


@contextmanager
def running(folder: Path, *flags: str, program: Sequence[str] = ("app.py",)) -> Iterator[App]:
    """The app with nano, which is loaded already.

    Args:
        folder: for its log, and as its home.
        flags: of the app.
        program: what Python runs; it takes the app's flags.

    Raises:
        RuntimeError: it did not start, or does not greet; with what it said.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log, uploads = folder / "log", folder / "uploads"
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder / "data")}  # of saved voices
    environment = os.environ | home | {"GRADIO_TEMP_DIR": str(uploads), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, *program, "--model", "nano", "--port", str(port), "--lang", "en"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, *flags], cwd=ROOT, stdout=file, stderr=file, env=environment
        )
    app = App(f"http://127.0.0.1:{port}/", log, uploads, psutil.Process(process.pid))
    try:
        due = time.monotonic() + START_S
        while "Ready:" not in (said := app.new_lines()):
            if process.poll() is not None or time.monotonic() > due:
                raise RuntimeError(f"the app did not start: {said}")
            time.sleep(0.1)
            app.read = 0
        if (greeted := app.greets()) != GREETED:
            raise RuntimeError(f"the app answers {greeted!r}")
        app.new_lines()
        yield app
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()


class Visitor:
    """One session: uploads, events, and a heartbeat whose end tells that the visitor left."""

    def __init__(self, app: App, headers: dict[str, str], beats: bool = True) -> None:
        """Args:
        headers: of every request.
        beats: whether there is a heartbeat; without one nobody hears that the visitor left.
        """
        self.app = app
        self.session = secrets.token_hex(6)
        self.http = httpx.Client(base_url=app.address, headers=headers, timeout=100, verify=PLAIN)
        self._names: dict[int, str] = {}
        self._beats: AbstractContextManager[httpx.Response] | None = None
        if beats:
            self._beats = self.http.stream("GET", f"{API}/heartbeat/{self.session}")
            self._beats.__enter__()

    def __enter__(self) -> Visitor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Close the page."""
        if self._beats is not None:
            with suppress(httpx.HTTPError):
                self._beats.__exit__(None, None, None)
        self.http.close()

    def upload(self, path: Path, name: str | None = None) -> dict[str, Any]:
        """The file, as events take it; ``name``: what it is called, if not as it is."""
        with path.open("rb") as opened:
            sent = self.http.post(f"{API}/upload", files={"files": (name or path.name, opened)})
        sent.raise_for_status()
        meta = {"_type": "gradio.FileData"}
        return {"path": sent.json()[0], "orig_name": name or path.name, "meta": meta}

    def call(self, name: str, **values: Any) -> Answer:
        """An event by its name; ``values`` by the label or the element of its inputs."""
        event = self.event(name)
        names = [self._name(number) for number in event["inputs"]]
        shown = {one["id"]: one["props"].get("value") for one in self.config["components"]}
        unknown = set(values) - set(names)
        if unknown:
            raise ValueError(f"{name} has no {unknown}, but {names}")
        data = [
            values.get(name, shown[number])
            for name, number in zip(names, event["inputs"], strict=True)
        ]
        return self.send(event["id"], data)

    def send(self, number: int, data: Sequence[Any], event: Any = None) -> Answer:
        """An event by its number, with any data."""
        asked = {"fn_index": number, "data": data, "session_hash": self.session}
        return self.post(json.dumps(asked | {"event_data": event}))

    def post(self, content: str | bytes) -> Answer:
        """A request for an event as it is; waits for its end."""
        joined = self.http.post(f"{API}/queue/join", content=content, headers=HEAD)
        if joined.status_code != 200:
            return Answer(joined.text)
        wanted, said = joined.json()["event_id"], []
        address = f"{API}/queue/data?session_hash={self.session}"
        with self.http.stream("GET", address) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("msg") == "log":
                    said.append(message["log"])
                if message.get("msg") == "process_completed" and message["event_id"] == wanted:
                    output = message["output"]
                    if message["success"]:
                        return Answer(None, output["data"], tuple(said))
                    return Answer(output["error"] or "", [], tuple(said))
        return Answer("the stream ended", [], tuple(said))

    def event(self, name: str) -> dict[str, Any]:
        """What the page knows of an event."""
        found: dict[str, Any] = next(
            one for one in self.config["dependencies"] if one["api_name"] == name
        )
        return found

    def outputs(self, name: str, answer: Answer) -> dict[str, Any]:
        """The values of an answer by the element or label of its outputs."""
        names = [self._name(number) for number in self.event(name)["outputs"]]
        return dict(zip(names, answer.data, strict=False))

    @property
    def events(self) -> list[dict[str, Any]]:
        """All that the server does for the page."""
        return [one for one in self.config["dependencies"] if one["backend_fn"]]

    def _name(self, number: int) -> str:
        if not self._names:
            for one in self.config["components"]:
                label = one["props"].get("label")
                known = label if isinstance(label, str) and not label.startswith("__") else ""
                self._names[one["id"]] = one["props"].get("elem_id") or known or str(one["id"])
        return self._names[number]

    @property
    def config(self) -> dict[str, Any]:
        """What the page is made of."""
        return config(self.app.address)


_configs: dict[str, dict[str, Any]] = {}


def config(address: str) -> dict[str, Any]:
    """What the page is made of; asked for once."""
    if address not in _configs:
        _configs[address] = httpx.get(f"{address}config", timeout=60).json()
    return _configs[address]
