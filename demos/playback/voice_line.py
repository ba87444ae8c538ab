"""The voice line: the sound of a turn on its way to the page, as a streamed response.

Knows: samples of one turn, whether the page plays them, the routes by which it gets them.
Does not know: where samples come from, how the page plays them (assets/scripts/speech.js).

Gradio's own streaming sound takes a second from a chunk to the loudspeaker, this takes less than a
tenth. A ticket (demos.base.tickets) opens one line, once. It travels in a header and so stands in
no log of addresses.

A page confirms the first sample that it gets before any real sound is sent: what stands between
(a proxy that collects whole responses) may keep the stream from it. Without a word from the page
within OPEN_S the line is given up, and the turn's sound goes to Gradio's player.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator

import numpy as np
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from demos.base.tickets import TicketDesk

PATH = "/voice"
TICKET_HEADER = "x-omni-ticket"
OPEN_S = 2.0  # from the ticket on
HELLO = np.zeros(1, "<i2")  # one sample, for the page to confirm
NO_CONTENT, NOT_FOUND = 204, 404
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nothing keeps it on the way


class VoiceLine:
    """One turn's sound: pushed by the turn from any thread, read once by the page."""

    def __init__(self) -> None:
        self.ticket = ""  # with which the page opens it, see VoiceDesk.line
        self._deadline = time.monotonic() + OPEN_S
        self._lock = threading.Lock()
        self._decided = threading.Event()
        self._opened = False
        self._ended = False
        self._waiting: list[bytes] = []
        self._wake: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def push(self, samples: np.ndarray) -> None:
        """The next int16 samples (samples,) at SPEECH_RATE."""
        with self._lock:
            self._waiting.append(np.ascontiguousarray(samples, "<i2").tobytes())
        self._notify()

    def end(self) -> None:
        """Nothing follows: the stream ends when all of it was read."""
        self._ended = True
        self._notify()

    def carries(self, wait: bool = False) -> bool | None:
        """Whether the page plays this line; None: not known yet. False is final.

        ``wait``: until it is known.
        """
        if wait:
            self._decided.wait(max(0.0, self._deadline - time.monotonic()))
        with self._lock:
            if not self._opened and time.monotonic() >= self._deadline:
                self._decided.set()
            return self._opened if self._decided.is_set() else None

    def open(self) -> bool:
        """The page gets what is sent; whether it is still wanted there."""
        with self._lock:
            if not self._decided.is_set():
                self._opened = True
                self._decided.set()
        self._notify()
        return self._opened

    async def pieces(self) -> AsyncIterator[bytes]:
        """The sound as it comes, int16 little-endian, behind HELLO."""
        event = asyncio.Event()
        self._wake = asyncio.get_running_loop(), event
        yield HELLO.tobytes()
        while True:
            event.clear()
            with self._lock:
                pieces = self._waiting if self._opened else []
                if self._opened:
                    self._waiting = []
                over = self._ended or (self._decided.is_set() and not self._opened)
            if pieces:
                yield b"".join(pieces)
            elif over:
                return
            else:
                await event.wait()

    def _notify(self) -> None:
        if self._wake is not None:
            loop, event = self._wake
            with contextlib.suppress(RuntimeError):  # the server's loop is gone: nobody listens
                loop.call_soon_threadsafe(event.set)


class VoiceDesk:
    """The lines of the turns under way, and the routes to them."""

    def __init__(self) -> None:
        self.tickets: TicketDesk[VoiceLine] = TicketDesk()

    @contextlib.contextmanager
    def line(self, wanted: bool, origin: str | None = None) -> Iterator[VoiceLine | None]:
        """A line for one turn, which ends with the turn; None where none is ``wanted``.

        ``origin``: of the page that gets its ticket.
        """
        if not wanted:
            yield None
            return
        line = VoiceLine()
        line.ticket = self.tickets.issue(line, origin)
        try:
            yield line
        finally:
            self.tickets.over(line.ticket)
            line.end()

    def routes(self) -> list[Route]:
        """To be served at :data:`PATH`."""
        return [
            Route(PATH, self._stream, methods=["GET"]),
            Route(PATH, self._confirm, methods=["POST"]),
        ]

    async def _stream(self, request: Request) -> Response:
        line = self.tickets.claim(*_shown(request))
        if line is None:
            return self._nothing(request)
        return StreamingResponse(
            line.pieces(), media_type="application/octet-stream", headers=HEADERS
        )

    async def _confirm(self, request: Request) -> Response:
        line = self.tickets.claimed(*_shown(request))
        if line is None:
            return self._nothing(request)
        line.open()
        return Response(status_code=NO_CONTENT)

    def _nothing(self, request: Request) -> Response:
        """No sound: an answer that was over before the page came is no fault of the page's."""
        ticket, _ = _shown(request)
        return Response(status_code=NO_CONTENT if self.tickets.late(ticket) else NOT_FOUND)


def _shown(request: Request) -> tuple[str, str | None]:
    """The ticket that a request shows, and the origin that it names."""
    return request.headers.get(TICKET_HEADER, ""), request.headers.get("origin")
