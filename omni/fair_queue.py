"""First come, first served: who may use the one model now.

Knows: tickets and their order. Unlike a lock, a ticket may be taken in one thread and handed back
in another (a generator is resumed wherever its consumer runs), and a waiting one can be withdrawn.
Does not know: what is guarded.
"""

from __future__ import annotations

import threading


class Ticket:
    """A place in the queue."""


class Turnstile:
    """A queue of tickets; the holder of the first one is inside."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[Ticket] = []

    def take(self) -> Ticket:
        """Join the end of the queue."""
        ticket = Ticket()
        with self._changed:
            self._queue.append(ticket)
        return ticket

    def ahead(self, ticket: Ticket) -> int:
        """How many are served before ``ticket``; 0: it is inside."""
        with self._changed:
            return self._queue.index(ticket)

    def wait(self, ticket: Ticket, timeout: float | None = None) -> bool:
        """Wait at most ``timeout`` seconds until ``ticket`` is inside; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._queue[0] is ticket, timeout)

    def leave(self, ticket: Ticket) -> None:
        """Hand ``ticket`` back, from inside or out of the middle of the queue."""
        with self._changed:
            self._queue.remove(ticket)
            self._changed.notify_all()

    def __len__(self) -> int:
        """Those inside and waiting."""
        with self._changed:
            return len(self._queue)
