"""Stand-ins for what the engine loads and for its turns, and ways to use them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace

from omni.conversation import Conversation, Message, Text
from omni.engine import EngineSettings, LoadReport
from omni.errors import CheckpointError
from omni.events import EngineEvent, FinishReason, Progress, TextDelta, TurnEnd, TurnStats
from omni.options import GenerationOptions
from omni.requests import PrepareRequest, Request, TranscribeRequest, TurnRequest

HELLO = Conversation(messages=(Message("user", (Text("hello"),)),))
REPORT = LoadReport("nano", 1, "float32", "", "cpu", "none", 0, 0.0, True)
WAIT_S = 5.0  # more than anything here takes


class FakeRunner:
    """Says the words of the last message; ``hold`` is waited for before each word."""

    default_options = GenerationOptions(seed=7)

    def __init__(self, settings: EngineSettings) -> None:
        self.report = replace(REPORT, checkpoint=settings.model)
        self.hold: threading.Event | None = None
        self.error: BaseException | None = None
        self.inside = 0
        self.most_inside = 0
        self.closed = 0
        self.forgotten: list[str] = []
        self.adapters = settings.adapters
        self.asked: list[str | None] = []  # the adapter of each request

    def keep(self) -> Iterator[Progress]:
        yield from ()

    def forget(self, session: str) -> None:
        self.forgotten.append(session)

    def hold_adapters(self, names: Sequence[str]) -> Iterator[Progress]:
        yield Progress("load", 0, len(names))
        if "broken" in names:
            raise CheckpointError("adapter-broken", "It is broken.")
        self.adapters = tuple(names)

    def run(self, request: Request) -> Iterator[EngineEvent]:
        self.asked.append(request.adapter)
        if isinstance(request, TurnRequest):
            yield from self.turn(request)
            return
        if isinstance(request, PrepareRequest):
            yield Progress("encode", 0, len(request.conversation.messages))
        elif isinstance(request, TranscribeRequest):
            yield TextDelta(request.path.name)
        else:
            yield TextDelta(request.text)
        yield self.end("end", request)

    def turn(self, request: TurnRequest) -> Iterator[EngineEvent]:
        part = request.conversation.messages[-1].parts[0]
        assert isinstance(part, Text)
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            for word in part.text.split():
                if self.hold is not None:
                    assert self.hold.wait(WAIT_S)
                if self.error is not None:
                    raise self.error
                if request.stop.is_set():
                    yield self.end("stopped", request)
                    return
                yield TextDelta(word)
            yield self.end("end", request)
        finally:
            self.inside -= 1
            self.closed += 1

    def end(self, reason: FinishReason, request: Request) -> TurnEnd:
        stats = TurnStats(total_s=time.perf_counter() - request.started)
        return TurnEnd(Message("assistant", ()), reason, stats)


class FakeLoader:
    """Three steps to a FakeRunner; "broken" is not found, "huge" does not fit."""

    def __init__(self) -> None:
        self.loaded: list[EngineSettings] = []
        self.runners: list[FakeRunner] = []
        self.rooms = 0
        self.given_up = 0
        self.step: Callable[[], None] = lambda: None

    def __call__(
        self, settings: EngineSettings, make_room: Callable[[], None]
    ) -> Generator[Progress, None, FakeRunner]:
        if settings.model == "broken":
            raise CheckpointError("checkpoint-missing", "There is none.")
        make_room()
        self.rooms += 1
        if settings.model == "huge":
            raise MemoryError
        try:
            for done in range(3):
                self.step()
                yield Progress("read", done, 3)
        except GeneratorExit:
            self.given_up += 1
            raise
        self.loaded.append(settings)
        self.runners.append(FakeRunner(settings))
        return self.runners[-1]


def say(text: str) -> Conversation:
    return Conversation(messages=(Message("user", (Text(text),)),))


def words(events: Iterator[EngineEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, TextDelta)]


def last(events: Iterator[EngineEvent]) -> TurnEnd:
    *_, end = events
    assert isinstance(end, TurnEnd)
    return end


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)
