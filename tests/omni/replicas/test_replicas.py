"""Several models side by side: who goes where, and what happens when one is lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import soundfile

from omni.conversation import Conversation, Message, Text
from omni.engine import Engine, EngineSettings
from omni.errors import CheckpointError, MediaError
from omni.events import TurnEnd
from omni.media import limits
from omni.options import GenerationOptions
from omni.replicas import process
from omni.replicas.engine import Replicas
from omni.replicas.process import RemoteRunner, loader
from omni.replicas.wire import ReplicaLost
from tests.support.engine_parts import FakeLoader, FakeRunner, in_thread, say, until, words

WRITTEN = GenerationOptions(speech=False, seed=1)
END_S = 60.0


@pytest.fixture
def fakes() -> list[FakeLoader]:
    return [FakeLoader(), FakeLoader()]


@pytest.fixture
def side_by_side(fakes: list[FakeLoader]) -> Replicas:
    engines = [Engine(EngineSettings("nano"), fake) for fake in fakes]
    return Replicas(EngineSettings("nano"), 2, engines=engines)


def runner(engine: Engine) -> FakeRunner:
    assert isinstance(engine._runner, FakeRunner)
    return engine._runner


def test_two_are_served_at_once_and_each_session_stays(side_by_side: Replicas) -> None:
    list(side_by_side.load())
    first, second = map(runner, side_by_side.replicas)
    first.hold = second.hold = threading.Event()
    turns = [
        in_thread(partial(list, side_by_side.turn(say("one"), session=name))) for name in ("a", "b")
    ]
    until(lambda: first.inside == second.inside == 1)
    assert side_by_side.busy
    first.hold.set()
    for turn in turns:
        turn.join(5)
    where = dict(side_by_side._where)
    assert {where["a"], where["b"]} == set(side_by_side.replicas)
    for _ in range(3):
        assert words(side_by_side.turn(say("again"), session="b")) == ["again"]
    assert side_by_side._where["b"] is where["b"]
    side_by_side.forget("b")
    assert runner(where["b"]).forgotten == ["b"]
    assert "b" not in side_by_side._where


def test_it_looks_like_one_engine(side_by_side: Replicas, fakes: list[FakeLoader]) -> None:
    assert side_by_side.state == "idle" and side_by_side.report is None
    list(side_by_side.turn(say("one")))
    assert side_by_side.state == "ready" and not side_by_side.busy
    assert side_by_side.report is not None
    assert side_by_side.default_options.seed == 7
    list(side_by_side.load(EngineSettings("another")))
    assert side_by_side.settings.model == "another"
    assert [fake.loaded[-1].model for fake in fakes] == ["another"] * 2
    with pytest.raises(CheckpointError):
        list(side_by_side.load(EngineSettings("broken")))
    assert side_by_side.settings.model == "another"
    assert all(engine.settings.model == "another" for engine in side_by_side.replicas)
    side_by_side.unload()
    assert side_by_side.report is None
    side_by_side.close()
    (end,) = [event for event in side_by_side.turn(say("one")) if isinstance(event, TurnEnd)]
    assert end.reason == "stopped"


@pytest.fixture(scope="module")
def nanos() -> Iterator[Replicas]:
    """Two processes with nano on the CPU."""
    engines = Replicas(EngineSettings("nano", device="cpu"), 2)
    list(engines.load())
    yield engines
    engines.unload()
    engines.close()


def remote(engine: Engine) -> RemoteRunner:
    assert isinstance(engine._runner, RemoteRunner)
    return engine._runner


def asked(text: str, *before: Message) -> Conversation:
    return Conversation(messages=(*before, Message("user", (Text(text),))))


def ended(engine: Engine, conversation: Conversation, session: str) -> TurnEnd:
    end = list(engine.turn(conversation, WRITTEN, session=session))[-1]
    assert isinstance(end, TurnEnd)
    return end


def test_real_models_answer_alike_and_keep_their_contexts(nanos: Replicas) -> None:
    pids = {remote(engine).pid for engine in nanos.replicas}
    assert len(pids) == 2 and os.getpid() not in pids
    ends = {name: ended(nanos, asked("Hello, who are you?"), name) for name in ("a", "b")}
    assert ends["a"].message.parts == ends["b"].message.parts != ()
    question = asked("Hello, who are you?").messages[0]
    nanos._where["b"] = next(e for e in nanos.replicas if e is not nanos._where["a"])
    next_one = ended(nanos, asked("What can you do?", question, ends["a"].message), "a")
    assert next_one.stats.cached_tokens > 0  # it came back to where its context is


def test_a_stop_reaches_the_other_process(nanos: Replicas) -> None:
    stop = threading.Event()
    turn = nanos.turn(asked("Count to twenty, please."), GenerationOptions(seed=1), stop)
    next(event for event in turn if not isinstance(event, TurnEnd))
    stop.set()
    end = list(turn)[-1]
    assert isinstance(end, TurnEnd) and end.reason == "stopped"
    assert ended(nanos, asked("Hello!"), "c").reason == "end"


def test_what_goes_wrong_there_is_told_here(nanos: Replicas, tmp_path: object) -> None:
    with pytest.raises(MediaError, match="was not found"):
        list(nanos.transcribe(Path("/no/such/file.wav")))


def test_files_are_bounded_there_as_they_are_here(
    nanos: Replicas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(limits._in_force, "limits", limits.MediaLimits(seconds=0.5))
    sound = tmp_path / "long.wav"
    soundfile.write(sound, np.zeros(24_000, np.float32), 24_000)
    engine = nanos.replicas[0]
    engine.unload()
    list(engine.load())
    with pytest.raises(MediaError) as told:
        list(engine.transcribe(sound))
    assert told.value.code == "audio-too-long"
    monkeypatch.undo()
    engine.unload()
    list(engine.load())


def test_a_lost_process_costs_its_turn_and_the_next_one_goes_on(nanos: Replicas) -> None:
    first = ended(nanos, asked("Hello, who are you?"), "d")
    lost = nanos._where["d"]
    pid = remote(lost).pid
    assert pid is not None
    turn = nanos.turn(asked("Count to twenty, please."), GenerationOptions(seed=1), session="d")
    next(turn)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ReplicaLost, match="ask again"):
        list(turn)
    question = asked("Hello, who are you?").messages[0]
    again = ended(nanos, asked("What can you do?", question, first.message), "d")
    assert again.reason == "end" and again.message.parts
    assert again.stats.prompt_tokens > first.stats.prompt_tokens  # with its history
    assert remote(lost).pid != pid


def test_a_process_that_is_lost_is_over_before_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the next turn may find it alive, and speak to nobody."""
    monkeypatch.setattr(process, "END_S", 0.1)
    monkeypatch.setattr(process, "serve", deaf)
    runner = RemoteRunner(EngineSettings("nano"), None)
    lost = runner._process
    with pytest.raises(ReplicaLost):
        list(runner.load())
    assert not lost.is_alive()


def deaf(connection: Connection, *_: object) -> None:
    """A process that closes its end of the line long before it ends."""
    connection.close()
    time.sleep(END_S)


def test_a_model_that_cannot_be_loaded_is_told_here() -> None:
    with pytest.raises(CheckpointError, match="is not a folder"):
        list(loader(EngineSettings("/no/such/folder"), lambda: None))


def test_the_process_ends_with_its_model(nanos: Replicas) -> None:
    engine = nanos.replicas[0]
    pid = remote(engine).pid
    assert pid is not None
    engine.unload()
    deadline = time.monotonic() + END_S
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    list(engine.load())
