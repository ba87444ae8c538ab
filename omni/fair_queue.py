"""Who may use the one model now: in turns between people, in order for each of them.

Knows: places, whose they are, their order, how many may wait. Unlike a lock, a place may be taken
in one thread and released in another (a generator is resumed wherever its consumer runs), and one
that waits can be given up.
Does not know: what is guarded.

Whoever has several places does not hold up who comes later with their first one: places are in
rounds, and in a round everybody has one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from omni.errors import BusyError


@dataclass(frozen=True)
class LineLimits:
    """How many may wait besides the one that is served."""

    waiting: int = 32  # in all
    each: int = 2  # of one person's session


class Place:
    """Somebody's place in the queue."""

    def __init__(self, owner: str | None = None, round_number: int = 0) -> None:
        self.owner = owner
        self.round = round_number


class FairQueue:
    """A queue of places; whoever has the first one is served."""

    def __init__(self, limits: LineLimits | None = None) -> None:
        """Args:
        limits: for :meth:`join`.
        """
        self._limits = limits or LineLimits()
        self._changed = threading.Condition()
        self._places: list[Place] = []

    def enqueue(self) -> Place:
        """Join the end of the queue, however long it is."""
        with self._changed:
            last = self._places[-1].round if self._places else 0
            place = Place(None, last)
            self._places.append(place)
        return place

    def join(self, owner: str | None) -> Place:
        """Join the queue where it is ``owner``'s turn; None: of nobody who is known.

        Raises:
            BusyError: too many wait, or too many of ``owner``'s.
        """
        with self._changed:
            waiting = self._places[1:]
            if len(waiting) >= self._limits.waiting:
                raise BusyError(
                    "queue-full",
                    "Too many people are waiting ({waiting}): try again in a minute.",
                    waiting=len(waiting),
                )
            own = [p for p in self._places if p.owner == owner] if owner is not None else []
            if len([p for p in own if p in waiting]) >= self._limits.each:
                raise BusyError(
                    "queue-full-own",
                    "{each} of your requests are waiting already: wait for one of them or stop it.",
                    each=self._limits.each,
                )
            served = self._places[0].round if self._places else 0
            place = Place(owner, own[-1].round + 1 if own else served)
            later = (n for n, p in enumerate(self._places) if n and p.round > place.round)
            self._places.insert(next(later, len(self._places)), place)
        return place

    def position(self, place: Place) -> int:
        """How many are served before ``place``; 0: it is served now."""
        with self._changed:
            return self._places.index(place)

    def wait(self, place: Place, timeout: float | None = None) -> bool:
        """Wait at most ``timeout`` seconds until ``place`` is the first; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._places[0] is place, timeout)

    def release(self, place: Place) -> None:
        """Leave the queue, once served or while still waiting."""
        with self._changed:
            self._places.remove(place)
            self._changed.notify_all()

    def __len__(self) -> int:
        """How many are served or wait."""
        with self._changed:
            return len(self._places)


class ServiceTime:
    """How long it usually takes to serve somebody: a moving average, seconds."""

    WEIGHT = 0.3  # of the newest

    def __init__(self) -> None:
        self._average: float | None = None

    def add(self, seconds: float) -> None:
        """Somebody was served in ``seconds``."""
        before = self._average
        self._average = seconds if before is None else before + self.WEIGHT * (seconds - before)

    def wait_s(self, ahead: int, served_s: float) -> float | None:
        """What one has to wait behind ``ahead``, the first of whom was served for ``served_s``
        so far; None: nobody knows yet.
        """
        if self._average is None:
            return None
        return max(self._average - served_s, 0.0) + (ahead - 1) * self._average
