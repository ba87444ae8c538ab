"""Stand-ins for what the engine loads and for its turns, and ways to use them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

from omni.conversation import Conversation, Message, Text, VoicePrompt
from omni.engine import EngineSettings, LoadReport
from omni.errors import CheckpointError
from omni.events import EngineEvent, Progress, TextDelta, TurnEnd, TurnStats
from omni.options import GenerationOptions

HELLO = Conversation(messages=(Message("user", (Text("hello"),)),))
REPORT = LoadReport("nano", 1, "float32", "", "cpu", "none", 0, 0.0, True)
WAIT_S = 5.0  # more than anything here takes


class FakeAssistant:
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

    def forget(self, session: str) -> None:
        self.forgotten.append(session)

    def prepare(
        self, conversation: Conversation, stop: threading.Event, started: float, session: str
    ) -> Iterator[EngineEvent]:
        yield Progress("encode", 0, len(conversation.messages))
        yield TurnEnd(Message("assistant", ()), "end", TurnStats())

    def turn(
        self,
        conversation: Conversation,
        options: GenerationOptions | None,
        stop: threading.Event,
        started: float,
        session: str | None = None,
    ) -> Iterator[EngineEvent]:
        part = conversation.messages[-1].parts[0]
        assert isinstance(part, Text)
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            for word in part.text.split():
                if self.hold is not None:
                    assert self.hold.wait(WAIT_S)
                if self.error is not None:
                    raise self.error
                if stop.is_set():
                    yield self.end("stopped", started)
                    return
                yield TextDelta(word)
            yield self.end("end", started)
        finally:
            self.inside -= 1
            self.closed += 1

    def end(self, reason: str, started: float) -> TurnEnd:
        stats = TurnStats(total_s=time.perf_counter() - started)
        return TurnEnd(Message("assistant", ()), reason, stats)  # type: ignore[arg-type]

    def transcribe(
        self,
        path: Path,
        options: GenerationOptions | None,
        stop: threading.Event,
        started: float,
    ) -> Iterator[EngineEvent]:
        yield TextDelta(path.name)
        yield self.end("end", started)

    def read_aloud(
        self,
        text: str,
        voice: VoicePrompt | None,
        options: GenerationOptions | None,
        stop: threading.Event,
        started: float,
    ) -> Iterator[EngineEvent]:
        yield TextDelta(text)
        yield self.end("end", started)


class FakeLoader:
    """Three steps to a FakeAssistant; "broken" is not found, "huge" does not fit."""

    def __init__(self) -> None:
        self.loaded: list[EngineSettings] = []
        self.assistants: list[FakeAssistant] = []
        self.rooms = 0
        self.given_up = 0
        self.step: Callable[[], None] = lambda: None

    def __call__(
        self, settings: EngineSettings, make_room: Callable[[], None]
    ) -> Generator[Progress, None, FakeAssistant]:
        if settings.model == "broken":
            raise CheckpointError("checkpoint-missing", "There is none.")
        make_room()
        self.rooms += 1
        if settings.model == "huge":
            raise MemoryError
        try:
            for done in range(3):
                self.step()
                yield Progress("load", done, 3)
        except GeneratorExit:
            self.given_up += 1
            raise
        self.loaded.append(settings)
        self.assistants.append(FakeAssistant(settings))
        return self.assistants[-1]


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
