"""Long blocking work as a generator of its progress.

Knows: threads, queues, cancellation. Does not know: what the work is.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TypeAlias, TypeVar

from omni.events import Progress

T = TypeVar("T")
Report: TypeAlias = Callable[[Progress], None]

PULSE_S = 0.25  # without news for so long, the last are told again: who listens may want to stop
REST_S = 0.05  # of the same stage no more are told than one in so long
LAID_OUT = 0.5  # of warming: few-bit weights laid out for the CPU; a first answer is the rest
STALE_S = 10.0  # without news for so long, nobody knows how long it will take


class Cancelled(Exception):
    """Raised inside the work by its next report once nobody waits for it any more."""


def in_background(
    work: Callable[[Report], T], wait_s: float | None = None
) -> Generator[Progress, None, T]:
    """Run ``work(report)`` in a thread; yield what it reports, return what it returns.

    Only the newest report is kept when they come fast or the consumer is slow; where none comes,
    the last one is repeated every :data:`PULSE_S`. Closing the generator makes the next report
    raise :class:`Cancelled` inside the work, and waits until the thread has ended, so that nothing
    goes on behind the consumer's back and what the work held is free. Whatever ``work`` raises is
    raised here.

    Args:
        wait_s: how long closing waits, for work that may hang where it cannot look up (a network)
            and holds nothing that anybody misses; None: until it has ended.
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

    def run(work: Callable[[Report], T]) -> None:
        """Work, and keep what comes of it."""
        try:
            outcome.append(work(report))
        except BaseException as error:
            failure.append(error)
        finally:
            reports.put(None)

    thread = threading.Thread(target=run, args=(work,), name="omni-background", daemon=True)
    thread.start()
    done = False
    try:
        yield from _told(reports)
        done = True
    finally:
        cancelled.set()
        thread.join(None if done else wait_s)
        if not done:
            _forget(outcome, failure)
    if failure:
        raise failure.pop()
    return outcome.pop()


def _forget(outcome: list[T], failure: list[BaseException]) -> None:
    """Let go of what nobody waits for any more: a traceback holds all that its work had made."""
    outcome.clear()
    for error in failure:
        traceback.clear_frames(error.__traceback__)
    failure.clear()


def _told(reports: queue.SimpleQueue[Progress | None]) -> Generator[Progress, None, None]:
    """Reports until the end of the work, not too many; the last one again where none comes.

    Of each stage the last is told.
    """
    last: Progress | None = None  # what was told
    newer: Progress | None = None  # what is to be told
    held: list[Progress | None] = []
    told_at = news_at = time.monotonic()
    while True:
        due = told_at + (PULSE_S if newer is None else REST_S)
        try:
            progress = _newest(reports, held, max(0.0, due - time.monotonic()))
        except queue.Empty:
            if newer is None and last is not None and time.monotonic() - news_at > STALE_S:
                last = replace(last, left_s=None)
            last, newer, told_at = newer or last, None, time.monotonic()
            if last is not None:
                yield last
            continue
        if newer is not None and (progress is None or progress.stage != newer.stage):
            yield newer
        if progress is None:
            return
        newer, news_at = progress, time.monotonic()
        if last is None or last.stage != newer.stage or news_at - told_at >= REST_S:
            last, newer, told_at = newer, None, news_at
            yield last


def _newest(
    reports: queue.SimpleQueue[Progress | None], held: list[Progress | None], timeout_s: float
) -> Progress | None:
    """Wait for a report, then skip to the last one of its stage; None at the end of the work.

    Args:
        held: what was taken already and is next, if anything.

    Raises:
        queue.Empty: none came in time.
    """
    progress = held.pop() if held else reports.get(timeout=timeout_s)
    while progress is not None and not reports.empty():
        following = reports.get()
        if following is None or following.stage != progress.stage:
            held.append(following)
            break
        progress = following
    return progress
