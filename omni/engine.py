"""The one model that everything shares: loaded when first needed, used by one turn at a time.

Knows: who is served when, loading, reloading and unloading, what becomes of errors.
Does not know: tokens, tensors (:mod:`omni.assistant` runs a turn), user interfaces.
Importing this module does not import torch; the first load does.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Protocol, TypeAlias, TypeVar

from omni.conversation import Message
from omni.errors import OmniError
from omni.events import EngineEvent, Progress, TurnEnd, TurnStats
from omni.fair_queue import FairQueue, LineLimits, Place, ServiceTime
from omni.options import GenerationOptions
from omni.requests import PrepareRequest, Request, RequestMethods
from omni.settings import EngineSettings, LoadReport

__all__ = ["Engine", "EngineSettings", "LoadReport"]

logger = logging.getLogger(__name__)
Event = TypeVar("Event", bound=EngineEvent)
POLL_S = 0.05  # how often a waiting turn looks at its stop signal
RETELL_S = 3.0  # how often it tells again how long it will take


class TurnRunner(Protocol):
    """A loaded model that serves requests, one at a time."""

    @property
    def report(self) -> LoadReport:
        """What was loaded, and how."""
        ...

    @property
    def default_options(self) -> GenerationOptions:
        """The checkpoint's own."""
        ...

    def run(self, request: Request) -> Iterator[EngineEvent]:
        """Serve ``request``; ends with one TurnEnd."""
        ...

    def forget(self, session: str) -> None:
        """Drop what was kept of ``session``."""
        ...

    def hold_adapters(self, names: Sequence[str]) -> Iterator[Progress]:
        """Have just these adapters beside the model."""
        ...


# Loads what the settings say; calls the function once everything was found and checked, right
# before it takes memory, so that the previous model can go.
Loader: TypeAlias = Callable[
    [EngineSettings, Callable[[], None]], Generator[Progress, None, TurnRunner]
]


def _load(
    settings: EngineSettings, make_room: Callable[[], None]
) -> Generator[Progress, None, TurnRunner]:
    from omni.assistant import load_assistant

    return load_assistant(settings, make_room)


