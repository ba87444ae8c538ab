"""The live connection: a WebSocket beside Gradio's routes.

Knows: who may connect, the connection's life. Does not know: what the messages do
(demos.live.session).

A ticket (demos.base.tickets) opens one connection, for a short time. It travels as a subprotocol
and so stands in no log of addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from demos.base.tickets import TicketDesk
from demos.live import wire
from demos.live.session import Live

PATH = "/live"
MAX_LIVE = 16  # sessions at once
MAX_LIVE_EACH = 8  # of them from one address, where addresses tell people apart
PROTOCOL = "omni-live"
TICKET_LIFETIME_S = 20.0
GOODBYE_S = 5.0  # for a session to end and say why
POLICY_VIOLATION = 1008  # WebSocket close code


class LiveDesk:
    """The live sessions and the tickets to their connections."""

    def __init__(self) -> None:
        self._tickets: TicketDesk[Live] = TicketDesk()
        self._lock = threading.Lock()
        self._taken: list[str | None] = []  # from where, for each session

    @contextlib.contextmanager
    def seat(self, address: str | None = None) -> Iterator[bool]:
        """A place for one session while it lasts; False: all are taken, or all of an address."""
        with self._lock:
            own = self._taken.count(address) if address is not None else 0
            free = len(self._taken) < MAX_LIVE and own < MAX_LIVE_EACH
            if free:
                self._taken.append(address)
        try:
            yield free
        finally:
            if free:
                with self._lock:
                    self._taken.remove(address)

    def ticket(self, live: Live, origin: str | None = None) -> str:
        """A new ticket for the connection of ``live``; ``origin``: of the page that gets it."""
        return self._tickets.issue(live, origin, TICKET_LIFETIME_S)

    def waiting(self, ticket: str) -> bool:
        """Whether nobody has connected with the ticket yet, and may still."""
        return self._tickets.waiting(ticket)

    def claim(self, ticket: str, origin: str | None = None) -> Live | None:
        """The session of a ticket, which is used up; None for one that is not valid.

        ``origin``: as the connection names it; None: no browser's, for those always do.
        """
        return self._tickets.claim(ticket, origin)

    def over(self, ticket: str) -> None:
        """The session of the ticket is over."""
        self._tickets.over(ticket)

    def route(self) -> WebSocketRoute:
        """To be served at :data:`PATH`."""
        return WebSocketRoute(PATH, self._serve)

    async def _serve(self, socket: WebSocket) -> None:
        offered = socket.scope.get("subprotocols") or []
        known = len(offered) == 2 and offered[0] == PROTOCOL
        live = self.claim(offered[1], socket.headers.get("origin")) if known else None
        if live is None:
            await socket.close(POLICY_VIOLATION)
            return
        await socket.accept(subprotocol=PROTOCOL)
        await _talk(socket, live)


async def _talk(socket: WebSocket, live: Live) -> None:
    """Carry messages both ways until one side ends it."""
    loop = asyncio.get_running_loop()
    outbox: asyncio.Queue[wire.Down] = asyncio.Queue()

    def send(message: wire.Down) -> None:
        with contextlib.suppress(RuntimeError):  # the server's loop is gone: nobody listens
            loop.call_soon_threadsafe(outbox.put_nowait, message)

    live.start(send)
    writer = asyncio.create_task(_write(socket, outbox))
    reader = asyncio.create_task(_read(socket, live))
    try:
        await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
        if reader.done() and not reader.cancelled() and reader.result():
            await asyncio.wait({writer}, timeout=GOODBYE_S)  # it still says why
    finally:
        live.end("lost")  # without effect if it is over already
        for task in (reader, writer):
            task.cancel()
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # closed already
            await socket.close()


async def _write(socket: WebSocket, outbox: asyncio.Queue[wire.Down]) -> None:
    """Until the session says goodbye."""
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            message = await outbox.get()
            if isinstance(message, bytes):
                await socket.send_bytes(message)
                continue
            await socket.send_text(json.dumps(message, ensure_ascii=False))
            if message["type"] == "bye":
                return


async def _read(socket: WebSocket, live: Live) -> bool:
    """Until the page is gone, or sends what no page of ours sends: then True."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            live.end("lost")
            return False
        data = message.get("bytes") if message.get("bytes") is not None else message.get("text")
        try:
            live.take(wire.read(data or ""))
        except wire.WireError:
            live.end("failed")
            return True
