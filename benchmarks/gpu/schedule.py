"""Which parts there are, in which order, and how long each may take; one process a part.

Knows: time limits, processes that are ended with all their children. Does not know: what a part
measures (:mod:`benchmarks.gpu.parts`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.gpu.lines import BEGIN, DONE, END, FAILED, LATE, LEFT_OUT, Results

LEAST_S = 5.0  # with less left, a part is not begun
GRACE_S = 5.0  # from being asked to end to being ended
TAIL = 2000  # characters of a failed part's output that are kept


@dataclass(frozen=True)
class Part:
    """A process of its own."""

    name: str
    limit_s: float  # on a GPU of a server; several times what it should take


# The most wanted first. Their limits add up to more than the whole has: few parts need theirs.
PARTS = (
    Part("tests", 90.0),  # marked gpu
    Part("graphs", 100.0),  # full shape, 16 bits: equal to eager, with and without
    Part("bf16", 100.0),  # load, memory, first text and sound, speeds
    Part("4bit", 80.0),
    Part("8bit", 80.0),
    Part("stream", 60.0),  # the second stream on and off
    Part("nano", 60.0),
    Part("published", 80.0),  # the published way
    Part("golden", 150.0),  # golden numbers
)
NAMES = tuple(part.name for part in PARTS)


def run_parts(
    parts: Sequence[Part],
    command: Callable[[str], list[str]],
    results: Results,
    whole_s: float,
    patience: float = 1.0,
) -> None:
    """Run the parts one after the other; what happens to each is in ``results``.

    Args:
        command: of the process of a part.
        whole_s: seconds that all parts may take together; what does not fit is left out.
        patience: how many times longer than on a GPU a part may take.
    """
    started = time.monotonic()
    for part in parts:
        left = whole_s - (time.monotonic() - started)
        if left < LEAST_S:
            results.add(END, part.name, how=LEFT_OUT, detail="no time was left")
            continue
        limit = min(part.limit_s * patience, left)
        results.add(BEGIN, part.name, limit_s=round(limit, 1))
        print(f"{part.name}: at most {limit:.0f} s", file=sys.stderr, flush=True)
        begun = time.monotonic()
        how, tail = run_process(command(part.name), limit)
        taken = round(time.monotonic() - begun, 1)
        detail = "" if how == DONE else tail
        results.add(END, part.name, how=how, took_s=taken, detail=detail)
        print(f"{part.name}: {how} after {taken:.0f} s", file=sys.stderr, flush=True)


def run_process(command: list[str], limit_s: float) -> tuple[str, str]:
    """How it ended (done, failed, time was up), and the end of what it wrote.

    The process is the first of a group, which is ended as a whole. Ctrl+C ends it too.
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=os.name == "posix",
    )
    written: list[str] = []
    reader = threading.Thread(target=_copy, args=(process, written), daemon=True)
    reader.start()
    try:
        code = process.wait(limit_s)
        how = DONE if code == 0 else FAILED
    except subprocess.TimeoutExpired:
        how = LATE
    finally:
        _end(process)
    reader.join(GRACE_S)
    return how, "".join(written)[-TAIL:]


def _copy(process: subprocess.Popen[str], written: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        written.append(line)
        print(f"    {line}", end="", file=sys.stderr, flush=True)


def _end(process: subprocess.Popen[str]) -> None:
    """Ends the process, if it runs, and what it started."""
    _signal(process, signal.SIGTERM)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait()


def _signal(process: subprocess.Popen[str], number: int) -> None:
    try:
        if os.name == "posix":
            os.killpg(process.pid, number)  # children may run on where their parent has ended
        else:
            process.send_signal(number)
    except ProcessLookupError:
        pass  # all of them have ended
