"""Each method of an engine makes one request, and that is what travels."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from omni.conversation import Conversation, Message, Text, VoicePrompt
from omni.events import EngineEvent, Progress, TextDelta, TurnStats
from omni.options import GenerationOptions
from omni.requests import (
    PrepareRequest,
    ReadAloudRequest,
    Request,
    RequestMethods,
    TranscribeRequest,
    TurnRequest,
    chosen,
)

HELLO = Conversation(messages=(Message("user", (Text("hello"),)),))


class Recorder(RequestMethods):
    def __init__(self) -> None:
        self.requests: list[Request] = []

    def run(self, request: Request) -> Iterator[EngineEvent]:
        self.requests.append(request)
        return iter([Progress("encode", 0, 1), TextDelta("x")])


def test_a_turn_needs_a_conversation_only() -> None:
    before = time.perf_counter()
    engine = Recorder()
    engine.turn(HELLO)
    (request,) = engine.requests
    assert isinstance(request, TurnRequest)
    assert (request.conversation, request.options, request.session) == (HELLO, None, None)
    assert not request.stop.is_set()
    assert before <= request.started <= time.perf_counter()


def test_everything_that_is_given_arrives() -> None:
    engine, stop = Recorder(), threading.Event()
    options, voice = GenerationOptions(seed=3), VoicePrompt(Path("v.wav"))
    engine.turn(HELLO, options, stop, "me")
    engine.transcribe(Path("a.wav"), stop, options)
    engine.read_aloud("hi", stop, voice, options)
    engine.prepare(HELLO, stop, "me")
    turn, transcribe, read_aloud, prepare = engine.requests
    assert isinstance(turn, TurnRequest) and turn.session == "me"
    assert isinstance(transcribe, TranscribeRequest) and transcribe.path == Path("a.wav")
    assert isinstance(read_aloud, ReadAloudRequest)
    assert (read_aloud.text, read_aloud.voice) == ("hi", voice)
    assert isinstance(prepare, PrepareRequest) and prepare.session == "me"
    assert turn.options is transcribe.options is read_aloud.options is options
    assert all(request.stop is stop for request in engine.requests)


def test_a_stop_signal_is_nobody_elses() -> None:
    first, second = TurnRequest(HELLO), TurnRequest(HELLO)
    first.stop.set()
    assert not second.stop.is_set()


def test_preparing_tells_its_progress_alone() -> None:
    events = Recorder().prepare(HELLO, threading.Event(), "me")
    assert list(events) == [Progress("encode", 0, 1)]


def test_options_may_be_a_change_of_the_checkpoints_own() -> None:
    own = GenerationOptions(seed=7)
    assert chosen(None, own) is own
    assert chosen(PLAIN, own) is PLAIN
    assert chosen(lambda usual: replace(usual, speech=False), own) == replace(own, speech=False)


PLAIN = GenerationOptions()


def test_waiting_is_not_computing() -> None:
    stats = TurnStats(total_s=10.0, waited_s=8.0, speech_s=4.0)
    assert stats.real_time_factor == 0.5
