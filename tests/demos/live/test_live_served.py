"""Live through a running server: behind proxies, and while another turn of the tab runs.

A browser's page is played by requests: Gradio's event for the ticket, then the WebSocket.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from demos import serve
from demos.base.languages import Words
from demos.build import build
from demos.live.panel import READY
from demos.live.route import MAX_LIVE, PROTOCOL
from demos.turns.sessions import Sessions
from tests.browser.proxy import Hosts, Proxy
from tests.browser.server import Server
from tests.support.fake_engine import FakeEngine

NAME = "omni.example"  # of the proxy
WORDS = Words()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app in this process."""
    folder = tmp_path_factory.mktemp("served")
    sessions = Sessions(folder / "root", grace_s=1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(sessions.root))
        patch.delenv("SPACE_ID", raising=False)
        page = build(FakeEngine(), sessions, WORDS)  # type: ignore[arg-type]
        port = serve.free_port(serve.LOOPBACK, None)
        address = serve.serve(page, WORDS, serve.ServeOptions(port=port, allow_hosts=(NAME,)))
        yield Server(address, Path(), None)  # type: ignore[arg-type]
        page.close()
        sessions.close()


class Page:
    """What a browser asks of the server that it reaches at ``port`` under ``name``."""

    def __init__(self, port: int, name: str = serve.LOOPBACK) -> None:
        self.port, self.host = port, f"{name}:{port}"
        self.origin = f"http://{self.host}"
        headers = {"host": self.host, "origin": self.origin}
        address = f"http://{serve.LOOPBACK}:{port}"
        self.client = httpx.Client(base_url=address, headers=headers, timeout=20)
        self.config = self.client.get("/config").json()
        self.session = secrets.token_hex(6)

    def trigger(self, name: str, **values: Any) -> str:
        """Begin the event called ``name``; ``values`` by their inputs' elem_id, else the shown."""
        event = next(one for one in self.config["dependencies"] if one["api_name"] == name)
        shown = {one["id"]: one["props"] for one in self.config["components"]}
        inputs = [shown[number] for number in event["inputs"]]
        data = [values.get(props.get("elem_id") or "", props.get("value")) for props in inputs]
        asked = {"fn_index": event["id"], "data": data, "session_hash": self.session}
        return str(self.client.post("/gradio_api/queue/join", json=asked).json()["event_id"])

    def start(self) -> str:
        """Press Start: microphone and sound are open."""
        return self.trigger("audio_live", **{"audio-live-wish": READY})

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the server tells of the session's events."""
        address = f"/gradio_api/queue/data?session_hash={self.session}"
        with self.client.stream("GET", address) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def ticket(self) -> str:
        """Press Start and get the ticket of the connection."""
        live = self.start()
        self.listening = self.messages()  # kept open: a page that stops listening has left
        for message in self.listening:
            if message.get("event_id") == live and message["msg"] == "process_generating":
                return str(json.loads(message["output"]["data"][-1])["ticket"])
        raise AssertionError("the event ended")

    def connect(self, ticket: str, origin: str | None = None) -> ClientConnection:
        """The connection, asked for by a page of ``origin`` (None: this one)."""
        return connect(
            f"ws://{self.host}/live",
            sock=socket.create_connection((serve.LOOPBACK, self.port)),
            origin=origin or self.origin,  # type: ignore[arg-type]
            subprotocols=[PROTOCOL, ticket],  # type: ignore[list-item]
        )


@pytest.mark.parametrize("hosts", ["kept", "forwarded"])
def test_a_proxy_under_another_name_is_passed(server: Server, hosts: Hosts) -> None:
    proxy = Proxy(server, hosts)
    try:
        page = Page(proxy.port, NAME)
        with page.connect(page.ticket()) as line:
            line.send(json.dumps({"type": "hello", "rate": 16_000}))
            line.send(json.dumps({"type": "end", "reason": "stopped"}))
            while (message := json.loads(line.recv(20)))["type"] != "bye":
                pass
            assert message["reason"] == "stopped"
        other = Page(proxy.port, NAME)  # the end of the first one's event may still be on its way
        ticket = other.ticket()
        with pytest.raises(InvalidStatus):
            other.connect(ticket, "http://other.example")
    finally:
        proxy.close()


def test_start_while_a_typed_turn_runs_is_refused_at_once(server: Server) -> None:
    page = Page(int(server.address.rstrip("/").rsplit(":", 1)[1]))
    turn = page.trigger("audio_turn", **{"audio-text": "slow long"})  # 9 s
    begun, live, said = 0.0, "", []
    for message in page.messages():
        about = message.get("event_id")
        if about == turn and message["msg"] == "process_generating" and not live:
            begun, live = time.monotonic(), page.start()
        if about == turn:
            assert message["msg"] != "process_completed", "the refusal waited for the turn"
        elif message["msg"] == "log":
            said.append(message["log"])
        elif about == live and message["msg"] == "process_completed":
            break
    assert said == [WORDS.say("en", "live-busy")]
    assert time.monotonic() - begun < 5
    page.trigger("audio_stop")


def answer_to_start(page: Page) -> str:
    """Press Start; the sentence that refuses, "" for a page that has a ticket (and keeps it)."""
    start = page.start()
    page.listening = page.messages()
    said = ""
    for message in page.listening:
        if message["msg"] == "log":
            said = message["log"]
        elif message.get("event_id") != start:
            continue
        elif message["msg"] == "process_completed":
            break
        elif message["msg"] == "process_generating":
            told = message["output"]["data"][-1]
            if isinstance(told, str) and "ticket" in json.loads(told):
                return ""
            assert not isinstance(told, str) or json.loads(told)["refused"] == said
    return said


def test_who_comes_when_all_places_are_taken_hears_so_at_once(server: Server) -> None:
    port = int(server.address.rstrip("/").rsplit(":", 1)[1])
    pages, said = [], ""
    while not said and len(pages) <= MAX_LIVE:  # tests before may still hold some
        begun = time.monotonic()
        pages.append(Page(port))
        said = answer_to_start(pages[-1])
    assert said == WORDS.say("en", "live-full", count=MAX_LIVE)
    assert time.monotonic() - begun < 5
