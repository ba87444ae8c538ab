"""Long blocking work as a generator of its progress.

Knows: threads, queues, cancellation. Does not know: what the work is.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import TypeAlias, TypeVar

from omni.events import Progress

T = TypeVar("T")
Report: TypeAlias = Callable[[Progress], None]


class Cancelled(Exception):
    """Raised inside the work by its next report once nobody waits for it any more."""


def in_background(work: Callable[[Report], T]) -> Generator[Progress, None, T]:
    """Run ``work(report)`` in a thread; yield what it reports, return what it returns.

    Only the newest report is kept when the consumer is slow. Closing the generator makes the next
    report raise :class:`Cancelled` inside the work, and waits until the thread has ended, so that
    nothing goes on behind the consumer's back. Whatever ``work`` raises is raised here.
    """
    reports: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
    cancelled = threading.Event()
    outcome: list[T] = []
    failure: list[BaseException] = []

    def report(progress: Progress) -> None:
        """Pass a report on, unless nobody waits for it any more."""
        if cancelled.is_set():
            raise Cancelled
        reports.put(progress)

    def run() -> None:
        """Work, and keep what comes of it."""
        try:
            outcome.append(work(report))
        except BaseException as error:
            failure.append(error)
        finally:
            reports.put(None)

    thread = threading.Thread(target=run, name="omni-background", daemon=True)
    thread.start()
    try:
        while (progress := _newest(reports)) is not None:
            yield progress
    finally:
        cancelled.set()
        thread.join()
    if failure:
        raise failure.pop()
    return outcome.pop()


def _newest(reports: queue.SimpleQueue[Progress | None]) -> Progress | None:
    """Wait for a report, then skip to the last one already there; None at the end of the work."""
    progress = reports.get()
    while progress is not None and not reports.empty():
        following = reports.get()
        if following is None:
            reports.put(None)
            break
        progress = following
    return progress
