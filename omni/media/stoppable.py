"""Work in one long step that can be left: what has no place in the middle at which to ask.

Knows: threads, a watch. Does not know: what the work is.

Some decoders of pictures take a whole file in one call, for seconds. Whoever waits is let go at
once when they stop; the call itself ends by itself, and so that no more than a few of them are left
to do so, the next ones wait for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from omni.media.limits import Watch

Result = TypeVar("Result")
AT_ONCE = 2  # steps under way, those that were left included
POLL_S = 0.05

_places = threading.Semaphore(AT_ONCE)


def stoppable(work: Callable[[], Result], watch: Watch) -> Result:
    """What ``work`` returns or raises; left where ``watch`` says so.

    Raises:
        DecodingStopped, MediaError: as ``watch`` does, at most POLL_S late.
    """
    while not _places.acquire(timeout=POLL_S):
        watch.check()
    done = threading.Event()
    results: list[Result] = []
    errors: list[BaseException] = []

    def step() -> None:
        try:
            results.append(work())
        except BaseException as error:  # raised where it is waited for
            errors.append(error)
        finally:
            _places.release()
            done.set()

    threading.Thread(target=step, name="one-step", daemon=True).start()
    while not done.wait(POLL_S):
        watch.check()
    if errors:
        raise errors[0]
    return results[0]
