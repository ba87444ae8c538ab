"""Tickets: what a page shows to get in beside Gradio's own routes.

Knows: that a ticket cannot be guessed, is good once, for a time, for the origin of the page that
got it. Does not know: what it opens, how it travels.

A page gets its ticket through a Gradio event, so behind Gradio's login and bound to its session. No
address of the server is compared: behind a proxy it does not know its own. Scripts name no origin,
and browsers none where they read from their own; what is left needs the ticket all the same.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

T = TypeVar("T")

BYTES = 24  # of chance in a ticket
PAST = 256  # tickets of what is over, which a slow page may still bring


@dataclass(frozen=True, eq=False)
class _Issued(Generic[T]):
    """``used``: somebody has come with it; ``good``: as they should have."""

    opens: T
    origin: str | None
    due: float | None
    used: bool = False
    good: bool = False


class TicketDesk(Generic[T]):
    """The tickets of one kind of thing. May be used from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock``: seconds that never go back."""
        self._clock = clock
        self._lock = threading.Lock()
        self._issued: dict[str, _Issued[T]] = {}
        self._past: deque[str] = deque(maxlen=PAST)

    def issue(self, opens: T, origin: str | None = None, lifetime_s: float | None = None) -> str:
        """A new ticket for ``opens``.

        Args:
            origin: of the page that gets it.
            lifetime_s: within which somebody has to come with it; None: until it is over.
        """
        ticket = secrets.token_urlsafe(BYTES)
        due = None if lifetime_s is None else self._clock() + lifetime_s
        with self._lock:
            self._issued[ticket] = _Issued(opens, origin, due)
        return ticket

    def waiting(self, ticket: str) -> bool:
        """Whether nobody has come with the ticket yet, and may still."""
        with self._lock:
            issued = self._issued.get(ticket)
            return issued is not None and not issued.used and self._in_time(issued)

    def claim(self, ticket: str, origin: str | None = None) -> T | None:
        """What the ticket opens, for the first one who comes with it; it is used up then.

        None: it is not valid, or comes from another origin, where it is used up all the same.
        ``origin``: as the one who comes names it; None: they name none.
        """
        with self._lock:
            issued = self._issued.get(ticket)
            if issued is None or issued.used:
                return None
            good = self._in_time(issued) and origin in (issued.origin, None)
            self._issued[ticket] = replace(issued, used=True, good=good)
        return issued.opens if good else None

    def claimed(self, ticket: str, origin: str | None = None) -> T | None:
        """What the ticket has opened, for the one who opened it, until it is over."""
        with self._lock:
            issued = self._issued.get(ticket)
        known = issued is not None and issued.good and origin in (issued.origin, None)
        return issued.opens if issued and known else None

    def over(self, ticket: str) -> None:
        """The ticket opens nothing any more; whoever still comes is :meth:`late`."""
        with self._lock:
            if self._issued.pop(ticket, None) is not None:
                self._past.append(ticket)

    def late(self, ticket: str) -> bool:
        """Whether the ticket was good, of something that is over: no fault of who brings it."""
        with self._lock:
            return ticket in self._past

    def _in_time(self, issued: _Issued[T]) -> bool:
        return issued.due is None or self._clock() < issued.due
