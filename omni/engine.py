"""The one model that everything shares: loaded when first needed, used by one turn at a time.

Knows: who is served when, loading, reloading and unloading, what becomes of errors.
Does not know: tokens, tensors (:mod:`omni.assistant` runs a turn), user interfaces.
Importing this module does not import torch; the first load does.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Literal, Protocol, TypeAlias, TypeVar

from omni.errors import CancelledError
from omni.events import EngineEvent, Progress, stopped
from omni.fair_queue import FairQueue, LineLimits, Place, ServiceTime
from omni.loading.progress.background import Report, in_background
from omni.loading.progress.out_of_memory import translated
from omni.loading.progress.shared import SharedLoad, load_cancelled
from omni.options import GenerationOptions
from omni.requests import PrepareRequest, Request, RequestMethods
from omni.settings import EngineSettings, LoadReport, same_model

__all__ = ["Engine", "EngineSettings", "EngineState", "LoadReport"]

logger = logging.getLogger(__name__)
Event = TypeVar("Event", bound=EngineEvent)
# idle: the first turn will load; broken: the last load failed, and nothing is there to answer.
EngineState: TypeAlias = Literal["idle", "loading", "ready", "broken"]
POLL_S = 0.05  # how often a waiting turn looks at its stop signal
RETELL_S = 3.0  # how often it tells again how long it will take
RETELL_LOAD_S = 0.5  # and how far the load has come that it waits for


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

    def keep(self) -> Iterator[Progress]:
        """Keep the quantized weights on the disk; nothing happens where there are none."""
        ...


# Loads what the settings say; calls the function once everything was found and checked, right
# before it takes memory, so that the previous model can go.
Loader: TypeAlias = Callable[
    [EngineSettings, Callable[[], None]], Generator[Progress, None, TurnRunner]
]


def _load(
    settings: EngineSettings, make_room: Callable[[], None]
) -> Generator[Progress, None, TurnRunner]:
    # Importing torch takes seconds and cannot be broken off; nobody who stops waits for its end.
    load_assistant = yield from in_background(_import_assistant, wait_s=0)
    return (yield from load_assistant(settings, make_room))


def _import_assistant(report: Report) -> Loader:
    report(Progress("check", 0, 0))
    from omni.assistant import load_assistant

    return load_assistant


class Engine(RequestMethods):
    """One model for all users of the process.

    Every method may be called from any thread. Turns, loads and unloads are served in the order
    in which they began, in turns between those who ask (:mod:`omni.fair_queue`). All
    iterators here are generators: closing one (or dropping it) ends its work and lets the next in.
    """

    elsewhere = False  # whether its model is loaded and freed by somebody else

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
        self._loading: SharedLoad | None = None  # only who is served begins, follows or ends it
        self._cancels = 0  # how often a load was cancelled for everybody
        self._stops: set[threading.Event] = set()  # of what is under way or waits
        self._closed = False
        self._load_failed = False  # the last one

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
    def state(self) -> EngineState:
        """How it stands with the model, for those who watch the program."""
        if self._loading is not None:
            return "loading"
        if self._runner is not None:
            return "ready"
        return "broken" if self._load_failed else "idle"

    @property
    def default_options(self) -> GenerationOptions:
        """How the loaded checkpoint likes to answer; the product's defaults while none is."""
        runner = self._runner
        return runner.default_options if runner else GenerationOptions()

    @property
    def loading(self) -> Progress | None:
        """How far the load has come that is under way; None: there is none."""
        loading = self._loading
        return loading.told if loading else None

    @property
    def busy(self) -> bool:
        """Whether somebody is being served; a turn that begins now has to wait."""
        return len(self._queue) > 0

    @property
    def idle_s(self) -> float:
        """Seconds since anybody was served or waited."""
        return self._queue.idle_s

    def load(self, settings: EngineSettings | None = None) -> Iterator[Progress]:
        """Load now, ``settings`` if given; nothing happens if that is loaded already.

        When ``settings`` cannot be loaded, the engine goes back to the settings before. Closing
        this gives the load up, unless others wait for it.

        Raises:
            CheckpointError: the checkpoint cannot be used.
            ResourceError: memory, disk or device do not allow it.
            CancelledError: somebody cancelled it.
        """
        place, stop, cancels = self._queue.enqueue(), threading.Event(), self._cancels
        try:
            self._heed(stop)
            yield from self._wait(place, stop)
            if stop.is_set():
                return
            before, self._settings = self._settings, settings or self._settings
            try:
                yield from self._ready(stop, cancels)
            except BaseException:
                self._settings = before
                raise
        finally:
            self._leave(place, stop)

    def cancel_load(self) -> bool:
        """Give up the load that is under way, for all who wait for it; whether there was one.

        Takes effect within a second; who waited gets a CancelledError.
        """
        loading = self._loading
        if loading is None:
            return False
        self._cancels += 1
        loading.cancelled = True
        return True

    def unload(self) -> None:
        """Free the model once those who came before are done; the next turn loads it again.

        Must not be called from the thread that is iterating over a turn: it would wait for itself
        for ever.
        """
        place = self._queue.enqueue()
        try:
            self._queue.wait(place)
            self._give_up()
            self._drop()
        finally:
            self._queue.release(place)

    def run(self, request: Request) -> Iterator[EngineEvent]:
        """Serve a request (see the methods that make them); ends with one TurnEnd.

        The work begins with the first event that is asked for.

        A turn that is stopped while it loads the model gives the load up, unless others wait for
        it: then the next one goes on with it.

        Raises:
            BusyError: too many wait already.
            CancelledError: somebody cancelled the load that this waited for.
            OmniError: with a sentence for the person; the engine stays usable.
        """
        if request.adapter is None:
            request = replace(request, adapter=self._settings.adapter)
        line, cancels = self._queue, self._cancels
        place = line.join_behind(request.stop) if request.behind else line.join(request.owner)
        try:
            self._heed(request.stop)
            yield from self._wait(place, request.stop)
            if not (request.stop.is_set() or request.behind):
                yield from self._ready(request.stop, cancels)
            runner = self._runner
            other = request.behind and self._loaded_settings != self._settings
            if request.stop.is_set() or runner is None or other:
                yield stopped(request.started)
                return
            begun = time.monotonic()
            yield from translated(runner.run(request), runner.report.device)
            if not (request.behind or isinstance(request, PrepareRequest)):
                self._service.add(time.monotonic() - begun)
        finally:
            self._leave(place, request.stop)

    def forget(self, session: str) -> None:
        """Drop what is kept for ``session``; a turn of it that is under way goes on."""
        runner = self._runner
        if runner is not None:
            runner.forget(session)

    def keep(self) -> Generator[Progress, None, None]:
        """Keep the quantized weights on the disk, beside whatever is served; raises as a load."""
        runner, stop = self._runner, threading.Event()
        try:
            self._heed(stop)
            yield from takewhile(lambda _: not stop.is_set(), runner.keep() if runner else ())
        finally:
            self._stops.discard(stop)

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

    def _leave(self, place: Place, stop: threading.Event) -> None:
        """Somebody is served, or waits no more; a load for which nobody waits any more ends."""
        self._stops.discard(stop)
        if place.counts and self._queue.position(place) == 0 and len(self._queue) == 1:
            self._give_up()
        self._queue.release(place)

    def _wait(self, place: Place, stop: threading.Event) -> Generator[Progress, None, None]:
        """Until ``place`` is the first, or ``stop`` is set."""
        told, again = 0, 0.0
        while not stop.is_set() and not self._queue.wait(place, POLL_S):
            ahead, now = self._queue.position(place), time.monotonic()
            if (loading := self.loading) is not None and ahead:  # it is this that is waited for
                if now >= again:
                    told, again = 0, now + RETELL_LOAD_S
                    yield loading
                continue
            wait_s = self._service.wait_s(ahead, now - self._serving_since)
            if ahead and (ahead != told or (wait_s is not None and now >= again)):
                told, again = ahead, now + RETELL_S
                yield Progress("wait", 0, ahead, left_s=wait_s)
        if not stop.is_set():
            self._serving_since = time.monotonic()

    def _ready(self, stop: threading.Event, cancels: int) -> Generator[Progress, None, None]:
        """Have the model of the settings loaded, unless ``stop`` is set; only while the caller is
        served.

        Args:
            cancels: how often loads had been cancelled when the caller began to wait.
        """
        settings, loading = self._settings, self._loading
        if loading is not None and loading.settings != settings:
            self._give_up()
        if self._runner is not None and self._loaded_settings == settings:
            return
        if self._loading is None and self._runner and same_model(self._loaded_settings, settings):
            holding = self._runner.hold_adapters(settings.adapters)
            yield from translated(holding, self._runner.report.device)
            self._loaded_settings = settings
            return
        if cancels != self._cancels:
            raise load_cancelled()
        if self._loading is None:
            self._loading = self._begin(settings)
        yield from translated(self._follow(self._loading, stop), settings.device)

    def _follow(
        self, loading: SharedLoad, stop: threading.Event
    ) -> Generator[Progress, None, None]:
        """A load to its end; it stays where it is when the caller stops or goes away."""
        try:
            for progress in loading.steps:
                loading.told = progress
                if loading.cancelled:
                    raise load_cancelled()
                if stop.is_set():
                    return
                yield progress
            self._loading = None
        except GeneratorExit:
            raise
        except BaseException as error:
            self._load_failed = not isinstance(error, CancelledError)
            # What was loaded lives on in the frames that the traceback holds.
            traceback.clear_frames(error.__traceback__)
            self._give_up()
            raise

    def _begin(self, settings: EngineSettings) -> SharedLoad:
        def make_room() -> None:
            """What was loaded goes."""
            loading.took_room = True
            self._drop()

        loading = SharedLoad(settings, self._replace(settings, make_room))
        return loading

    def _replace(
        self, settings: EngineSettings, make_room: Callable[[], None]
    ) -> Generator[Progress, None, None]:
        runner = yield from self._loader(settings, make_room)
        self._load_failed = False
        self._runner, self._loaded_settings = runner, settings
        logger.info("loaded %s", runner.report)

    def _give_up(self) -> None:
        """End a load that is not over and give its memory back."""
        loading, self._loading = self._loading, None
        if loading is None:
            return
        loading.steps.close()
        if loading.took_room:
            _release()

    def _drop(self) -> None:
        """Let the model go and give its memory back."""
        if self._runner is None:
            return
        self._runner = self._loaded_settings = None
        _release()


def _release() -> None:
    from omni import devices

    devices.release()
