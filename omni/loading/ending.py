"""The end of the process, with threads that are at work.

Knows: the threads of this program (their names begin with ``omni-``), how a process ends.
Does not know: what the threads do, who tells them to stop.

The interpreter tears a thread out of whatever it does when the process ends. Inside of torch that
aborts the process ("terminate called without an active exception"), and so threads are waited for,
and where one is still there the process ends without the interpreter's own end.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

OURS = "omni-"
WAIT_S = 5.0  # for all threads together; who stops a container kills it after ten
# A signal that the system gives to another thread wakes nobody who waits without an end.
SIGNAL_S = 0.5
TERMINATED = 128 + signal.SIGTERM


def wait_for_threads(seconds: float = WAIT_S) -> bool:
    """Wait until no thread of ours is at work; whether that came true in time."""
    deadline = time.monotonic() + seconds
    while ours := _at_work():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        ours[0].join(left)
    return True


def undisturbed() -> None:
    """From here on no further signal interrupts the end; only for the main thread."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)


def run_program(main: Callable[[], int]) -> int:
    """Run a program's ``main`` and return its exit code; does not return where threads are left.

    ``main`` has told its threads to stop.
    """
    try:
        code = main()
    except SystemExit as error:
        if error.code is not None and not isinstance(error.code, int):
            raise
        code = error.code or 0
    latest = threading.Timer(2 * WAIT_S, os._exit, [code])  # whatever else keeps the process
    latest.daemon = True
    latest.start()
    wait_for_threads()
    latest_or_main = (latest, threading.main_thread())
    if any(thread not in latest_or_main for thread in threading.enumerate()):
        leave(code)
    latest.cancel()
    return code


def leave(code: int) -> None:
    """End the process now: what was registered for the end is done, threads are left alone."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or nobody reads
            stream.flush()
    os._exit(code)


def _at_work() -> list[threading.Thread]:
    mine = threading.current_thread()
    threads = threading.enumerate()
    return [one for one in threads if one.name.startswith(OURS) and one is not mine]