class Engine(RequestMethods):
    """One model for all users of the process.

    Every method may be called from any thread. Turns, loads and unloads are served in the order
    in which they began, in turns between those who ask (:mod:`omni.fair_queue`). All
    iterators here are generators: closing one (or dropping it) ends its work and lets the next in.
    """

    def __init__(
        self,
        settings: EngineSettings | None = None,
        loader: Loader = _load,
        line: LineLimits | None = None,
    ) -> None:
        """Args:
        settings: what to load when it is needed first.
        loader: how to load; for tests.
        line: how many may wait.
        """
        self._settings = settings or EngineSettings()
        self._loader = loader
        self._queue = FairQueue(line)
        self._service = ServiceTime()
        self._serving_since = 0.0  # on time.monotonic's clock
        self._runner: TurnRunner | None = None
        self._loaded_settings: EngineSettings | None = None
        self._stops: set[threading.Event] = set()  # of what is under way or waits
        self._closed = False

    @property
    def settings(self) -> EngineSettings:
        """What the next turn runs with (it is loaded then, if it is not yet)."""
        return self._settings

    @settings.setter
    def settings(self, settings: EngineSettings) -> None:
        """Loads nothing before the next turn."""
        self._settings = settings

    @property
    def report(self) -> LoadReport | None:
        """What is loaded; None: nothing."""
        runner = self._runner
        return runner.report if runner else None

    @property
    def default_options(self) -> GenerationOptions:
        """How the loaded checkpoint likes to answer; the product's defaults while none is."""
        runner = self._runner
        return runner.default_options if runner else GenerationOptions()

    @property
    def busy(self) -> bool:
        """Whether somebody is being served; a turn that begins now has to wait."""
        return len(self._queue) > 0

    def load(self, settings: EngineSettings | None = None) -> Iterator[Progress]:
        """Load now, ``settings`` if given; nothing happens if that is loaded already.

        When ``settings`` cannot be loaded, the engine goes back to the settings before.

        Raises:
            CheckpointError: the checkpoint cannot be used.
            ResourceError: memory, disk or device do not allow it.
        """
        place, stop = self._queue.enqueue(), threading.Event()
        try:
            self._heed(stop)
            yield from self._wait(place, stop)
            if stop.is_set():
                return
            before, self._settings = self._settings, settings or self._settings
            try:
                yield from self._ready_unless(stop)
            except BaseException:
                self._settings = before
                raise
        finally:
            self._stops.discard(stop)
            self._queue.release(place)

    def unload(self) -> None:
        """Free the model once those who came before are done; the next turn loads it again.

        Must not be called from the thread that is iterating over a turn: it would wait for itself
        for ever.
        """
        place = self._queue.enqueue()
        try:
            self._queue.wait(place)
            self._drop()
        finally:
            self._queue.release(place)

    def run(self, request: Request) -> Iterator[EngineEvent]:
        """Serve a request (see the methods that make them); ends with one TurnEnd.

        The work begins with the first event that is asked for.

        Raises:
            BusyError: too many wait already.
            OmniError: with a sentence for the person; the engine stays usable.
        """
        if request.adapter is None:
            request = replace(request, adapter=self._settings.adapter)
        place = self._queue.join(request.owner)
        try:
            self._heed(request.stop)
            yield from self._wait(place, request.stop)
            if not request.stop.is_set():
                yield from self._ready_unless(request.stop)
            runner = self._runner
            if request.stop.is_set() or runner is None:
                yield _stopped(request.started)
                return
            begun = time.monotonic()
            yield from _translated(runner.run(request), runner.report.device)
            if not isinstance(request, PrepareRequest):
                self._service.add(time.monotonic() - begun)
        finally:
            self._stops.discard(request.stop)
            self._queue.release(place)

    def forget(self, session: str) -> None:
        """Drop what is kept for ``session``; a turn of it that is under way goes on."""
        runner = self._runner
        if runner is not None:
            runner.forget(session)

    def close(self) -> None:
        """Stop everything that is under way or waits, and whatever begins from now on."""
        self._closed = True
        for stop in tuple(self._stops):
            stop.set()

    def _heed(self, stop: threading.Event) -> None:
        """Have :meth:`close` set ``stop``."""
        self._stops.add(stop)
        if self._closed:
            stop.set()

    def _wait(self, place: Place, stop: threading.Event) -> Generator[Progress, None, None]:
        """Until ``place`` is the first, or ``stop`` is set."""
        told, again = 0, 0.0
        while not stop.is_set() and not self._queue.wait(place, POLL_S):
            ahead, now = self._queue.position(place), time.monotonic()
            wait_s = self._service.wait_s(ahead, now - self._serving_since)
            if ahead and (ahead != told or (wait_s is not None and now >= again)):
                told, again = ahead, now + RETELL_S
                yield Progress("wait", 0, ahead, wait_s=wait_s)
        if not stop.is_set():
            self._serving_since = time.monotonic()

    def _ready_unless(self, stop: threading.Event) -> Generator[Progress, None, None]:
        """:meth:`_ready`, given up at the next progress once ``stop`` is set."""
        with contextlib.closing(self._ready()) as loading:
            for progress in loading:
                if stop.is_set():
                    return
                yield progress

    def _ready(self) -> Generator[Progress, None, None]:
        """Have the model of the settings loaded; only while the caller is served."""
        settings = self._settings
        runner, loaded = self._runner, self._loaded_settings
        if runner is None or loaded is None or not _same_model(loaded, settings):
            yield from _translated(self._replace(settings), settings.device)
        elif loaded != settings:
            holding = runner.hold_adapters(settings.adapters)
            yield from _translated(holding, runner.report.device)
            self._loaded_settings = settings

    def _replace(self, settings: EngineSettings) -> Generator[Progress, None, None]:
        runner = yield from self._loader(settings, self._drop)
        self._runner, self._loaded_settings = runner, settings
        logger.info("loaded %s", runner.report)

    def _drop(self) -> None:
        """Let the model go and give its memory back."""
        if self._runner is None:
            return
        self._runner = self._loaded_settings = None
        _release()


def _translated(work: Iterator[Event], device: str) -> Generator[Event, None, None]:
    """``work``'s events; memory that ran out becomes a ResourceError and is freed.

    Closing this generator closes ``work`` too.
    """
    try:
        yield from work
    except (OmniError, GeneratorExit):
        raise
    except BaseException as error:
        from omni import devices

        if not devices.is_out_of_memory(error):
            raise
        if device == "auto":
            device = devices.choose_device().name
        logger.exception("memory ran out on %s", device)
        # The failed step's tensors live on in the frames that the traceback holds.
        traceback.clear_frames(error.__traceback__)
        devices.release()
        raise devices.out_of_memory(device) from error


def _same_model(loaded: EngineSettings, wanted: EngineSettings) -> bool:
    """Whether the two differ in adapters at most, which come and go beside the model."""
    return replace(loaded, adapters=wanted.adapters, adapter=wanted.adapter) == wanted


def _release() -> None:
    from omni import devices

    devices.release()


def _stopped(started: float) -> TurnEnd:
    stats = TurnStats(total_s=time.perf_counter() - started)
    return TurnEnd(Message("assistant", ()), "stopped", stats)
