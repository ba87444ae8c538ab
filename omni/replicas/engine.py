"""One engine for several replicas: whoever asks goes where their conversation is already known.

Knows: which session is at which replica, who has the shortest line. Does not know: processes
(:mod:`omni.replicas.process`), what a request asks for.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from omni.engine import Engine, EngineState
from omni.events import EngineEvent, Progress
from omni.fair_queue import LineLimits
from omni.options import GenerationOptions
from omni.replicas.process import loader as process_loader
from omni.requests import PrepareRequest, Request, TurnRequest
from omni.settings import EngineSettings, LoadReport

MOST_SESSIONS = 10_000  # whose place is remembered
# The more of these a replica has, the more of the whole is there.
ORDER: tuple[EngineState, ...] = ("ready", "loading", "idle", "broken")


class Replicas(Engine):
    """Engines side by side, which look like one. Each loads when it is needed first.

    A session stays with the replica that has its context, however long the line is there; a new one
    goes to the shortest line. Each replica has a line of its own, with the limits that are given.
    """

    def __init__(
        self,
        settings: EngineSettings,
        count: int,
        line: LineLimits | None = None,
        engines: list[Engine] | None = None,
    ) -> None:
        """Args:
        settings: of each; with the device ``cuda`` or ``auto`` each gets a GPU of its own, in turn.
        count: of replicas.
        line: how many may wait at each.
        engines: for tests.
        """
        super().__init__(settings, line=line)
        self._line = line
        self._engines = engines or [self._made(number, count) for number in range(count)]
        self._where: OrderedDict[str, Engine] = OrderedDict()
        self._asked = dict.fromkeys(self._engines, 0)  # requests that are served or wait
        self._choosing = threading.Lock()

    @property
    def replicas(self) -> tuple[Engine, ...]:
        """All of them."""
        return tuple(self._engines)

    @property
    def settings(self) -> EngineSettings:
        """What the next turns run with."""
        return self._settings

    @settings.setter
    def settings(self, settings: EngineSettings) -> None:
        self._settings = settings
        for number, engine in enumerate(self._engines):
            engine.settings = on_device(settings, number)

    @property
    def report(self) -> LoadReport | None:
        """What is loaded, at the first replica that has something."""
        reports = (engine.report for engine in self._engines)
        return next((report for report in reports if report is not None), None)

    @property
    def default_options(self) -> GenerationOptions:
        """How the checkpoint likes to answer."""
        loaded = [engine for engine in self._engines if engine.report is not None]
        return loaded[0].default_options if loaded else GenerationOptions()

    @property
    def busy(self) -> bool:
        """Whether a turn that begins now has to wait: all are at work."""
        return all(engine.busy for engine in self._engines)

    @property
    def idle_s(self) -> float:
        """Seconds since any of them had something to do."""
        return min(engine.idle_s for engine in self._engines)

    @property
    def state(self) -> EngineState:
        """The best of all: while one answers, the whole does."""
        return min((engine.state for engine in self._engines), key=ORDER.index)

    def load(self, settings: EngineSettings | None = None) -> Iterator[Progress]:
        """Load all, one after the other."""
        before = self.settings
        try:
            for number, engine in enumerate(self._engines):
                yield from engine.load(on_device(settings or before, number))
        except BaseException:
            self.settings = before
            raise
        self._settings = settings or before

    def unload(self) -> None:
        """Free all, once those who came before are done."""
        for engine in self._engines:
            engine.unload()

    def run(self, request: Request) -> Iterator[EngineEvent]:
        """Serve a request where its session is known, or where the line is shortest."""
        session = request.session if isinstance(request, (TurnRequest, PrepareRequest)) else None
        engine = self._engine_for(session, loaded=request.behind)
        try:
            yield from engine.run(request)
        finally:
            with self._choosing:
                self._asked[engine] -= 1

    def forget(self, session: str) -> None:
        """Drop what is kept for ``session``."""
        with self._choosing:
            engine = self._where.pop(session, None)
        if engine is not None:
            engine.forget(session)

    def close(self) -> None:
        """Stop everything."""
        super().close()
        for engine in self._engines:
            engine.close()

    def _engine_for(self, session: str | None, loaded: bool = False) -> Engine:
        """Args:
        loaded: of those that have a model, if any has.
        """
        with self._choosing:
            known = self._where.get(session) if session is not None else None
            able = [one for one in self._engines if one.report is not None] if loaded else []
            chosen = known or min(able or self._engines, key=self._asked.__getitem__)
            self._asked[chosen] += 1
            if session is not None:
                self._where[session] = chosen
                self._where.move_to_end(session)
                if len(self._where) > MOST_SESSIONS:
                    self._where.popitem(last=False)
        return chosen

    def _made(self, number: int, count: int) -> Engine:
        threads = max(1, (os.cpu_count() or 1) // count)
        load = partial(process_loader, threads=threads)
        return Engine(on_device(self._settings, number), load, self._line)


def on_device(settings: EngineSettings, number: int) -> EngineSettings:
    """The settings of a replica: of several GPUs, one that is its own."""
    if settings.device not in ("auto", "cuda"):
        return settings
    found = visible_gpus()
    return replace(settings, device=f"cuda:{number % found}") if found else settings


def visible_gpus() -> int:
    """How many NVIDIA GPUs the processes will see; 0 where torch can use none."""
    import torch

    return torch.cuda.device_count()
