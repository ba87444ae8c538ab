"""Codes to sound while the next codes are made: work in order, here or in a thread beside.

Knows: jobs and their results in order, threads, a CUDA stream.
Does not know: what a job does, events, who makes the codes.

A thread pays where the work runs on a GPU: launching a step keeps the host busy and leaves most of
the device idle, so a second stream decodes for nothing. On the CPU both kinds of work use all cores
already, and threads of both at once wait for each other at every operation: there, jobs run where
they are given. A small model on the CPU uses one core alone (:func:`omni.devices.use_threads`), and
leaves another one to the thread, but for the first sounds: on the first a person waits, and what
follows must be there before it has been played.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar

import torch

from omni import threads

FIRST_RESULTS = 3  # chunks of sound, after which some are always ahead of the player
T = TypeVar("T")


class Jobs(Protocol[T]):
    """Jobs that are done one after the other; what they raise is raised to who asks for results."""

    def submit(self, job: Callable[[], T]) -> None:
        """The next job."""

    def ready(self) -> Iterator[T]:
        """The results that are there and were not given yet, in order."""

    def rest(self) -> Iterator[T]:
        """All results that were not given yet, once they are there."""

    def close(self) -> None:
        """Drops the jobs that have not begun, and waits for the one that has."""


def jobs_on(device: torch.device) -> Jobs[T]:
    """The kind of jobs that pays on ``device``."""
    if device.type == "cuda":
        return JobsBeside(device)
    if device.type == "cpu" and threads.COUNT.most == 1 and threads.cores() > 1:
        return JobsBeside(device, first_here=FIRST_RESULTS)
    return JobsHere()


class JobsHere(Generic[T]):
    """Each job runs where it is submitted."""

    def __init__(self) -> None:
        self._results: list[T] = []

    def submit(self, job: Callable[[], T]) -> None:
        """Runs ``job``; raises what it raises."""
        self._results.append(job())

    def ready(self) -> Iterator[T]:
        """All results not given yet."""
        while self._results:
            yield self._results.pop(0)

    rest = ready

    def close(self) -> None:
        """Nothing is under way."""
        self._results.clear()


class JobsBeside(Generic[T]):
    """Jobs run in a thread, on a CUDA stream of its own where ``device`` is one.

    :meth:`close` must be called; the thread starts with the first job that it gets.
    """

    def __init__(self, device: torch.device, first_here: int = 0) -> None:
        """
        Args:
            first_here: jobs run where they are submitted until so many have given something (not
                None): that comes sooner.
        """
        self._device = device
        self._here = first_here
        self._jobs: queue.SimpleQueue[Callable[[], T] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[T | _Failure] = queue.SimpleQueue()
        self._waiting = 0  # jobs whose results were not given yet
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def submit(self, job: Callable[[], T]) -> None:
        """Puts ``job`` behind the others."""
        if self._closed.is_set():
            raise RuntimeError("jobs are closed")
        if self._here:
            result = job()
            self._here -= result is not None
            self._results.put(result)
            self._waiting += 1
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="omni-sound", daemon=True)
            self._thread.start()
        self._waiting += 1
        self._jobs.put(job)

    def ready(self) -> Iterator[T]:
        """The results that are there; raises what the next job in order has raised."""
        while self._waiting and not self._results.empty():
            yield self._next()

    def rest(self) -> Iterator[T]:
        """All results, as they come."""
        while self._waiting:
            yield self._next()

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join()
        self._waiting = 0

    def _next(self) -> T:
        result = self._results.get()
        self._waiting -= 1
        if isinstance(result, _Failure):
            self._waiting = 0  # nothing runs behind a failed job
            raise result.error
        return result

    def _run(self) -> None:
        with self._stream():
            while (job := self._jobs.get()) is not None and not self._closed.is_set():
                try:
                    self._results.put(job())
                except BaseException as error:
                    self._results.put(_Failure(error))
                    return

    def _stream(self) -> AbstractContextManager[object]:
        if self._device.type != "cuda":
            return contextlib.nullcontext()
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.default_stream(self._device))
        return torch.cuda.stream(stream)


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error
