"""Live's connection as no page uses it: wrong tickets, broken messages, floods."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from benchmarks.load.running import API, App, Visitor
from demos.live.panel import READY
from demos.live.route import PROTOCOL
from tests.corpus.pictures import saved
from tests.support.odd_files import flat_png, jpeg

RATE = 16_000
SOUND, FRAME = b"\1", b"\2"
QUIET = SOUND + bytes(RATE // 10)  # 50 ms
HELLO = json.dumps({"type": "hello", "rate": RATE})
END = json.dumps({"type": "end", "reason": "stopped"})
END_S = 15.0


class Talk:
    """A Live session of a tab."""

    def __init__(self, visitor: Visitor, tab: str) -> None:
        self.visitor = visitor
        visitor.http.headers["origin"] = visitor.app.address.rstrip("/")
        event = visitor.event(f"{tab}_live")
        shown = {one["id"]: one["props"] for one in visitor.config["components"]}
        inputs = [shown[number] for number in event["inputs"]]
        data = [
            READY if props.get("elem_id") == f"{tab}-live-wish" else props.get("value")
            for props in inputs
        ]
        asked = {"fn_index": event["id"], "data": data, "session_hash": visitor.session}
        self.event = visitor.http.post(f"{API}/queue/join", json=asked).json()["event_id"]
        self._messages = self._listen()
        self.ticket = next(
            json.loads(message["output"]["data"][-1])["ticket"]
            for message in self._messages
            if message["msg"] == "process_generating"
        )

    def _listen(self) -> Iterator[dict[str, Any]]:
        address = f"{API}/queue/data?session_hash={self.visitor.session}"
        with self.visitor.http.stream("GET", address) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("event_id") == self.event:
                    yield message
                if message.get("msg") == "process_completed":
                    return

    def over(self) -> dict[str, Any]:
        """What the page is told in the end."""
        *_, last = self._messages
        assert last["msg"] == "process_completed" and last["success"]
        return last

    def connect(self, ticket: str | None = None, **more: Any) -> ClientConnection:
        """The connection, with a ``ticket`` that may be another one."""
        port = int(self.visitor.app.address.rstrip("/").rsplit(":", 1)[1])
        host = f"127.0.0.1:{port}"
        wanted = {"origin": f"http://{host}", "subprotocols": [PROTOCOL, ticket or self.ticket]}
        return connect(
            f"ws://{host}/live",
            sock=socket.create_connection(("127.0.0.1", port)),
            max_size=None,
            **(wanted | more),
        )


def farewell(line: ClientConnection) -> str:
    """Why the server ends it: the reason of its goodbye."""
    due = time.monotonic() + END_S
    try:
        while time.monotonic() < due:
            message = line.recv(END_S)
            if isinstance(message, str) and json.loads(message)["type"] == "bye":
                return str(json.loads(message)["reason"])
    except ConnectionClosed:
        return "closed"
    raise AssertionError("it goes on")


def deep() -> str:
    return '{"type": ' + "[" * 100_000


ODD: dict[str, tuple[list[bytes | str], tuple[str, ...]]] = {
    "no-json": (["hello"], ("failed",)),
    "half-json": (['{"type": '], ("failed",)),
    "deep-json": ([deep()], ("failed",)),
    "list": (["[]"], ("failed",)),
    "null": (["null"], ("failed",)),
    "no-type": (["{}"], ("failed",)),
    "unknown-type": (['{"type": "shell", "run": "id"}'], ("failed",)),
    "rate-0": (['{"type": "hello", "rate": 0}'], ("failed",)),
    "rate-most": (['{"type": "hello", "rate": 1e99}'], ("failed",)),
    "rate-is-null": (['{"type": "hello", "rate": null}'], ("failed",)),
    "rate-is-nan": (['{"type": "hello", "rate": NaN}'], ("failed",)),
    "no-kind": ([HELLO, b""], ("failed",)),
    "unknown-kind": ([HELLO, b"\7abc"], ("failed",)),
    "odd-bytes": ([HELLO, SOUND + b"abc"], ("failed",)),
    "megabytes": ([HELLO, SOUND + bytes(2 << 20)], ("failed", "closed")),
    "long-text": ([HELLO, " " * (2 << 20)], ("failed", "closed")),
    "played-what-never-came": (
        [HELLO, '{"type": "played", "answer": 99, "samples": -5}', END],
        ("stopped",),
    ),
    "flushed-what-never-came": (
        [HELLO, '{"type": "flushed", "answer": -1, "samples": 1e18}', END],
        ("stopped",),
    ),
    "two-greetings": ([HELLO, HELLO.replace("16000", "48000"), END], ("stopped",)),
    "no-greeting": ([QUIET] * 20 + [END], ("stopped",)),
    "pings": (['{"type": "ping"}'] * 50 + [END], ("stopped",)),
    "unknown-end": ([HELLO, '{"type": "end", "reason": {"a": 1}}'], ("stopped",)),
    "end-at-once": ([END, END, END], ("stopped",)),
    "flood": ([HELLO, *[SOUND + bytes(600_000)] * 40], ("flooded", "closed")),
}


@pytest.mark.parametrize("name", ODD)
def test_a_message_ends_it_with_a_word_or_does_nothing(visitor: Visitor, name: str) -> None:
    messages, right = ODD[name]
    talk = Talk(visitor, "audio")
    with talk.connect() as line:
        try:
            for message in messages:
                line.send(message)
        except ConnectionClosed:
            assert "closed" in right or name == "end-at-once"
        assert farewell(line) in right
    talk.over()


PICTURES: dict[str, Callable[[], bytes]] = {
    "words": lambda: b"no picture",
    "nothing": lambda: b"",
    "png": lambda: flat_png(64, 64),
    "bomb": lambda: saved("JPEG", Pillow.new("L", (4000, 4000))),
    "large": lambda: bytes(900_000),
    "half": lambda: jpeg()[:2000],
}


@pytest.mark.parametrize("tab", ["audio", "video"])
@pytest.mark.parametrize("name", PICTURES)
def test_a_camera_that_sends_something_else(visitor: Visitor, tab: str, name: str) -> None:
    talk = Talk(visitor, tab)
    with talk.connect() as line:
        line.send(HELLO)
        picture = PICTURES[name]()
        for _ in range(40):
            line.send(FRAME + picture)
            line.send(QUIET)
        line.send(END)
        assert farewell(line) == "stopped"
    talk.over()


def test_a_ticket_opens_one_connection(visitor: Visitor) -> None:
    talk = Talk(visitor, "audio")
    wrong: list[dict[str, Any]] = [
        {"ticket": "nothing"},
        {"origin": "http://evil.example"},
        {"subprotocols": None},
        {"subprotocols": [PROTOCOL]},
        {"subprotocols": ["other", talk.ticket]},
    ]
    for one in wrong:
        with pytest.raises(InvalidStatus):
            talk.connect(**one)
    with talk.connect() as line:
        with pytest.raises(InvalidStatus):
            talk.connect()
        line.send(END)
        assert farewell(line) == "stopped"
    talk.over()


def test_a_page_that_is_gone(visitor: Visitor) -> None:
    talk = Talk(visitor, "audio")
    line = talk.connect()
    line.send(HELLO)
    line.socket.close()
    talk.over()


def test_speech_is_answered_after_all_that(unharmed: App) -> None:
    """Somebody asks for the capital of France, and hears the answer."""
    import soundfile

    from tests.support.root import ROOT

    asked, rate = soundfile.read(Path(ROOT, "examples", "capital_en.flac"), dtype="int16")
    sound = np.concatenate([asked, np.zeros(4 * rate, np.int16)])
    with unharmed.visitor() as visitor:
        talk = Talk(visitor, "audio")
        with talk.connect() as line:
            line.send(json.dumps({"type": "hello", "rate": rate}))
            threading.Thread(target=speak, args=(line, sound, rate), daemon=True).start()
            while not isinstance(message := line.recv(END_S), bytes):
                assert json.loads(message)["type"] != "bye"
            line.send(END)
            assert farewell(line) == "stopped"
        talk.over()


def speak(line: ClientConnection, sound: np.ndarray, rate: int) -> None:
    """Send sound as a microphone does."""
    step = rate // 20
    try:
        for start in range(0, len(sound), step):
            line.send(SOUND + sound[start : start + step].astype("<i2").tobytes())
            time.sleep(0.05)
    except ConnectionClosed:
        pass
