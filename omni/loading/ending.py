"""The end of the process, with threads that are at work.

Knows: the threads of this program (their names begin with ``omni-``), how a process ends.
Does not know: what the threads do, who tells them to stop.

The interpreter tears a thread out of whatever it does when the process ends. Inside of torch that
aborts the process ("terminate called without an active exception"), and so threads are waited for,
and where one is still there the process ends without the interpreter's own end.

A signal ends the program by an exception in the main thread. Where that thread is just inside of a
``__del__`` or a callback of the garbage collector, the interpreter prints the exception and goes on
as if nothing had been asked: so what was asked for is kept, and :func:`obey` asks again.
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


_asked: list[int] = []  # the signals that asked for the end


def heed(terminated: int) -> None:
    """From now on SIGINT raises KeyboardInterrupt and SIGTERM, once, SystemExit; only for the main
    thread. Who was started deaf to SIGINT (``nohup``, a shell's ``&``) stays so.

    Args:
        terminated: the exit code of SIGTERM.
    """

    def end(number: int, _: object) -> None:
        again = number in _asked
        _asked.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if not again:
            sys.exit(terminated)

    _asked.clear()
    signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, end)


def obey(terminated: int = TERMINATED) -> None:
    """Raise what a signal asked for, if the exception of its handler was lost; to be called
    between any two pieces of work of the main thread. ``terminated``: as of :func:`heed`.
    """
    if signal.SIGTERM in _asked:
        sys.exit(terminated)
    if _asked:
        raise KeyboardInterrupt


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
