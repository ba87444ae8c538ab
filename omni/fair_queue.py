"""First come, first served: who may use the one model now.

Knows: places and their order. Unlike a lock, a place may be taken in one thread and released in
another (a generator is resumed wherever its consumer runs), and one that waits can be given up.
Does not know: what is guarded.
"""

from __future__ import annotations

import threading


class Place:
    """Somebody's place in the queue."""


class FairQueue:
    """A queue of places; whoever has the first one is served."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._places: list[Place] = []

    def enqueue(self) -> Place:
        """Join the end of the queue."""
        place = Place()
        with self._changed:
            self._places.append(place)
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
