"""An engine without a model: the interface of omni.engine.Engine, words and a tone.

What the person types chooses what it does: "slow" (a word every 0.15 s), "long" (60 words),
"short" (one chunk of sound), "ponder" (a long time before the first word), "broken picture" (an
error that a person can cause), "crash" (one that nobody expects), "crash late" (after some words),
"forget" (no room for what was said before), "damaged" (a file of the question was), "history"
(how many messages it was given). Everything else: a few words in several chunks.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np

from omni.conversation import Conversation, Message, Part, Speech, Text, VoicePrompt
from omni.engine import EngineSettings, EngineState, LoadReport
from omni.errors import CancelledError, CheckpointError, MediaError
from omni.events import (
    SPEECH_RATE,
    EngineEvent,
    FinishReason,
    MediaNote,
    Progress,
    SpeechChunk,
    TextDelta,
    TurnEnd,
    TurnStats,
)
from omni.options import GenerationOptions
from omni.requests import (
    PrepareRequest,
    ReadAloudRequest,
    ReadLine,
    ReadLinesRequest,
    Request,
    RequestMethods,
    TranscribeRequest,
    TurnRequest,
    chosen,
)
from omni.speech.lines import read_lines

TONE_HZ = 440.0
CHUNK_S = 0.4
PONDER_S = 10.0
SLOW, SLOW_LOAD_S = "owner/slow", 30.0  # a model of that name takes so long
BROKEN = "owner/broken"  # one of that name cannot be loaded
STEPS = 10  # of a load, of a GB each


class FakeEngine(RequestMethods):
    """Streams words and a tone; remembers the conversations that it was given."""

    elsewhere = False  # its model is chosen here

    def __init__(self, settings: EngineSettings | None = None, load_s: float = 0.0) -> None:
        self.settings = settings or EngineSettings(model="nano")
        self.elsewhere = False
        self.report: LoadReport | None = None
        self.seen: list[Conversation] = []
        self.sessions: list[str | None] = []  # of each turn
        self.forgotten: list[str] = []
        self.prepared: list[tuple[Conversation, str]] = []
        self.options: list[GenerationOptions] = []  # of each turn
        self.adapters: list[str | None] = []  # that each turn has asked for
        self.default_options = GenerationOptions()
        self.ended: list[str] = []  # how each turn ended
        self.manners: list[str] = []  # of each reading
        self.voices: list[VoicePrompt | None] = []  # of each reading
        self.lines: list[tuple[ReadLine, ...]] = []  # of each reading with several voices
        self.trained = False
        self.load_s = load_s
        self.keep_bytes = 0  # of what the loaded model could keep
        self.loading: Progress | None = None
        self._cancelled = False
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        return self._lock.locked()

    @property
    def state(self) -> EngineState:
        return "ready" if self.report else "idle"

    def load(self, settings: EngineSettings | None = None) -> Iterator[Progress]:
        with self._lock:
            before, self.settings = self.settings, settings or self.settings
            try:
                yield from self._load()
            except (CancelledError, CheckpointError):
                self.settings = before
                raise

    def cancel_load(self) -> bool:
        self._cancelled = self.loading is not None
        return self._cancelled

    def _load(self) -> Iterator[Progress]:
        self._cancelled = False
        load_s = SLOW_LOAD_S if self.settings.model == SLOW else self.load_s
        try:
            for done in range(STEPS + 1):
                self.loading = Progress("read", done * 1e9, STEPS * 1e9, "bytes", 60 - done)
                yield self.loading
                time.sleep(load_s / STEPS)
                if self.settings.model == BROKEN and done > 1:
                    raise CheckpointError("file-broken", "{path} is broken.", path=BROKEN)
                if self._cancelled:
                    raise CancelledError("load-cancelled", "It was cancelled.")
        finally:
            self.loading = None
        self.report = LoadReport(
            checkpoint="nano",
            parameters=14_200_000,
            dtype="float32",
            dtype_reason="a CPU without bf16",
            device="cpu",
            quantization="4bit" if self.keep_bytes else "none",
            memory_bytes=57_000_000,
            load_s=self.load_s,
            trained=self.trained,
            keep_bytes=self.keep_bytes,
        )

    def keep(self) -> Generator[Progress, None, None]:
        """Two steps; then the report says so."""
        assert self.report is not None
        yield Progress("keep", 0, 2_000_000_000, "bytes")
        yield Progress("keep", 2_000_000_000, 2_000_000_000, "bytes")
        self.report = replace(self.report, kept=True)

    def forget(self, session: str) -> None:
        self.forgotten.append(session)

    def unload(self) -> None:
        with self._lock:
            self.report = None

    def run(self, request: Request) -> Iterator[EngineEvent]:
        if isinstance(request, TurnRequest):
            yield from self._turn(request)
        elif isinstance(request, PrepareRequest):
            with self._lock:
                self.prepared.append((request.conversation, request.session))
                yield Progress("encode", 1, 1)
        elif isinstance(request, TranscribeRequest):
            yield from self._transcribe(request)
        elif isinstance(request, ReadLinesRequest):
            self.lines.append(request.lines)
            yield from read_lines(self._read_aloud, request)
        else:
            yield from self._read_aloud(request)

    def _turn(self, request: TurnRequest) -> Iterator[EngineEvent]:
        self.sessions.append(request.session)
        options, stop = chosen(request.options, self.default_options), request.stop
        self.options.append(options)
        self.adapters.append(request.adapter)
        waited = False
        while not self._lock.acquire(timeout=0.02):
            if not waited:
                waited = True
                yield Progress("wait", 0, 1)
            if stop.is_set():
                yield TurnEnd(Message("assistant", ()), "stopped", TurnStats())
                return
        try:
            if self.report is None:
                yield from self._load()
            self.seen.append(request.conversation)
            yield from self._answer(request.conversation, options, stop, request.started)
        except GeneratorExit:
            self.ended.append("closed")
            raise
        finally:
            self._lock.release()

    def _transcribe(self, request: TranscribeRequest) -> Iterator[EngineEvent]:
        """Writes down the file's name."""
        said = f"This is {request.path.name}"
        yield TextDelta(said)
        yield TurnEnd(Message("assistant", (Text(said),)), "end", TurnStats(text_tokens=3))

    def _read_aloud(self, request: ReadAloudRequest) -> Generator[EngineEvent, None, None]:
        """A chunk of tone for each word."""
        self.manners.append(request.manner)
        self.voices.append(request.voice)
        words = request.text.split()
        for index in range(len(words)):
            yield SpeechChunk(tone(index * CHUNK_S, CHUNK_S))
        speech = Speech(codes=np.zeros((len(words) * 5, 8), np.int32))
        stats = TurnStats(first_sound_s=0.01, speech_s=len(words) * CHUNK_S, total_s=0.1)
        yield TurnEnd(Message("assistant", (speech,), spoken=True), "end", stats)

    def _answer(
        self,
        conversation: Conversation,
        options: GenerationOptions,
        stop: threading.Event,
        started: float,
    ) -> Iterator[EngineEvent]:
        asked = " ".join(
            part.text for part in conversation.messages[-1].parts if isinstance(part, Text)
        )
        words = _script(asked)
        if "history" in asked:
            words = [f"{len(conversation.messages)} ", "messages"]
        said, chunks = "", 0
        if "ponder" in asked:
            stop.wait(PONDER_S)
        for index, word in enumerate(words):
            if stop.is_set():
                break
            if index == 3 and "crash late" in asked:
                raise RuntimeError("the fake engine crashes late")
            if "slow" in asked:
                time.sleep(0.15)
            yield TextDelta(word)
            said += word
            if options.speech and (index == 0 or "short" not in asked):
                yield SpeechChunk(tone(chunks * CHUNK_S, CHUNK_S))
                chunks += 1
        reason: FinishReason = "stopped" if stop.is_set() else "end"
        self.ended.append(reason)
        parts: list[Part] = [Text(said)] if said else []
        if chunks:
            parts.append(Speech(codes=np.zeros((chunks * 5, 8), np.int32)))
        total = time.perf_counter() - started
        stats = TurnStats(
            prompt_tokens=20,
            text_tokens=len(words),
            audio_frames=chunks * 5,
            text_s=max(total, 1e-3),
            first_text_s=0.01,
            first_sound_s=0.02 if chunks else None,
            total_s=total,
            speech_s=chunks * CHUNK_S,
            seed=options.seed or 1,
        )
        message = Message("assistant", tuple(parts), spoken=options.speech)
        forgotten = len(conversation.messages) - 1 if "forget" in asked else 0
        notes = (MediaNote("damaged", "a.mp3"),) if "damaged" in asked else ()
        yield TurnEnd(message, reason, stats, forgotten, notes)


def _script(asked: str) -> list[str]:
    if "broken picture" in asked:
        sentence = "This picture cannot be read: choose another file."
        raise MediaError("image-broken", sentence, name="a.png")
    if "crash" in asked and "late" not in asked:
        raise RuntimeError("the fake engine crashes")
    if "short" in asked:
        return ["Yes", "."]
    if "echo" in asked:
        return [f"{word} " for word in re.sub(".*echo", "", asked).split()]
    count = 60 if "long" in asked else 8
    return [f"word{index} " for index in range(count)]


def tone(start_s: float, length_s: float) -> np.ndarray:
    """int16 (samples,) of a tone whose phase goes on from chunk to chunk."""
    first = round(start_s * SPEECH_RATE)
    time_s = (first + np.arange(round(length_s * SPEECH_RATE))) / SPEECH_RATE
    return (8000 * np.sin(2 * np.pi * TONE_HZ * time_s)).astype(np.int16)
