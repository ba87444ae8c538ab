"""The voice line: the sound of a turn on its way to the page, as a streamed response.

Knows: samples of one turn, the ticket that opens them, whether the page plays them.
Does not know: where samples come from, how the page plays them (assets/scripts/speech.js).

Gradio's own streaming sound takes a second from a chunk to the ear, this takes less than a tenth. A
page gets a ticket through a Gradio event, so behind Gradio's login and bound to its session; a
ticket opens one line, once. It travels in a header and so stands in no log of addresses.

A page confirms the first sample that it gets before any real sound is sent: what stands between
(a proxy that collects whole responses) may keep the stream from it. Without a word from the page
within OPEN_S the line is given up, and the turn's sound goes to Gradio's player.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator

import numpy as np
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

PATH = "/voice"
TICKET_HEADER = "x-omni-ticket"
OPEN_S = 2.0  # from the ticket on
HELLO = np.zeros(1, "<i2")  # one sample, for the page to confirm
PAST = 256  # tickets of turns that are over, which a slow page may still bring
NO_CONTENT, NOT_FOUND = 204, 404
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nothing keeps it on the way


class VoiceLine:
    """One turn's sound: pushed by the turn from any thread, read once by the page.

    ``origin``: of the page that gets the ticket.
    """

    def __init__(self, origin: str | None = None) -> None:
        self.origin = origin
        self.ticket = secrets.token_urlsafe(24)
        self._deadline = time.monotonic() + OPEN_S
        self._lock = threading.Lock()
        self._decided = threading.Event()
        self._opened = False
        self._claimed = False
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
                self._opened = self._claimed
                self._decided.set()
        self._notify()
        return self._opened

    def claim(self) -> bool:
        """Whether the line is the caller's to read: the first one's."""
        with self._lock:
            free, self._claimed = not self._claimed, True
        return free

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
        self._lock = threading.Lock()
        self._lines: dict[str, VoiceLine] = {}
        self._over: deque[str] = deque(maxlen=PAST)

    @contextlib.contextmanager
    def line(self, wanted: bool, origin: str | None = None) -> Iterator[VoiceLine | None]:
        """A line for one turn, which ends with the turn; None where none is ``wanted``."""
        if not wanted:
            yield None
            return
        line = VoiceLine(origin)
        with self._lock:
            self._lines[line.ticket] = line
        try:
            yield line
        finally:
            with self._lock:
                del self._lines[line.ticket]
                self._over.append(line.ticket)
            line.end()

    def routes(self) -> list[Route]:
        """To be served at :data:`PATH`."""
        return [
            Route(PATH, self._stream, methods=["GET"]),
            Route(PATH, self._confirm, methods=["POST"]),
        ]

    async def _stream(self, request: Request) -> Response:
        line = self._of(request)
        if line is None or not line.claim():
            return self._nothing(request)
        return StreamingResponse(
            line.pieces(), media_type="application/octet-stream", headers=HEADERS
        )

    async def _confirm(self, request: Request) -> Response:
        line = self._of(request)
        if line is None:
            return self._nothing(request)
        line.open()
        return Response(status_code=NO_CONTENT)

    def _nothing(self, request: Request) -> Response:
        """No sound: an answer that was over before the page came is no fault of the page's."""
        with self._lock:
            late = request.headers.get(TICKET_HEADER) in self._over
        return Response(status_code=NO_CONTENT if late else NOT_FOUND)

    def _of(self, request: Request) -> VoiceLine | None:
        """The line of the request's ticket, if a page of ours asks. Scripts name no origin, and
        browsers none where they read from their own; what is left needs the ticket all the same.
        """
        with self._lock:
            line = self._lines.get(request.headers.get(TICKET_HEADER, ""))
        known = line is not None and request.headers.get("origin") in (line.origin, None)
        return line if known else None
