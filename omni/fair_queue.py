"""Who may use the one model now: in turns between people, in order for each of them.

Knows: places, whose they are, their order, how many may wait. Unlike a lock, a place may be taken
in one thread and released in another (a generator is resumed wherever its consumer runs), and one
that waits can be given up.
Does not know: what is guarded.

Places are in rounds, and in a round every address has one: neither somebody with several requests
nor an address with several people holds up who comes later with their first one. Of an address's
people, everybody is served once before anybody is twice.

Work that nobody waits for stands behind all, also those who come later, and is told to end as soon
as anybody comes. For everybody else it is as if it were not there.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from omni.errors import BusyError

BEHIND = sys.maxsize  # the round of places that stand behind all


@dataclass(frozen=True)
class LineLimits:
    """How many may wait besides the one that is served."""

    waiting: int = 32  # in all
    each: int = 2  # of one person's session
    address: int = 16  # of all who share an address, where addresses tell people apart


@dataclass(frozen=True)
class Asker:
    """Who asks for something."""

    session: str
    # Where they come from, which may be a whole school; None: addresses do not tell people apart.
    address: str | None = None


class Place:
    """Somebody's place in the queue."""

    def __init__(
        self,
        owner: Asker | None = None,
        round_number: int = 0,
        turn: int = 0,
        give_way: threading.Event | None = None,
    ) -> None:
        """Args:
        round_number: in which round of all addresses it is served.
        turn: the how many-th of its session, among those of its address.
        give_way: of a place behind all: set when anybody comes while it is served.
        """
        self.owner = owner
        self.round = round_number
        self.turn = turn
        self.give_way = give_way

    @property
    def counts(self) -> bool:
        """Whether others have to wait for it."""
        return self.give_way is None

    def near(self, asker: Asker) -> bool:
        """Whether it is of the same address, or of the same session where that is not known."""
        if self.owner is None:
            return False
        if asker.address is None or self.owner.address is None:
            return self.owner.session == asker.session
        return self.owner.address == asker.address


class FairQueue:
    """A queue of places; whoever has the first one is served."""

    def __init__(
        self, limits: LineLimits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Args:
        limits: for :meth:`join`.
        clock: seconds; for tests.
        """
        self._limits = limits or LineLimits()
        self._changed = threading.Condition()
        self._places: list[Place] = []
        self._clock = clock
        self._left = clock()  # when the last one did

    def enqueue(self) -> Place:
        """Join the end of the queue, however long it is."""
        with self._changed:
            counting = self._counting()
            place = Place(None, counting[-1].round if counting else 0)
            self._insert(place)
        return place

    def join_behind(self, give_way: threading.Event) -> Place:
        """Join behind everybody, also those who come later, however long the queue is.

        Args:
            give_way: set when anybody comes while this place is served: it is to be released.
        """
        with self._changed:
            place = Place(None, BEHIND, give_way=give_way)
            self._places.append(place)
        return place

    def join(self, owner: Asker | None) -> Place:
        """Join the queue where it is ``owner``'s turn; None: of nobody who is known.

        Raises:
            BusyError: too many wait, or too many of ``owner``'s or of their address.
        """
        with self._changed:
            self._check(owner)
            near = [p for p in self._places if owner is not None and p.near(owner)]
            served = next((p.round for p in self._counting()), 0)
            own = [p for p in near if owner and p.owner and p.owner.session == owner.session]
            turn = own[-1].turn + 1 if own else min((p.turn for p in near), default=0)
            place = Place(owner, near[-1].round + 1 if near else served, turn)
            self._insert(place)
            self._share([*near, place])
        return place

    def _counting(self) -> list[Place]:
        return [place for place in self._places if place.counts]

    def _insert(self, place: Place) -> None:
        """Put a place where its round is; what is served gives way to it, if that is behind all."""
        later = (n for n, p in enumerate(self._places) if n and p.round > place.round)
        self._places.insert(next(later, len(self._places)), place)
        if (give_way := self._places[0].give_way) is not None:
            give_way.set()

    def _check(self, owner: Asker | None) -> None:
        """Refuse one who may not wait, too."""
        waiting, limits = self._counting()[1:], self._limits
        if len(waiting) >= limits.waiting:
            raise BusyError(
                "queue-full",
                "Too many people are waiting ({waiting}): try again in a minute.",
                waiting=len(waiting),
            )
        owners = [place.owner for place in waiting if place.owner is not None]
        if owner is None:
            return
        if sum(other.session == owner.session for other in owners) >= limits.each:
            raise BusyError(
                "queue-full-own",
                "{each} of your requests are waiting already: wait for one of them or stop it.",
                each=limits.each,
            )
        if owner.address is None:
            return
        if sum(other.address == owner.address for other in owners) >= limits.address:
            raise BusyError(
                "queue-full-address",
                "{count} requests from your network are waiting already: try again in a minute.",
                count=limits.address,
            )

    def _share(self, near: list[Place]) -> None:
        """Put the places of one address, which keep where they stand in the line, into an order in
        which each of its people is served once before anybody is twice.
        """
        stand = [n for n, place in enumerate(self._places) if n and place in near]
        rounds = [self._places[n].round for n in stand]
        in_turn = sorted((self._places[n] for n in stand), key=lambda place: place.turn)
        for n, number, place in zip(stand, rounds, in_turn, strict=True):
            self._places[n], place.round = place, number

    def position(self, place: Place) -> int:
        """How many are served before ``place``; 0: it is served now, or as soon as what is behind
        all has given way.
        """
        with self._changed:
            ahead = self._places[: self._places.index(place)]
            return sum(other.counts for other in ahead)

    def wait(self, place: Place, timeout: float | None = None) -> bool:
        """Wait at most ``timeout`` seconds until ``place`` is the first; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._places[0] is place, timeout)

    def release(self, place: Place) -> None:
        """Leave the queue, once served or while still waiting."""
        with self._changed:
            self._places.remove(place)
            self._left = self._clock()
            self._changed.notify_all()

    @property
    def idle_s(self) -> float:
        """Seconds since the last one left; 0 while there is anybody."""
        with self._changed:
            return 0.0 if self._places else self._clock() - self._left

    def __len__(self) -> int:
        """How many are served or wait, those behind all aside."""
        with self._changed:
            return len(self._counting())


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
