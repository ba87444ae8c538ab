"""An engine behind connections: each asks for one thing and hears events until it is done.

Knows: who may ask, in which order messages come, files on their way. Does not know: what an
engine does, who brings connections here (Ray Serve: :mod:`omni.remote.deployment`).

A connection is a WebSocket, since a stop must reach an answer that is being made. In order:
the greeting; from the engine Hello, or a Refusal; from the client Ask, or Forget; Want; the files
that are wanted, one after the other, in pieces; events; Done, or a Refusal. Stop may come at any
time, and a connection that is closed is a stop, too.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

import omni
from omni.engine import Engine
from omni.errors import OmniError, ResourceError
from omni.events import EngineEvent
from omni.remote.shelf import Place, Shelf
from omni.remote.wire import (
    VERSION,
    VERSION_HEADER,
    Ask,
    Done,
    Forget,
    Hello,
    Refusal,
    Stop,
    WireError,
    greeting,
    offered,
    pack,
    unpack,
)
from omni.requests import PrepareRequest, Request, TurnRequest

logger = logging.getLogger(__name__)
ASK_S = 30.0  # for a client to say what it wants, and between two pieces of a file
BEARER = "bearer "

# Has an adapter there while a request of it is served.
UseAdapter = Callable[[str], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def always_there(name: str) -> AsyncIterator[None]:
    """Of adapters that the engine holds all the time."""
    yield


class Serving:
    """One engine, and all who speak with it."""

    def __init__(
        self,
        engine: Engine,
        token: str = "",
        offered: tuple[str, ...] = (),
        use_adapter: UseAdapter = always_there,
        shelf: Shelf | None = None,
    ) -> None:
        """Args:
        engine: whose turns are served.
        token: which clients must know; empty: anybody may ask.
        offered: the adapters that may be asked for; the first one answers where nobody chose.
        use_adapter: has one there.
        shelf: for the files of sessions.
        """
        self._engine, self._token, self._offered = engine, token, offered
        self._use_adapter, self._shelf = use_adapter, shelf or Shelf()

    def close(self) -> None:
        """End all that is under way, and remove all files."""
        self._engine.close()
        self._shelf.close()

    async def talk(self, socket: WebSocket) -> None:
        """Serve one connection to its end."""
        await socket.accept()
        try:
            await socket.send_text(greeting(omni.__version__))
            if socket.headers.get(VERSION_HEADER) != str(VERSION):
                await socket.close()  # they know why, by the greeting
                return
            await self._answer(socket)
            await socket.close()
        except WebSocketDisconnect:
            logger.info("a client went away")
        except WireError as error:
            logger.warning("a client says what cannot be understood: %s", error)
            await socket.close(1002, "not understood")  # the protocol's code of a protocol error
        except TimeoutError:
            logger.warning("a client said nothing for %d s", ASK_S)
            await socket.close(1002, "nothing said")

    async def _answer(self, socket: WebSocket) -> None:
        try:
            self._admit(socket.headers)
            await socket.send_bytes(pack(self._hello()))
            data = await _received(socket)
            asked = unpack(data, files=_unknown)
            if isinstance(asked, Forget):
                self._engine.forget(asked.session)
                self._shelf.forget(asked.session)
                return
            if not isinstance(asked, Ask):
                raise WireError(f"{type(asked).__name__} where a request is expected")
            await self._serve(socket, asked, data)
            await socket.send_bytes(pack(Done(self._hello())))
        except OmniError as error:
            await socket.send_bytes(pack(Refusal.of(error)))
        except (WireError, WebSocketDisconnect, TimeoutError):
            raise
        except Exception:
            logger.exception("a request failed")
            await socket.send_bytes(pack(Refusal.of(failed())))

    def _admit(self, headers: Mapping[str, str]) -> None:
        said = headers.get("authorization", "")
        given = said[len(BEARER) :] if said.lower().startswith(BEARER) else ""
        if self._token and not hmac.compare_digest(given.encode(), self._token.encode()):
            raise ResourceError(
                "remote-token",
                "The engine does not know this token: set OMNI_ENGINE_TOKEN to the one that it "
                "was started with.",
            )

    def _hello(self) -> Hello:
        engine = self._engine
        own = next(iter(self._offered), "")
        settings = replace(engine.settings, adapters=self._offered, adapter=own)
        return Hello(engine.report, engine.default_options, settings, engine.state)

    async def _serve(self, socket: WebSocket, asked: Ask, data: bytes) -> None:
        """Have everything there that the request needs, and send what comes of it."""
        request = asked.request
        session = request.session if isinstance(request, (TurnRequest, PrepareRequest)) else None
        name = (request.adapter if request is not None else None) or ""
        if name:
            name = offered(name, self._offered)
        with self._shelf.session(session) as place:
            request = await _complete(socket, asked, data, place)
            if request is None or not name:
                await self._run(socket, request)
                return
            request = replace(request, adapter=name)
            async with self._use_adapter(name):
                await self._run(socket, request)

    async def _run(self, socket: WebSocket, request: Request | None) -> None:
        """Send the events of a request; an end of the connection, or a stop, ends it."""
        stop = request.stop if request is not None else threading.Event()
        events: asyncio.Queue[EngineEvent | BaseException | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        iterator = self._engine.run(request) if request is not None else self._engine.load()
        worker = threading.Thread(
            target=_work, args=(iterator, events, loop), name="omni-remote", daemon=True
        )
        worker.start()
        listening = asyncio.ensure_future(_heed(socket, stop))
        try:
            while (event := await events.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                await socket.send_bytes(pack(event))
        except RuntimeError as error:  # Starlette's word for a connection that is closed
            if listening.done():
                raise WebSocketDisconnect from error
            raise
        finally:
            stop.set()
            listening.cancel()
            # The next request of this session finds nothing of this one under way.
            await asyncio.shield(loop.run_in_executor(None, worker.join))


def failed() -> OmniError:
    """What nobody has foreseen, as a sentence: the rest of it is the log's."""
    return ResourceError(
        "remote-failed",
        "The engine failed at this question: ask again; its log tells what happened.",
    )


