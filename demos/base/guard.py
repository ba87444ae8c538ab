"""Who may speak to the server: the page's own requests and scripts, no other site in a browser.

Knows: hosts, origins, the headers that browsers add, how often a password may be guessed.
Does not know: routes, sessions, what a request asks for.

A browser sends requests for any site that is open in it, with the cookies of ours. It says so: in
``Sec-Fetch-Site`` where the page came by https or from this machine, in ``Origin`` otherwise. And a
name of another site can be made to lead to this machine (DNS rebinding): then the ``Host`` is not
one of ours. Scripts send neither and are let through: they have nobody's cookies.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
# What networks at home append to a machine's name; nobody else can have these names.
HOME_NETWORKS = ("local", "lan", "home", "home.arpa", "internal", "localdomain", "fritz.box")
FORBIDDEN, TOO_MANY = 403, 429  # HTTP status codes
POLICY_VIOLATION = 1008  # WebSocket close code
FOREIGN_HOST = "This page does not answer to the name {host}: open it by its address."
FOREIGN_SITE = "This page answers to its own requests alone, not to those of other sites."
SLOW_DOWN = "Too many wrong passwords: wait {seconds} seconds and try again."


@dataclass
class Hosts:
    """The names under which the page is reached.

    ``local``: only from this machine. ``names``: further ones than addresses and this machine's
    own names; ".example.org": all that end so; "*": any (of a proxy whose names are not known).
    """

    local: bool
    names: frozenset[str] = frozenset()

    def ours(self, host: str) -> bool:
        """Whether ``host`` (without its port) is one of ours."""
        host = host.lower().strip("[]")
        if "*" in self.names or host in self.names or host in LOOPBACK_HOSTS:
            return True
        if host.endswith(".localhost"):  # leads to the visitor's own machine, by RFC 6761
            return True
        if any(host.endswith(name) for name in self.names if name.startswith(".")):
            return True
        if self.local:
            return False
        return _is_address(host) or host in own_names()

    def add(self, host: str) -> None:
        """One more name, which became known later."""
        self.names |= names([host])


@cache
def own_names() -> frozenset[str]:
    """What this machine calls itself (no name server is asked)."""
    name = socket.gethostname().lower()
    short = name.split(".")[0]
    return frozenset({name, short, *(f"{short}.{network}" for network in HOME_NETWORKS)})


def host_of(netloc: str) -> str:
    """The host of ``host:port``, in lower case; empty where it makes no sense."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").lower()
    except ValueError:
        return ""


class SameOrigin:
    """Lets requests of the page and of scripts through, and nothing of other sites."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self.refusal(Headers(scope=scope))
        if refusal is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            await PlainTextResponse(refusal, FORBIDDEN)(scope, receive, send)

    def refusal(self, headers: Headers) -> str | None:
        """Why a request is not served; None: it is."""
        host = headers.get("host", "")
        if not self.hosts.ours(host_of(host)):
            return FOREIGN_HOST.format(host=host_of(host) or "?")
        # A WebSocket always names its origin, and to some browsers ws:// is another site than http://.
        site = None if "sec-websocket-key" in headers else headers.get("sec-fetch-site")
        if site in ("same-origin", "none"):
            return None
        if site is not None:
            # Whoever follows a link from another site opens the page, and can do no more by it.
            opens = headers.get("sec-fetch-mode") == "navigate"
            opens = opens and headers.get("sec-fetch-dest") in ("document", "iframe")
            return None if opens and "origin" not in headers else FOREIGN_SITE
        return None if self._same(headers) else FOREIGN_SITE

    def _same(self, headers: Headers) -> bool:
        """Whether the origin, if the request names one, is the page's."""
        origin = headers.get("origin")
        if origin is None:
            return True
        own = {headers.get("host", ""), headers.get("x-forwarded-host", "")}
        return urlsplit(origin).netloc.lower() in {name.lower() for name in own if name}


class NoTraces:
    """Keeps requests that no page sends out of the log, where Gradio lets them end as a fault.

    They have been answered by then, or the answer ends here. Faults of any other kind go on.
    """

    def __init__(self, app: ASGIApp, log: Callable[[str], None]) -> None:
        self.app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        unfinished = False

        async def watched(message: Message) -> None:
            nonlocal unfinished
            if message["type"].startswith("http.response."):
                unfinished = bool(message.get("more_body", message["type"].endswith("start")))
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            if not forged(error):
                raise
            self._log(f"a request that no page sends: {scope.get('path')}")
            if unfinished:
                await send({"type": "http.response.body"})


def forged(error: BaseException) -> bool:
    """Whether a fault comes of an event or a session that does not exist, of text that is none, or
    of a visitor who left in the middle of an upload.
    """
    if isinstance(error, (UnicodeEncodeError, RecursionError, ClientDisconnect)):
        return True
    if isinstance(error.__cause__, HTTPException):  # a refusal in the middle of an answer
        return True
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_name == "get_fn"


class SlowGuesses:
    """Makes whoever gives wrong passwords wait, longer each time; counted by address."""

    def __init__(
        self,
        app: ASGIApp,
        path: str = "/login",
        free: int = 5,
        longest_s: float = 300.0,
        log: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        address: Callable[[Headers, str], str] = lambda headers, client: client,
    ) -> None:
        """
        Args:
            path: of the login's route, from its end.
            free: wrong passwords that cost nothing.
            longest_s: that anybody has to wait.
            log: gets a line for each wrong password.
            clock: seconds.
            address: of whoever stands behind a request, from its headers and its connection.
        """
        self.app = app
        self._path, self._free, self._longest_s = path, free, longest_s
        self._log, self._clock, self._address = log, clock, address
        self._lock = threading.Lock()
        self._wrong: dict[str, tuple[int, float]] = {}  # address: how often, until when it waits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        guess = scope["type"] == "http" and scope["method"] == "POST"
        if not (guess and scope["path"].rstrip("/").endswith(self._path)):
            await self.app(scope, receive, send)
            return
        client = (scope.get("client") or ("?", 0))[0]
        address = self._address(Headers(scope=scope), client)
        wait = self.wait_s(address)
        if wait > 0:
            sentence = SLOW_DOWN.format(seconds=int(wait) + 1)
            await PlainTextResponse(sentence, TOO_MANY)(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.came(address, right=message["status"] < 400)
            await send(message)

        await self.app(scope, receive, watched)

    def wait_s(self, address: str) -> float:
        """Seconds that ``address`` still has to wait."""
        with self._lock:
            _, until = self._wrong.get(address, (0, 0.0))
        return max(0.0, until - self._clock())

    def came(self, address: str, right: bool) -> None:
        """A password came from ``address``."""
        with self._lock:
            if right:
                self._wrong.pop(address, None)
                return
            count = self._wrong.get(address, (0, 0.0))[0] + 1
            pause = min(2.0 ** (count - self._free), self._longest_s) if count > self._free else 0
            self._forget()
            self._wrong[address] = count, self._clock() + pause
        if self._log is not None:
            self._log(f"wrong password number {count} from {address}")

    def _forget(self) -> None:
        """Addresses that have been quiet for long; so the table stays small."""
        now = self._clock()
        old = [key for key, (_, until) in self._wrong.items() if now - until > self._longest_s]
        for key in old:
            del self._wrong[key]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def names(given: Iterable[str]) -> frozenset[str]:
    """Hosts that a person named, as :class:`Hosts` takes them."""
    return frozenset(name.strip().lower().strip("[]") for name in given if name.strip())
