"""Over how many threads an operation on the CPU is split: as many as there are cores to be had.

Knows: how many cores others keep busy, and how that is told from our own work. Does not know: what
is computed, when.

Threads of one operation wait for each other by spinning. Where another process keeps a core busy,
one of ours is set aside in the middle of its share and the others wait and burn theirs, so that all
of them together get less done than one alone: a fifth, as measured on two cores. So the cores that
others use are left to them, as soon as that is seen and for as long as it lasts.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

logger = logging.getLogger(__name__)
WINDOW_S = 0.25  # between two readings
STALE_S = 3.0  # an older reading says nothing about now
# Cores that others use on the average of a window. What is below the one is the noise of a quiet
# machine and a browser that plays; once a core was left to them, it is taken back below the other.
TAKEN = 0.4
GIVEN_BACK = 0.2


@dataclass(frozen=True)
class Reading:
    """What the CPUs have done until now."""

    at: float  # s
    all_s: float  # seconds that all CPUs which we may use were busy, with anything
    own_s: float  # of these, with this process


def read() -> Reading:
    """The counters of now."""
    process = psutil.Process()
    times = psutil.cpu_times(percpu=True)
    if psutil.LINUX:
        times = [times[index] for index in process.cpu_affinity() if index < len(times)]
    busy = sum(sum(cpu) - _idle(cpu) for cpu in times)
    own = process.cpu_times()
    return Reading(time.monotonic(), busy, own.user + own.system)


def cores() -> int:
    """CPU cores that this process may use."""
    if psutil.LINUX:
        return len(psutil.Process().cpu_affinity())
    return psutil.cpu_count() or 1


def _idle(cpu: object) -> float:
    """Seconds in which a CPU did nothing for this machine; a guest's time is in others' too."""
    names = ("idle", "iowait", "steal", "guest", "guest_nice")
    return sum(getattr(cpu, name, 0.0) for name in names)


class ThreadCount:
    """The number of threads, kept up to date by :meth:`settle` in the thread that computes."""

    def __init__(
        self,
        most: int,
        count: int | None = None,
        reading: Callable[[], Reading] = read,
        use: Callable[[int], None] = torch.set_num_threads,
    ) -> None:
        """
        Args:
            most: threads where nobody else is at work.
            count: cores that are to be shared; None: those of the machine.
        """
        self.most = most
        self._cores = count or cores()
        self._reading = reading
        self._use = use
        self._last: Reading | None = None
        self._now = most
        self._watched = False
        self._told = threading.local()  # torch keeps the number for each thread

    def begin(self, most: int, watch: bool) -> None:
        """From now on at most ``most`` threads; ``watch``: fewer while others use cores."""
        self.most, self._watched = most, watch and most > 1
        self._last = None
        self._set(most)

    def _set(self, number: int) -> None:
        self._now = self._told.number = number
        self._use(number)

    def settle(self) -> None:
        """Look whether others have come or gone, if it is time to; costs nothing otherwise."""
        if not self._watched:
            return
        if getattr(self._told, "number", None) != self._now:
            self._set(self._now)
        now = time.monotonic()
        if self._last is not None and now - self._last.at < WINDOW_S:
            return
        reading, last = self._reading(), self._last
        self._last = reading
        if last is None or reading.at - last.at > STALE_S:
            return
        wanted = self._for(others(last, reading))
        if wanted != self._now:
            logger.info("%d of %d threads: others use the CPU", wanted, self.most)
            self._set(wanted)

    def _for(self, busy: float) -> int:
        """Threads beside others that use ``busy`` cores."""
        threshold = TAKEN if self._now == self.most else GIVEN_BACK
        taken = max(0, math.ceil(busy - threshold))
        return max(1, min(self.most, self._cores - taken))


def others(before: Reading, after: Reading) -> float:
    """Cores that other processes used between two readings, on average."""
    spent = (after.all_s - before.all_s) - (after.own_s - before.own_s)
    return max(0.0, spent / (after.at - before.at))


CHOSEN = torch.get_num_threads()  # by the environment or torch
COUNT = ThreadCount(CHOSEN)