def _work(
    iterator: Iterator[EngineEvent],
    events: asyncio.Queue[EngineEvent | BaseException | None],
    loop: asyncio.AbstractEventLoop,
) -> None:
    """The thread of a request."""

    def put(item: EngineEvent | BaseException | None) -> None:
        loop.call_soon_threadsafe(events.put_nowait, item)

    try:
        for event in iterator:
            put(event)
        put(None)
    except Exception as error:
        put(error)


async def _heed(socket: WebSocket, stop: threading.Event) -> None:
    """Set ``stop`` when the client says so, or goes away."""
    try:
        if not isinstance(unpack(await _next(socket)), Stop):
            raise WireError("nothing but a stop may come now")
    except (WebSocketDisconnect, WireError) as error:
        logger.info("a request ends: %s", error)
    stop.set()


async def _complete(socket: WebSocket, asked: Ask, data: bytes, place: Place) -> Request | None:
    """The request, once its files are there: as they lie here, asked for now, with its own stop."""
    want = place.want(asked.files)
    await socket.send_bytes(pack(want))
    for number in want.numbers:
        with place.receiving(asked.files[number]) as coming:
            while coming.left:
                coming.add(await _received(socket))
    paths = [place.path(file) for file in asked.files]

    def found(number: int) -> Path:
        if not 0 <= number < len(paths):
            raise WireError("a file that was not named")
        return paths[number]

    request: Any = unpack(data, files=found).request
    if request is None:
        return None
    return replace(request, stop=threading.Event(), started=time.perf_counter())


def _unknown(number: int) -> Path:
    """A file before its place is known."""
    return Path(str(number))


async def _received(socket: WebSocket) -> bytes:
    return await asyncio.wait_for(_next(socket), ASK_S)


async def _next(socket: WebSocket) -> bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    data = message.get("bytes")
    if data is None:
        raise WireError("text where bytes are expected")
    return bytes(data)
