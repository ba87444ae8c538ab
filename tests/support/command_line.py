"""The command line with a scripted engine: run a command, look at the WAV file that it wrote."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from omni.cli import main as cli
from omni.conversation import Message, Text
from omni.engine import LoadReport
from omni.events import (
    SPEECH_RATE,
    EngineEvent,
    MediaNote,
    Progress,
    SpeechChunk,
    TextDelta,
    TurnEnd,
    TurnStats,
)
from omni.options import GenerationOptions
from omni.requests import (
    ReadAloudRequest,
    ReadLine,
    ReadLinesRequest,
    Request,
    RequestMethods,
    TranscribeRequest,
    TurnRequest,
)

STATS = TurnStats(prompt_tokens=9, text_tokens=2, text_s=0.5, total_s=1, speech_s=2, seed=3)


class FakeEngine(RequestMethods):
    """Remembers what it was asked for; answers a few words and two chunks of sound."""

    default_options = GenerationOptions(max_rounds=5)

    def __init__(self, trained: bool = True) -> None:
        self.report: LoadReport | None = None
        self.trained = trained
        self.asked: list[tuple[Any, ...]] = []
        self.lines: list[tuple[ReadLine, ...]] = []  # of each reading with several voices
        self.error: BaseException | None = None
        self.notes: tuple[MediaNote, ...] = ()

    def load(self) -> Iterator[Progress]:
        yield Progress("download", 5, 10, "bytes")
        yield Progress("read", 1, 2)
        self.report = LoadReport("nano", 1, "float32", "", "cpu", "none", 0, 0, self.trained)

    def answer(self, spoken: bool) -> Iterator[EngineEvent]:
        yield Progress("encode", 0, 1)
        yield TextDelta("hello")
        if spoken:
            yield SpeechChunk(np.full(100, 7, np.int16))
        if self.error is not None:
            raise self.error
        yield TextDelta(" 你好")
        if spoken:
            yield SpeechChunk(np.full(50, -7, np.int16))
        message = Message("assistant", (Text("hello 你好"),), spoken)
        yield TurnEnd(message, "end", STATS, media_notes=self.notes)

    def run(self, request: Request) -> Iterator[EngineEvent]:
        if isinstance(request, TurnRequest):
            assert isinstance(request.options, GenerationOptions)
            self.asked.append((request.conversation, request.options))
            return self.answer(request.options.speech)
        if isinstance(request, TranscribeRequest):
            self.asked.append((request.path, request.options))
            return self.answer(False)
        if isinstance(request, ReadLinesRequest):
            self.lines.append(request.lines)
            return self.answer(True)
        assert isinstance(request, ReadAloudRequest)
        self.asked.append((request.text, request.voice, request.options, request.manner))
        return self.answer(True)


def run(engine: FakeEngine, *arguments: str) -> int:
    return cli.main(list(arguments), engine)  # type: ignore[arg-type]


def samples(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (
            1,
            2,
            SPEECH_RATE,
        )
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")
