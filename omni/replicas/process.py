"""A model in a process of its own, and the runner that stands for it here.

Knows: starting and ending the process, what is asked of it, what comes back. Does not know: who is
served when (an ordinary :class:`omni.engine.Engine` before each), which replica serves whom.

A process and not a thread: generation is Python between small steps of the device, and Python does
one thing at a time in a process; and a fault of a device ends its process alone. A process that is
lost is started again by the next request, and the conversation, which travels whole with each,
goes on.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import signal
import threading
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from omni.engine import Engine, TurnRunner
from omni.errors import OmniError
from omni.events import EngineEvent, Progress
from omni.libraries import heap
from omni.loading.adapters.files import find_adapter
from omni.media.limits import MediaLimits, limits, set_limits
from omni.options import GenerationOptions
from omni.replicas.wire import Crashed, Done, Keep, Refused, ReplicaLost, Stop
from omni.requests import Request, TurnRequest, chosen
from omni.settings import EngineSettings, LoadReport

logger = logging.getLogger(__name__)
END_S = 5.0  # for the process to end by itself
POLL_S = 0.05  # how often the stop signal of a request is looked at


class RemoteRunner:
    """Serves requests by a model in another process."""

    def __init__(self, settings: EngineSettings, threads: int | None) -> None:
        """Args:
        settings: what the process loads.
        threads: of its computing on the CPU; None: as torch chooses.
        """
        self._settings, self._threads = settings, threads
        self._done: Done | None = None
        self._number = 0
        self._sending = threading.Lock()
        self._start()

    @property
    def report(self) -> LoadReport:
        """What was loaded."""
        assert self._done is not None and self._done.report is not None
        return self._done.report

    @property
    def default_options(self) -> GenerationOptions:
        """The checkpoint's own."""
        assert self._done is not None
        return self._done.options

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._process.pid

    def load(self) -> Generator[Progress, None, None]:
        """Have the process load its model.

        Raises:
            OmniError: as loading does.
        """
        for event in self._asked(None, threading.Event()):
            assert isinstance(event, Progress)
            yield event

    def run(self, request: Request) -> Iterator[EngineEvent]:
        """Serve ``request``; where the process was lost, by a new one.

        Raises:
            ReplicaLost: it is lost while it works.
            OmniError: as the request's own.
        """
        if not self._process.is_alive():
            self._start()
            yield from self.load()
        unsent: Any = None  # the signal is one of this process
        sent: Any = replace(request, stop=unsent)
        if isinstance(request, TurnRequest):
            sent = replace(sent, options=chosen(request.options, self.default_options))
        yield from self._asked(sent, request.stop)

    def forget(self, session: str) -> None:
        """Drop what the process keeps of ``session``."""
        try:
            self._send(session)
        except OSError:  # it is lost, and with it what it kept
            logger.info("nothing is kept of a session: its process is gone")

    def hold_adapters(self, names: Sequence[str]) -> Iterator[Progress]:
        """Have the process hold just these adapters when it next serves somebody.

        Raises:
            CheckpointError: one is missing, or its weights are pickled.
        """
        for name in names:
            yield from find_adapter(name)
        self._settings = replace(self._settings, adapters=tuple(names))
        self._send(self._settings)

    def keep(self) -> Iterator[Progress]:
        """Have the process keep its quantized weights on the disk, after what it is asked before.

        Raises:
            OmniError: the disk does not allow it.
        """
        yield from self._asked(Keep(), threading.Event())

    def _start(self) -> None:
        """Start the process; it ends with this runner."""
        context = multiprocessing.get_context("spawn")  # a fork would share what torch has begun
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=serve,
            args=(theirs, self._settings, self._threads, limits()),
            name="omni-replica",
            daemon=True,
        )
        self._process.start()
        theirs.close()
        self._end = weakref.finalize(self, _ended, self._connection, self._process)

    def _send(self, message: object) -> None:
        with self._sending:
            self._connection.send(message)

    def _asked(self, request: Request | Keep | None, stop: threading.Event) -> Iterator[Any]:
        """What comes back for a request; None: of loading."""
        self._number += 1
        number, over = self._number, False
        try:
            self._send((number, request))
            while not over:
                while not self._connection.poll(POLL_S):
                    self._carry(stop, number)
                self._carry(stop, number)
                told, event = self._connection.recv()
                if told != number:  # of what was given up
                    continue
                over = isinstance(event, (Done, Refused, Crashed))
                if not over:
                    yield event
        except (EOFError, OSError) as error:
            over = True
            self._end()  # its end of the line is closed before it has ended: the next one looks
            raise ReplicaLost(
                "replica-lost",
                "The model's process ended in the middle of this answer: ask again.",
            ) from error
        finally:
            if not over:
                self._give_up(number)
        self._finish(event)

    def _finish(self, event: Done | Refused | Crashed) -> None:
        if isinstance(event, Refused):
            raise event.error()
        if isinstance(event, Crashed):
            logger.error("a replica failed:\n%s", event.trace)
            raise RuntimeError("a replica failed")
        self._done = event

    def _carry(self, stop: threading.Event, number: int) -> None:
        """Tell the process of a stop signal."""
        if stop.is_set():
            self._send(Stop(number))

    def _give_up(self, number: int) -> None:
        """Nobody listens to a request any more."""
        try:
            self._send(Stop(number))
        except OSError:
            logger.info("a request was given up: its process is gone")


