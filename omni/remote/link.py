"""A connection to an engine of another machine, from the client's end.

Knows: addresses, how a connection is made, what goes wrong with it as a sentence. Does not know:
what is asked for.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote, urlsplit

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
)
from websockets.sync.client import ClientConnection, connect

import omni
from omni.errors import ResourceError
from omni.remote.wire import (
    ADAPTER_HEADER,
    MOST_BYTES,
    SESSION_HEADER,
    VERSION,
    VERSION_HEADER,
    Hello,
    Refusal,
    WireError,
    greeted,
    pack,
    unpack,
)
from omni.replicas.wire import ReplicaLost

TOKEN_VARIABLE = "OMNI_ENGINE_TOKEN"  # of the environment: no list of processes shows it
OPEN_S = 60.0  # until somebody must have answered; a replica that is lost is replaced meanwhile
SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
NOT_THERE = (
    404,
    500,
    502,
    503,
    504,
)  # HTTP status codes of a server without an engine


class NoEngineError(ResourceError):
    """At the address is no engine, or none that is understood here."""


def web_socket(address: str) -> str:
    """The address of an engine as connections need it: ``gpu1:8000`` is ``ws://gpu1:8000/``.

    Raises:
        ResourceError: ``remote-address``.
    """
    given = address.strip()
    parts = urlsplit(given if "://" in given else f"http://{given}")
    try:
        sound = parts.scheme in SCHEMES and parts.hostname and (parts.port or True)
    except ValueError:  # the port is no number
        sound = False
    if not sound or parts.query or parts.fragment or parts.username or " " in given:
        raise ResourceError(
            "remote-address",
            "{address} is no address of an engine: give one like http://gpu1:8000.",
            address=given,
        )
    return f"{SCHEMES[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}/"


class Link(AbstractContextManager["Link"]):
    """A connection whose other end has said hello."""

    def __init__(self, address: str, token: str, session: str | None, adapter: str) -> None:
        """Connect; takes as long as it takes, so not in a thread that somebody waits for.

        Args:
            address: as :func:`web_socket` gives it.
            session: whose request is to come; the same one comes to the same replica.
            adapter: that the request asks for; empty: none.

        Raises:
            NoEngineError: nobody answers, or not yet; it is no engine, or of another version.
            OmniError: it refuses.
        """
        self._address = address
        self._connection = self._opened(headers(token, session, adapter))
        try:
            self.hello = self._greet()
        except BaseException:
            self.close()
            raise

    def send(self, message: object) -> None:
        """Send a value, or a piece of a file.

        Raises:
            ReplicaLost: nobody is there any more.
        """
        try:
            self._connection.send(message if isinstance(message, bytes) else pack(message))
        except ConnectionClosed as error:
            raise self._lost() from error

    def receive(self, wait_s: float | None = None) -> Any:
        """The next value.

        Raises:
            TimeoutError: none came in time.
            ReplicaLost: nobody is there any more.
            OmniError: it is refused.
        """
        try:
            value = unpack(self._connection.recv(timeout=wait_s))
        except ConnectionClosed as error:
            raise self._lost() from error
        except WireError as error:
            raise self._strange() from error
        if isinstance(value, Refusal):
            raise value.error()
        return value

    def close(self) -> None:
        """End it; whatever is under way at the other end is stopped."""
        self._connection.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self, own: Mapping[str, str]) -> ClientConnection:
        try:
            return connect(
                self._address,
                additional_headers=own,
                open_timeout=OPEN_S,
                max_size=MOST_BYTES,
                compression=None,
                legacy=True,
            )
        except InvalidStatus as error:
            code = error.response.status_code
            if code in NOT_THERE:
                raise self._absent(f"HTTP {code}") from error
            raise self._strange() from error
        except InvalidMessage as error:
            if isinstance(error.__cause__, EOFError):  # it ended before it had answered
                raise self._absent("it ended the connection") from error
            raise self._strange() from error
        except InvalidURI as error:
            raise self._strange() from error
        except (OSError, EOFError, InvalidHandshake, InvalidProxy) as error:
            raise self._absent(getattr(error, "strerror", None) or str(error)) from error

    def _greet(self) -> Hello:
        try:
            version, program = greeted(self._connection.recv(timeout=OPEN_S))
        except (ConnectionClosed, TimeoutError) as error:
            raise self._absent("it ended the connection") from error
        except WireError as error:
            raise self._strange() from error
        if version != VERSION:
            raise NoEngineError(
                "remote-version",
                "The engine at {address} is of another version ({theirs}, here {ours}): install "
                "the same one in both places.",
                address=self._address,
                theirs=program,
                ours=omni.__version__,
            )
        hello = self.receive(OPEN_S)
        if not isinstance(hello, Hello):
            raise self._strange()
        return hello

    def _absent(self, reason: str) -> NoEngineError:
        return NoEngineError(
            "remote-absent",
            "No engine answers at {address} ({reason}): start it there, wait until it is ready, or "
            "correct the address.",
            address=self._address,
            reason=" ".join(reason.split()),
        )

    def _strange(self) -> NoEngineError:
        return NoEngineError(
            "remote-strange",
            "What answers at {address} is no engine of this program: correct the address.",
            address=self._address,
        )

    def _lost(self) -> ReplicaLost:
        return ReplicaLost(
            "remote-lost",
            "The engine was lost in the middle of this: ask again.",
        )


def headers(token: str, session: str | None, adapter: str) -> dict[str, str]:
    """What a connection says of itself before anything else."""
    said = {VERSION_HEADER: str(VERSION)}
    if session is not None:  # unguessable, and so not for anybody's log
        said[SESSION_HEADER] = hashlib.sha256(session.encode()).hexdigest()[:32]
    if adapter:
        said[ADAPTER_HEADER] = quote(adapter, safe="")
    if token:
        said["authorization"] = f"Bearer {token}"
    return said


def own_token() -> str:
    """The token of this process's environment; empty: there is none.

    Raises:
        ResourceError: ``remote-token-form``.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ResourceError(
            "remote-token-form",
            "The token in {variable} must be of letters, digits and signs of ASCII, without "
            "spaces.",
            variable=TOKEN_VARIABLE,
        )
    return token
