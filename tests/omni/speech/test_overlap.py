"""Jobs beside: in order, errors where results are asked for, no thread left; turns with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from omni import threads
from omni.conversation import Conversation, Message, Text
from omni.engine import Engine, EngineSettings
from omni.events import EngineEvent, SpeechChunk, TextDelta, TurnEnd
from omni.options import GenerationOptions
from omni.speech.decoder import SpeechDecoder
from omni.speech.overlap import JobsBeside, JobsHere, jobs_on
from tests.support.checkpoints import write_checkpoint

CPU = torch.device("cpu")
WAIT_S = 5.0
OPTIONS = GenerationOptions(seed=1)
HELLO = Conversation(messages=(Message("user", (Text("hello"),)),))


@pytest.fixture
def jobs() -> Iterator[JobsBeside[Any]]:
    beside: JobsBeside[Any] = JobsBeside(CPU)
    yield beside
    beside.close()
    assert not sounding()


def sounding() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "omni-sound"]


def test_the_device_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    for most, cores, kind in ((2, 2, JobsHere), (1, 1, JobsHere), (1, 2, JobsBeside)):
        monkeypatch.setattr(threads.COUNT, "most", most)
        monkeypatch.setattr(threads, "cores", lambda cores=cores: cores)
        assert isinstance(jobs_on(CPU), kind)
    assert isinstance(jobs_on(torch.device("mps")), JobsHere)
    assert isinstance(jobs_on(torch.device("cuda", 0)), JobsBeside)


def test_results_come_in_order(jobs: JobsBeside[Any]) -> None:
    def slowly(index: int) -> int:
        time.sleep(0.001 * (index % 3))
        return index

    for index in range(20):
        jobs.submit(partial(slowly, index))
    assert list(jobs.rest()) == list(range(20))
    assert list(jobs.rest()) == [] and list(jobs.ready()) == []


def test_the_first_result_comes_from_here() -> None:
    jobs: JobsBeside[threading.Thread | None] = JobsBeside(CPU, first_here=1)
    jobs.submit(lambda: None)
    for _ in range(2):
        jobs.submit(threading.current_thread)
    nothing, first, second = jobs.rest()
    assert nothing is None
    assert first is threading.current_thread()
    assert second is not threading.current_thread()
    jobs.close()


def test_nobody_waits_for_what_is_not_ready(jobs: JobsBeside[Any]) -> None:
    hold = threading.Event()
    jobs.submit(lambda: 1)
    jobs.submit(lambda: hold.wait(WAIT_S) and 2)
    deadline = time.monotonic() + WAIT_S
    first: list[int] = []
    while not first and time.monotonic() < deadline:
        first = list(jobs.ready())
    assert first == [1] and list(jobs.ready()) == []
    hold.set()
    assert list(jobs.rest()) == [2]


def test_an_error_comes_in_its_place_and_ends_the_work(jobs: JobsBeside[Any]) -> None:
    done = []
    jobs.submit(lambda: 1)
    jobs.submit(lambda: 1 // 0)
    jobs.submit(lambda: done.append(3))
    results = jobs.rest()
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(jobs.rest()) == [] and not done


def test_closing_drops_what_has_not_begun() -> None:
    jobs: JobsBeside[Any] = JobsBeside(CPU)
    begun, hold, done = threading.Event(), threading.Event(), []

    def long() -> None:
        begun.set()
        hold.wait(WAIT_S)
        done.append(1)

    jobs.submit(long)
    jobs.submit(lambda: done.append(2))
    assert begun.wait(WAIT_S)
    threading.Timer(0.05, hold.set).start()
    jobs.close()
    assert done == [1] and not sounding()
    with pytest.raises(RuntimeError):
        jobs.submit(lambda: 3)


# ---- turns


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    limits = {"text_tokens": 4, "audio_frames": 14, "rounds": 2}
    folder = write_checkpoint(tmp_path_factory.mktemp("tiny"), omni={"limits": limits})
    engine = Engine(EngineSettings(str(folder), device="cpu"))
    list(engine.load())
    return engine


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omni.assistant.jobs_on", JobsBeside)


def heard(events: list[EngineEvent]) -> tuple[np.ndarray, str]:
    sound = [event.samples for event in events if isinstance(event, SpeechChunk)]
    text = [event.text for event in events if isinstance(event, TextDelta)]
    return np.concatenate(sound), "".join(text)


def test_a_turn_beside_says_the_same(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    want = heard(list(engine.turn(HELLO, OPTIONS)))
    monkeypatch.setattr("omni.assistant.jobs_on", JobsBeside)
    events = list(engine.turn(HELLO, OPTIONS))
    have = heard(events)
    assert np.array_equal(have[0], want[0]) and have[1] == want[1]
    assert isinstance(events[-1], TurnEnd) and not sounding()
    assert events[-1].stats.vocode_s > 0 and events[-1].stats.first_sound_s is not None


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("how", ["stopped", "closed"])
def test_a_turn_beside_ends_at_once(engine: Engine, how: str) -> None:
    stop = threading.Event()
    turn: Any = engine.turn(HELLO, OPTIONS, stop)
    for event in turn:
        if isinstance(event, SpeechChunk):
            break
    if how == "closed":
        turn.close()
    else:
        stop.set()
        rest = list(turn)
        assert [type(event) for event in rest] == [TurnEnd] and rest[0].reason == "stopped"
    assert not sounding() and not engine.busy


@pytest.mark.usefixtures("beside")
def test_stop_silences_what_was_generated_and_not_decoded_yet(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = SpeechDecoder.push

    def slowly(*given: Any) -> Any:
        time.sleep(0.2)  # by then all frames are there
        return push(*given)

    with monkeypatch.context() as patch:
        patch.setattr(SpeechDecoder, "push", slowly)
        stop = threading.Event()
        turn = iter(engine.turn(HELLO, OPTIONS, stop))
        assert any(isinstance(event, SpeechChunk) for event in turn)
        stop.set()
        rest = list(turn)
    assert [type(event) for event in rest] == [TurnEnd]
    assert isinstance(rest[0], TurnEnd) and rest[0].reason == "stopped"
    assert not sounding() and not engine.busy


@pytest.mark.usefixtures("beside")
def test_an_error_of_the_decoder_ends_the_turn(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(SpeechDecoder, "push", fail)
        with pytest.raises(OSError, match="broken"):
            list(engine.turn(HELLO, OPTIONS))
    assert not sounding() and not engine.busy
    assert isinstance(list(engine.turn(HELLO, OPTIONS))[-1], TurnEnd)


# ---- sessions


def following(conversation: Conversation, end: TurnEnd, text: str) -> Conversation:
    said = Message("user", (Text(text),))
    return Conversation(messages=(*conversation.messages, end.message, said))


def last(engine: Engine, conversation: Conversation, session: str | None) -> TurnEnd:
    end = list(engine.turn(conversation, OPTIONS, session=session))[-1]
    assert isinstance(end, TurnEnd)
    return end


def test_a_session_s_next_turn_says_what_it_would_have_said(engine: Engine) -> None:
    more = following(HELLO, last(engine, HELLO, "a"), "and more")
    kept = last(engine, more, "a")
    fresh = last(engine, more, None)
    assert kept.stats.cached_tokens > fresh.stats.prompt_tokens // 2
    assert fresh.stats.cached_tokens == 0
    texts = [part.ids for part in kept.message.parts if isinstance(part, Text)]
    assert texts == [part.ids for part in fresh.message.parts if isinstance(part, Text)]


def test_forgetting_and_unloading_drop_what_was_kept(engine: Engine, tmp_path: Path) -> None:
    more = following(HELLO, last(engine, HELLO, "a"), "and more")
    engine.forget("a")
    engine.forget("nobody")
    assert last(engine, more, "a").stats.cached_tokens == 0
    engine.unload()
    engine.forget("a")
    assert last(engine, more, "a").stats.cached_tokens == 0