def loader(
    settings: EngineSettings, make_room: Callable[[], None], threads: int | None = None
) -> Generator[Progress, None, TurnRunner]:
    """As :data:`omni.engine.Loader`, into a process of its own."""
    make_room()  # the other process takes the memory, and finds out there whether there is enough
    runner = RemoteRunner(settings, threads)
    yield from runner.load()
    return runner


def _ended(connection: Connection, process: multiprocessing.process.BaseProcess) -> None:
    """End a process: it goes when nobody is at the other end."""
    connection.close()
    process.join(END_S)
    if process.is_alive():
        process.kill()
        process.join(END_S)


def serve(
    connection: Connection, settings: EngineSettings, threads: int | None, bounds: MediaLimits
) -> None:
    """The process: one request at a time, until nobody is at the other end."""
    heap.own_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the other process's affair
    set_limits(bounds)  # strangers' files are decoded here
    engine, asked = Engine(settings), _Asked()
    worker = threading.Thread(
        target=_work, args=(connection, engine, asked, threads), name="omni-replica", daemon=True
    )
    worker.start()
    try:
        while True:
            message = connection.recv()
            if isinstance(message, Stop):
                asked.stop(message.number)
            elif isinstance(message, str):
                engine.forget(message)
            elif isinstance(message, EngineSettings):
                engine.settings = message
            else:
                asked.put(*message)
    except (EOFError, OSError):
        engine.close()
    # Nothing is to be kept, and the interpreter's own end waits for what torch has begun.
    os._exit(0)


class _Asked:
    """Requests that wait in the process, and the stop signal of each."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._stops: dict[int, threading.Event] = {}

    def put(self, number: int, request: Request | Keep | None) -> None:
        """A request, by the number under which it can be stopped."""
        stop = self._stops[number] = threading.Event()
        if request is not None and not isinstance(request, Keep):
            request = replace(request, stop=stop)
        self._requests.put((number, request))

    def stop(self, number: int) -> None:
        """Stop one, whether it waits or runs; nothing happens where it is over."""
        if (stop := self._stops.get(number)) is not None:
            stop.set()

    def next(self) -> tuple[int, Any]:
        """The next one; waits for it."""
        return self._requests.get()

    def over(self, number: int) -> None:
        """Its stop signal is no longer needed."""
        self._stops.pop(number, None)


def _events(engine: Engine, request: Request | Keep | None) -> Iterator[EngineEvent]:
    if request is None:
        return engine.load()
    return engine.keep() if isinstance(request, Keep) else engine.run(request)


def _work(connection: Connection, engine: Engine, asked: _Asked, threads: int | None) -> None:
    """Serve what is asked, one after the other."""
    while True:
        number, request = asked.next()
        try:
            for event in _events(engine, request):
                connection.send((number, event))
            if request is None and threads is not None:
                _use_threads(threads)
            end: Any = Done(engine.report, engine.default_options)
        except OmniError as error:
            end = Refused.of(error)
        except Exception as error:
            end = Crashed.of(error)
        asked.over(number)
        try:
            connection.send((number, end))
        except OSError:
            return


def _use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)
