"""A reverse proxy in front of a server: other addresses, and a network that can fall silent.

Knows: heads of HTTP requests, bytes. Does not know: what they mean. Each request gets a connection
of its own; a WebSocket keeps its.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from tests.browser.server import Server, free_port

# What the server is told: the address that the browser used ("kept": share links, Spaces, most
# proxies), its own with the browser's beside it ("forwarded").
Hosts = Literal["kept", "forwarded"]
HEAD_END = b"\r\n\r\n"


@dataclass
class Proxy:
    """In front of ``server``, reachable under any name that leads to this machine."""

    server: Server
    hosts: Hosts = "kept"
    sockets: bool = True  # whether it passes WebSockets
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._passes = asyncio.Event()
        self._passes.set()
        self._run(asyncio.start_server(self._serve, "127.0.0.1", self.port))

    def at(self, name: str) -> Server:
        """The server as it is seen through the proxy under a host's name."""
        return Server(f"http://{name}:{self.port}/", self.server.log, self.server.process)

    def silence(self) -> None:
        """Nothing passes any more; nobody is told."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def resume(self) -> None:
        """Everything passes, what waited too."""
        self._loop.call_soon_threadsafe(self._passes.set)

    def close(self) -> None:
        """End it and its connections."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self, work) -> None:  # type: ignore[no-untyped-def]
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(HEAD_END)
            if not self.sockets and b"upgrade: websocket" in head.lower():
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                writer.close()
                return
            target = urlsplit(self.server.address)
            assert target.hostname and target.port
            far, away = await asyncio.open_connection(target.hostname, target.port)
            await self._passes.wait()
            away.write(self._rewritten(head, target.netloc))
            await asyncio.gather(self._pass(reader, away), self._pass(far, writer))

    def _rewritten(self, head: bytes, own: str) -> bytes:
        text = head.decode("latin-1")
        if "upgrade: websocket" not in text.lower():
            text = re.sub(r"(?im)^connection: .*\r\n", "", text)
            text = text.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
        found = re.search(r"(?im)^host: (.*)\r\n", text)
        if self.hosts == "forwarded" and found:
            line = f"Host: {own}\r\nX-Forwarded-Host: {found[1]}\r\nX-Forwarded-Proto: http\r\n"
            text = text.replace(found[0], line)
        return text.encode("latin-1")

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._passes.wait()
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()
