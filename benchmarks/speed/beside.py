"""Other processes that keep a core busy each, as on a machine that is not quiet.

Knows: how they are started and ended. Does not know: what is measured beside them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

WORK = "print(flush=True)\nwhile True: pass"


@contextmanager
def busy(count: int) -> Iterator[None]:
    """``count`` processes that compute without end, until this is left."""
    command = [sys.executable, "-S", "-c", WORK]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()  # it has begun
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.communicate()
