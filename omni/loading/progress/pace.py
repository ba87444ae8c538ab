"""How long work will take, from how it went lately.

Knows: a clock. Does not know: what the work is.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 15.0  # what is measured: disks and networks change their pace
FIRST_S = 1.5  # before that much was measured, nothing is said


class Pace:
    """The pace of work that is counted. Any thread may use it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: deque[tuple[float, float]] = deque()  # seconds, what was done by then

    def left_s(self, done: float, total: float) -> float | None:
        """Seconds until ``total`` is done, now that ``done`` is; None: too early to say."""
        now = self._clock()
        with self._lock:
            self._seen.append((now, done))
            while len(self._seen) > 2 and self._seen[1][0] < now - WINDOW_S:
                self._seen.popleft()
            began, before = self._seen[0]
        if not total or now - began < FIRST_S or done <= before:
            return None
        return (total - done) * (now - began) / (done - before)

    def restart(self) -> None:
        """From here on the work is of another kind."""
        with self._lock:
            self._seen.clear()
