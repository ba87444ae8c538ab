"""How long the model answers one visitor in a day.

Knows: addresses, seconds of answering, the engine that counts them. Does not know: who they are.

Waiting, fetching and loading cost nothing. A turn that began is answered to its end.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from omni.engine import Engine
from omni.errors import BusyError
from omni.events import EngineEvent, Progress
from omni.remote.client import RemoteEngine
from omni.replicas.engine import Replicas
from omni.requests import Request

DAY_S = 24 * 3600.0
HOUR_S = 3600.0
WORK = "encode"  # the stage of progress that belongs to a turn: waiting and loading do not


class Allowance:
    """What each visitor has used in the last 24 hours."""

    def __init__(self, minutes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
        minutes: of answering, for each address.
        clock: seconds.
        """
        self.minutes = minutes
        self._clock = clock
        self._lock = threading.Lock()
        self._used: dict[str, deque[tuple[float, float]]] = {}  # when, how long

    def check(self, visitor: str) -> None:
        """Refuse one whose time is used up.

        Raises:
            BusyError: ``allowance-spent``.
        """
        with self._lock:
            used = self._recent(visitor)
            if not used:
                del self._used[visitor]
            if sum(seconds for _, seconds in used) < 60 * self.minutes:
                return
            wait_s = used[0][0] + DAY_S - self._clock()
        raise BusyError(
            "allowance-spent",
            "You have used your {minutes} minutes of answers for today: go on in about {hours} "
            "hours.",
            minutes=self.minutes,
            hours=math.ceil(wait_s / HOUR_S),
        )

    def spend(self, visitor: str, seconds: float) -> None:
        """A turn of ``visitor``'s took so long."""
        with self._lock:
            self._recent(visitor).append((self._clock(), seconds))
            for other in tuple(self._used):  # so that the table stays small
                if not self._recent(other):
                    del self._used[other]

    def _recent(self, visitor: str) -> deque[tuple[float, float]]:
        used = self._used.setdefault(visitor, deque())
        while used and used[0][0] <= self._clock() - DAY_S:
            used.popleft()
        return used


class _Metered(Engine):
    """An engine whose visitors have an allowance; where addresses tell nobody apart, nobody has."""

    def __init__(self, allowance: Allowance, *parts: Any, **more: Any) -> None:
        """Args:
        parts, more: as the engine's own.
        """
        super().__init__(*parts, **more)
        self.allowance = allowance

    def run(self, request: Request) -> Iterator[EngineEvent]:
        """As Engine's.

        Raises:
            BusyError: ``allowance-spent``, too.
        """
        visitor = request.owner.address if request.owner else None
        if visitor is None:
            yield from super().run(request)
            return
        self.allowance.check(visitor)
        begun: float | None = None
        try:
            for event in super().run(request):
                free = isinstance(event, Progress) and event.stage != WORK
                if begun is None and not free:
                    begun = time.monotonic()
                yield event
        finally:
            if begun is not None:
                self.allowance.spend(visitor, time.monotonic() - begun)


class MeteredEngine(_Metered):
    """One model."""


class MeteredReplicas(_Metered, Replicas):
    """Several."""


class MeteredRemote(_Metered, RemoteEngine):
    """Those of other machines."""
