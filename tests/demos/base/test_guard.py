"""Requests of other sites, names that are not ours, passwords that are guessed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from demos.base.guard import Hosts, NoTraces, SameOrigin, SlowGuesses, host_of, names, own_names

LOCAL, NETWORK = Hosts(local=True), Hosts(local=False, names=names(["Omni.Example", " "]))


async def fine(request: Request) -> Response:
    return Response("fine")


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


def served(hosts: Hosts, address: str) -> TestClient:
    app = Starlette(
        routes=[Route("/x", fine, methods=["GET", "POST"]), WebSocketRoute("/live", talk)],
        middleware=[Middleware(SameOrigin, hosts=hosts)],
    )
    return TestClient(app, base_url=f"http://{address}")


@pytest.mark.parametrize(
    "host", ["localhost:7860", "127.0.0.1:7860", "[::1]:7860", "LOCALHOST", "a.localhost:7860"]
)
def test_names_of_this_machine(host: str) -> None:
    assert served(LOCAL, host).get("/x").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example:7860", "192.168.1.5:7860", "127.0.0.1.evil.example"]
)
def test_on_loopback_no_other_name_is_answered(host: str) -> None:
    answer = served(LOCAL, host).post("/x")
    assert answer.status_code == 403
    assert host_of(host) in answer.text


@pytest.mark.parametrize(
    "host", ["192.168.1.5:7860", "[fe80::1]:7860", "omni.example", "localhost"]
)
def test_on_a_network_addresses_and_given_names_are_answered(host: str) -> None:
    assert served(NETWORK, host).get("/x").status_code == 200
    assert served(NETWORK, "evil.example").get("/x").status_code == 403
    assert served(NETWORK, next(iter(own_names()))).get("/x").status_code == 200
    assert served(Hosts(False, names(["*"])), "any.example").get("/x").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # a script
        ({"origin": "http://localhost:7860"}, 200),
        ({"origin": "http://localhost:9999"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:7860.evil.example"}, 403),
        ({"origin": "https://p.example", "x-forwarded-host": "p.example"}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "https://proxied.example"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site", "origin": "http://localhost:7860"}, 403),
        (
            {
                "sec-fetch-site": "cross-site",
                "sec-fetch-mode": "navigate",
                "sec-fetch-dest": "document",
            },
            200,
        ),  # a link
        (
            {
                "sec-fetch-site": "cross-site",
                "sec-fetch-mode": "navigate",
                "sec-fetch-dest": "document",
                "origin": "https://evil.example",
            },
            403,
        ),  # a form that is sent
    ],
)
def test_other_sites_in_the_browser_are_refused(headers: dict[str, str], status: int) -> None:
    client = served(LOCAL, "localhost:7860")
    assert client.get("/x", headers=headers).status_code == status
    assert client.post("/x", headers=headers).status_code == status


def test_a_socket_of_another_site_is_refused() -> None:
    client = served(LOCAL, "localhost:7860")
    with client.websocket_connect(
        "ws://localhost:7860/live", headers={"origin": "http://localhost:7860"}
    ):
        pass
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect(
            "ws://localhost:7860/live", headers={"origin": "https://evil.example"}
        ),
    ):
        pass


def test_guessing_passwords_gets_slow_and_is_logged() -> None:
    now, lines = [0.0], []

    async def login(request: Request) -> Response:
        form: Any = await request.body()
        return Response(status_code=200 if form == b"right" else 400)

    app: Any = Starlette(routes=[Route("/login", login, methods=["POST"])])
    slow = SlowGuesses(app, free=3, longest_s=60.0, log=lines.append, clock=lambda: now[0])
    client = TestClient(slow)
    statuses = [client.post("/login", content=b"wrong").status_code for _ in range(6)]
    assert statuses == [400, 400, 400, 400, 429, 429]
    assert len(lines) == 4
    assert "from testclient" in lines[-1]
    assert client.post("/login", content=b"right").status_code == 429  # nobody tells which it was
    tried = 0
    while now[0] < 3600:
        now[0] += 1
        tried += client.post("/login", content=b"wrong").status_code == 400
    assert tried <= 3600 / 60 + 6
    now[0] += 61
    assert client.post("/login", content=b"right").status_code == 200
    assert client.post("/login", content=b"wrong").status_code == 400
    assert client.post("/login", content=b"wrong").status_code == 400


def test_the_table_of_guesses_stays_small() -> None:
    now = [0.0]
    slow = SlowGuesses(Starlette(), longest_s=60.0, clock=lambda: now[0])
    for number in range(500):
        now[0] += 1
        slow.came(f"10.0.0.{number}", right=False)
    assert len(slow._wrong) <= 62


def test_a_websocket_is_known_by_its_origin() -> None:
    door = SameOrigin(fine, LOCAL)  # type: ignore[arg-type]
    asked = {"host": "localhost:7860", "sec-websocket-key": "x", "sec-fetch-site": "cross-site"}
    assert door.refusal(Headers(asked | {"origin": "http://localhost:7860"})) is None
    assert door.refusal(Headers(asked | {"origin": "http://evil.example"}))


def test_a_refusal_in_the_middle_of_an_answer_ends_it_without_a_trace() -> None:
    def half() -> Iterator[str]:
        yield "half"
        raise HTTPException(404)

    async def broken(request: Request) -> Response:
        return StreamingResponse(half())

    told: list[str] = []
    app = Starlette(routes=[Route("/x", broken)])
    with TestClient(NoTraces(app, told.append)) as client:
        assert client.get("/x").text == "half"
    assert told == ["a request that no page sends: /x"]


def test_a_fault_of_ours_keeps_its_trace() -> None:
    async def broken(request: Request) -> Response:
        raise KeyError("ours")

    app = Starlette(routes=[Route("/x", broken)])
    with TestClient(NoTraces(app, print)) as client, pytest.raises(KeyError):
        client.get("/x")
