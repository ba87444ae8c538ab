"""A reading with several voices is one sound."""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path

import numpy as np

from omni.conversation import Message, Speech, Text, VoicePrompt
from omni.events import SPEECH_RATE, EngineEvent, SpeechChunk, TextDelta, TurnEnd, TurnStats
from omni.requests import ReadAloudRequest, ReadLine, ReadLinesRequest
from omni.speech.lines import PAUSE_S, read_lines

ANNA = VoicePrompt(Path("anna.wav"), "system", None)
LINES = (ReadLine("Hello!", ANNA, "Anna"), ReadLine("Yes.", None, "Ben", "Speak slowly."))


class Reader:
    """Reads every line as a tenth of a second of ones."""

    def __init__(self, stops: threading.Event | None = None) -> None:
        self.asked: list[ReadAloudRequest] = []
        self.stops = stops

    def __call__(self, request: ReadAloudRequest) -> Generator[EngineEvent, None, None]:
        self.asked.append(request)
        yield SpeechChunk(np.ones(SPEECH_RATE // 10, np.int16))
        if self.stops is not None:
            self.stops.set()
        reason = "stopped" if request.stop.is_set() else "end"
        stats = TurnStats(prompt_tokens=3, audio_frames=2, first_sound_s=0.5, speech_s=0.1)
        yield TurnEnd(Message("assistant", (Speech(),), spoken=True), reason, stats)


def test_lines_follow_one_another_with_a_pause_and_their_names() -> None:
    reader = Reader()
    *events, end = read_lines(reader, ReadLinesRequest(LINES))
    assert [one.text for one in events if isinstance(one, TextDelta)] == [
        "Anna: Hello!\n\n",
        "Ben: Yes.",
    ]
    sound = np.concatenate([one.samples for one in events if isinstance(one, SpeechChunk)])
    pause = round(PAUSE_S * SPEECH_RATE)
    assert sound.size == 2 * SPEECH_RATE // 10 + pause
    assert not sound[SPEECH_RATE // 10 :][:pause].any()
    assert [(one.text, one.voice, one.manner) for one in reader.asked] == [
        ("Hello!", ANNA, ""),
        ("Yes.", None, "Speak slowly."),
    ]
    assert isinstance(end, TurnEnd)
    assert end.reason == "end"
    assert [type(part) for part in end.message.parts] == [Text, Speech, Text, Speech]
    assert end.stats.prompt_tokens == 6
    assert end.stats.first_sound_s == 0.5
    assert abs(end.stats.speech_s - 0.2 - PAUSE_S) < 1e-9


def test_one_seed_holds_for_all_lines() -> None:
    reader = Reader()
    list(read_lines(reader, ReadLinesRequest(LINES)))
    seeds = {one.options.seed for one in reader.asked if one.options}
    assert len(seeds) == 1
    assert None not in seeds


def test_stop_ends_it_with_the_line_under_way() -> None:
    stop = threading.Event()
    reader = Reader(stop)
    *_, end = read_lines(reader, ReadLinesRequest(LINES, stop=stop))
    assert isinstance(end, TurnEnd)
    assert end.reason == "stopped"
    assert len(reader.asked) == 1
