"""The phases of a load: how long each took, and what the log says of them.

Knows: a clock, the log. Does not know: what a phase does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from typing import TypeVar

from omni.events import Progress, Stage
from omni.loading.progress.sentence import sentence

T = TypeVar("T")
logger = logging.getLogger(__name__)
LOG_S = 10.0  # how often the log tells of a phase that lasts


class Phases:
    """Follows the steps of one load."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._spent: dict[Stage, float] = {}
        self._now: Stage | None = None
        self._since = 0.0
        self._logged = 0.0

    @property
    def seconds(self) -> tuple[tuple[str, float], ...]:
        """The phases so far in the order in which they began, with their seconds."""
        return tuple(self._spent.items())

    def follow(self, steps: Generator[Progress, None, T]) -> Generator[Progress, None, T]:
        """``steps``, timed; closing this closes them too."""
        try:
            while True:
                try:
                    progress = next(steps)
                except StopIteration as end:
                    result: T = end.value
                    return result
                self._told(progress)
                yield progress
        finally:
            self._passed(self._clock())
            steps.close()

    def _told(self, progress: Progress) -> None:
        now = self._clock()
        self._passed(now)
        begins = progress.stage not in self._spent
        self._spent.setdefault(progress.stage, 0.0)
        self._now = progress.stage
        if begins or now - self._logged >= LOG_S:
            self._logged = now
            logger.info("%s", sentence(progress))

    def _passed(self, now: float) -> None:
        """The time since the last call went into the phase that is under way."""
        if self._now is not None:
            self._spent[self._now] += now - self._since
        self._since = now
