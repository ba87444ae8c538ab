"""The engine's state machine, with stand-ins for loading and for turns."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from omni.conversation import Message
from omni.engine import Engine, EngineSettings
from omni.errors import BusyError, CancelledError, CheckpointError, ResourceError
from omni.events import EngineEvent, Progress, TextDelta, TurnEnd
from omni.fair_queue import Asker, LineLimits
from omni.options import GenerationOptions
from omni.requests import TurnRequest
from omni.settings import with_adapter
from tests.support.engine_parts import (
    HELLO,
    WAIT_S,
    FakeLoader,
    FakeRunner,
    in_thread,
    last,
    say,
    until,
    words,
)
from tests.support.root import ROOT


@pytest.fixture
def loader() -> FakeLoader:
    return FakeLoader()


@pytest.fixture
def engine(loader: FakeLoader) -> Engine:
    return Engine(EngineSettings("nano"), loader)


def test_importing_the_engine_does_not_import_torch() -> None:
    code = (
        "import sys, omni.engine, omni.conversation, omni.options, omni.events, omni.cli.main;"
        "found = {'torch', 'transformers', 'gradio'} & set(sys.modules);"
        "sys.exit(f'imported {found}' if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_nothing_is_loaded_before_the_first_turn(engine: Engine, loader: FakeLoader) -> None:
    assert engine.report is None and not engine.busy
    turn = engine.turn(say("one two"))
    assert not loader.loaded and not engine.busy
    events = list(turn)
    assert [type(event) for event in events] == [Progress] * 3 + [TextDelta] * 2 + [TurnEnd]
    assert engine.report is not None and engine.report.checkpoint == "nano"
    assert words(engine.turn(say("three"))) == ["three"]
    assert len(loader.loaded) == 1, "the second turn uses the same model"
    assert not engine.busy


def test_load_reports_progress_and_does_nothing_twice(engine: Engine, loader: FakeLoader) -> None:
    assert list(engine.load()) == [Progress("read", done, 3) for done in range(3)]
    assert list(engine.load()) == []
    assert list(engine.load(EngineSettings("nano"))) == []
    assert len(loader.loaded) == 1
    assert engine.default_options == GenerationOptions(seed=7)


def test_other_settings_reload(engine: Engine, loader: FakeLoader) -> None:
    list(engine.load())
    list(engine.load(EngineSettings("other")))
    assert engine.report is not None and engine.report.checkpoint == "other"
    engine.settings = EngineSettings("third")
    assert words(engine.turn(say("hi"))) == ["hi"]
    assert engine.report.checkpoint == "third"
    assert [settings.model for settings in loader.loaded] == ["nano", "other", "third"]


def test_unload_and_load_again(engine: Engine, loader: FakeLoader) -> None:
    engine.unload()
    list(engine.load())
    engine.unload()
    assert engine.report is None
    assert words(engine.turn(HELLO)) == ["hello"]
    assert len(loader.loaded) == 2


def test_a_checkpoint_that_is_not_found_costs_nothing(engine: Engine, loader: FakeLoader) -> None:
    list(engine.load())
    with pytest.raises(CheckpointError):
        list(engine.load(EngineSettings("broken")))
    assert engine.settings == EngineSettings("nano")
    assert engine.report is not None, "the loaded model is still there"
    assert words(engine.turn(HELLO)) == ["hello"]
    assert len(loader.loaded) == 1


def test_a_load_that_runs_out_of_memory_goes_back(engine: Engine, loader: FakeLoader) -> None:
    list(engine.load())
    with pytest.raises(ResourceError) as caught:
        list(engine.load(EngineSettings("huge")))
    assert caught.value.code == "memory-out"
    assert "auto" not in str(caught.value), "the device's name, not the setting's"
    assert engine.report is None and not engine.busy
    assert words(engine.turn(HELLO)) == ["hello"], "the settings before are loaded again"
    assert [settings.model for settings in loader.loaded] == ["nano", "nano"]


def test_a_dropped_load_is_given_up(engine: Engine, loader: FakeLoader) -> None:
    loading = engine.load(EngineSettings("other"))
    next(loading)
    assert engine.busy
    loading.close()  # type: ignore[attr-defined]
    assert loader.given_up == 1 and not engine.busy
    assert engine.settings == EngineSettings("nano") and engine.report is None


def test_an_error_in_a_turn_leaves_the_engine_usable(engine: Engine, loader: FakeLoader) -> None:
    list(engine.load())
    loader.runners[0].error = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        list(engine.turn(HELLO))
    loader.runners[0].error = None
    assert not engine.busy
    assert words(engine.turn(HELLO)) == ["hello"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_memory_that_runs_out_is_a_sentence(
    engine: Engine, loader: FakeLoader, error: BaseException
) -> None:
    list(engine.load())
    loader.runners[0].error = error
    with pytest.raises(ResourceError) as caught:
        list(engine.turn(HELLO))
    assert caught.value.code == "memory-out" and "cpu" in str(caught.value)
    loader.runners[0].error = None
    assert words(engine.turn(HELLO)) == ["hello"]


def test_the_failed_turns_memory_is_freed_while_the_error_lives(engine: Engine) -> None:
    import weakref

    class Big:
        """Stands for a tensor."""

    alive: list[weakref.ref[Big]] = []

    def failing() -> Iterator[EngineEvent]:
        big = Big()
        alive.append(weakref.ref(big))
        yield TextDelta("x")
        raise MemoryError

    list(engine.load())
    assert engine._runner is not None
    engine._runner.run = lambda *args: failing()  # type: ignore[method-assign]
    with pytest.raises(ResourceError) as caught:
        list(engine.turn(HELLO))
    assert caught.value.__cause__ is not None
    assert alive[0]() is None


def test_turns_are_served_one_at_a_time_in_their_order(engine: Engine, loader: FakeLoader) -> None:
    list(engine.load())
    assistant = loader.runners[0]
    assistant.hold = threading.Event()
    order: list[str] = []
    threads = []
    for name in ("a", "b", "c", "d"):
        turn = engine.turn(say(name))
        threads.append(in_thread(lambda turn=turn: order.extend(words(turn))))
        until(lambda: len(engine._queue) == len(threads))
    assert engine.busy
    assistant.hold.set()
    for thread in threads:
        thread.join(WAIT_S)
    assert order == ["a", "b", "c", "d"]
    assert assistant.most_inside == 1
    assert not engine.busy


def test_who_waits_hears_how_many_are_ahead(engine: Engine, loader: FakeLoader) -> None:
    list(engine.load())
    loader.runners[0].hold = threading.Event()
    first = in_thread(lambda: list(engine.turn(HELLO)))
    until(lambda: engine.busy)
    waiting = engine.turn(say("second"))
    assert next(waiting) == Progress("wait", 0, 1)
    loader.runners[0].hold.set()
    assert words(waiting) == ["second"]
    first.join(WAIT_S)


def test_stop_works_while_waiting(engine: Engine, loader: FakeLoader) -> None:
    list(engine.load())
    loader.runners[0].hold = threading.Event()
    first: list[str] = []
    thread = in_thread(lambda: first.extend(words(engine.turn(say("one two")))))
    until(lambda: engine.busy)
    stop = threading.Event()
    waiting = engine.turn(say("never"), stop=stop)
    next(waiting)
    stop.set()
    start = time.monotonic()
    end = last(waiting)
    assert time.monotonic() - start < 1, "it does not wait for the first turn"
    assert end.reason == "stopped" and end.message == Message("assistant", ())
    assert thread.is_alive(), "the first turn goes on"
    loader.runners[0].hold.set()
    thread.join(WAIT_S)
    assert first == ["one", "two"]
    assert loader.runners[0].closed == 1


def test_who_waits_can_be_dropped(engine: Engine, loader: FakeLoader) -> None:
    list(engine.load())
    loader.runners[0].hold = threading.Event()
    thread = in_thread(lambda: list(engine.turn(HELLO)))
    until(lambda: engine.busy)
    waiting = engine.turn(say("never"))
    next(waiting)
    waiting.close()  # type: ignore[attr-defined]
    assert len(engine._queue) == 1
    loader.runners[0].hold.set()
    thread.join(WAIT_S)
    assert not engine.busy


def test_a_dropped_turn_lets_the_next_one_in(engine: Engine, loader: FakeLoader) -> None:
    list(engine.load())
    turn = engine.turn(say("one two three"))
    assert next(turn) == TextDelta("one")
    turn.close()  # type: ignore[attr-defined]
    assert loader.runners[0].closed == 1 and not engine.busy
    forgotten = engine.turn(say("one two three"))
    next(forgotten)
    del forgotten
    assert loader.runners[0].closed == 2 and not engine.busy
    assert words(engine.turn(HELLO)) == ["hello"]


def test_a_turn_may_be_resumed_in_other_threads(engine: Engine) -> None:
    turn = engine.turn(say("one two three"))
    seen: list[EngineEvent] = []
    while not seen or not isinstance(seen[-1], TurnEnd):
        in_thread(lambda: seen.append(next(turn))).join(WAIT_S)
    assert words(iter(seen)) == ["one", "two", "three"]
    assert list(turn) == [] and not engine.busy


def test_stop_ends_a_turn_within_a_step(engine: Engine) -> None:
    stop = threading.Event()
    list(engine.load())
    turn = engine.turn(say("one two three"), stop=stop)
    assert next(turn) == TextDelta("one")
    stop.set()
    (end,) = turn
    assert isinstance(end, TurnEnd) and end.reason == "stopped"


def test_stop_gives_up_the_load_that_a_turn_began(engine: Engine, loader: FakeLoader) -> None:
    stop = threading.Event()
    turn = engine.turn(HELLO, stop=stop)
    assert isinstance(next(turn), Progress)
    stop.set()
    (end,) = turn
    assert isinstance(end, TurnEnd) and end.reason == "stopped"
    assert loader.given_up == 1 and engine.report is None and not engine.busy


def test_stop_leaves_the_load_to_who_waits_for_it(engine: Engine, loader: FakeLoader) -> None:
    stop = threading.Event()
    first = engine.turn(HELLO, stop=stop)
    assert next(first) == Progress("read", 0, 3)
    second = engine.turn(say("second"))
    assert next(second) == Progress("read", 0, 3), "it is the load that it waits for"
    stop.set()
    assert last(first).reason == "stopped"
    assert engine.loading is not None and loader.given_up == 0
    assert words(second) == ["second"]
    assert len(loader.loaded) == 1 and loader.rooms == 1 and engine.loading is None


def test_a_load_ends_with_the_last_who_waits_for_it(engine: Engine, loader: FakeLoader) -> None:
    stops = [threading.Event(), threading.Event()]
    first, second = (engine.turn(HELLO, stop=stop) for stop in stops)
    next(first)
    next(second)
    stops[0].set()
    list(first)
    assert loader.given_up == 0
    stops[1].set()
    list(second)
    assert loader.given_up == 1 and engine.loading is None and not engine.busy


def test_a_load_that_was_left_gives_way_to_other_settings(
    engine: Engine, loader: FakeLoader
) -> None:
    loading = engine.load(EngineSettings("huger"))
    next(loading)
    waiting = engine.turn(say("hi"))
    next(waiting)
    loading.close()  # type: ignore[attr-defined]
    assert engine.settings == EngineSettings("nano")
    assert words(waiting) == ["hi"]
    assert loader.given_up == 1 and [one.model for one in loader.loaded] == ["nano"]


def test_a_cancelled_load_ends_for_all_who_wait(engine: Engine, loader: FakeLoader) -> None:
    assert not engine.cancel_load(), "nothing is loaded"
    loading = engine.load(EngineSettings("other"))
    next(loading)
    waiting = engine.turn(HELLO)
    next(waiting)
    assert engine.cancel_load()
    for asked in (loading, waiting):
        with pytest.raises(CancelledError) as caught:
            list(asked)
        assert caught.value.code == "load-cancelled"
    assert engine.settings == EngineSettings("nano") and engine.loading is None
    assert loader.given_up == 1 and not loader.loaded and not engine.busy
    assert words(engine.turn(HELLO)) == ["hello"], "who asks again gets an answer"


def test_unload_ends_a_load_that_was_left(engine: Engine, loader: FakeLoader) -> None:
    first = engine.turn(HELLO)
    next(first)
    unloading = in_thread(engine.unload)
    until(lambda: len(engine._queue) == 2)
    first.close()  # type: ignore[attr-defined]
    unloading.join(WAIT_S)
    assert loader.given_up == 1 and engine.loading is None and engine.report is None


def test_a_turn_stopped_before_it_began_loads_nothing(engine: Engine, loader: FakeLoader) -> None:
    stop = threading.Event()
    stop.set()
    (end,) = engine.turn(HELLO, stop=stop)
    assert isinstance(end, TurnEnd) and end.reason == "stopped"
    assert loader.rooms == 0


def test_unload_waits_for_the_turn(engine: Engine, loader: FakeLoader) -> None:
    list(engine.load())
    loader.runners[0].hold = threading.Event()
    said: list[str] = []
    turn = in_thread(lambda: said.extend(words(engine.turn(say("one two")))))
    until(lambda: engine.busy)
    unload = in_thread(engine.unload)
    until(lambda: len(engine._queue) == 2)
    assert engine.report is not None
    loader.runners[0].hold.set()
    turn.join(WAIT_S)
    unload.join(WAIT_S)
    assert said == ["one", "two"] and engine.report is None


def test_settings_that_change_during_a_turn_count_for_the_next(
    engine: Engine, loader: FakeLoader
) -> None:
    turn = engine.turn(say("one two"))
    while not isinstance(next(turn), TextDelta):
        pass
    engine.settings = EngineSettings("other")
    assert words(turn) == ["two"]
    assert words(engine.turn(HELLO)) == ["hello"]
    assert [settings.model for settings in loader.loaded] == ["nano", "other"]


def test_the_clock_runs_from_the_call(engine: Engine) -> None:
    turn = engine.turn(HELLO)
    time.sleep(0.2)
    assert last(turn).stats.total_s >= 0.2


def test_transcribing_and_reading_aloud_use_the_same_queue(engine: Engine) -> None:
    assert words(engine.transcribe(Path("speech.wav"))) == ["speech.wav"]
    assert words(engine.read_aloud("hi")) == ["hi"]
    assert not engine.busy


def test_many_threads(engine: Engine, loader: FakeLoader) -> None:
    counts: list[int] = []

    def user(number: int) -> None:
        for _ in range(5):
            counts.append(len(words(engine.turn(say("a b c")))))
            if number == 0:
                engine.unload()

    threads = [in_thread(lambda number=number: user(number)) for number in range(6)]
    for thread in threads:
        thread.join(WAIT_S * 4)
    assert counts == [3] * 30 and not engine.busy
    assert all(assistant.most_inside == 1 for assistant in loader.runners)


def test_preparing_loads_and_tells_its_progress_alone(engine: Engine, loader: FakeLoader) -> None:
    told = list(engine.prepare(HELLO, threading.Event(), "me"))
    assert told[-1] == Progress("encode", 0, 1)
    assert all(isinstance(event, Progress) for event in told)
    assert engine.report is not None
    assert not engine.busy


def test_forgetting_reaches_what_is_loaded_and_loads_nothing() -> None:
    made: list[FakeRunner] = []

    def load(
        settings: EngineSettings, make_room: Callable[[], None]
    ) -> Generator[Progress, None, FakeRunner]:
        yield Progress("read", 1, 1)
        make_room()
        made.append(FakeRunner(settings))
        return made[-1]

    engine = Engine(EngineSettings("one"), load)
    engine.forget("a")
    assert not made
    list(engine.load())
    engine.forget("a")
    assert made[0].forgotten == ["a"]


def test_who_waits_hears_how_long_it_will_take(engine: Engine, loader: FakeLoader) -> None:
    list(engine.load())
    loader.runners[0].hold = threading.Event()
    threading.Timer(0.3, loader.runners[0].hold.set).start()
    list(engine.turn(HELLO))  # the first one, which takes 0.3 s
    loader.runners[0].hold = threading.Event()
    first = in_thread(lambda: list(engine.turn(HELLO)))
    until(lambda: engine.busy)
    second = in_thread(lambda: list(engine.turn(HELLO)))
    until(lambda: len(engine._queue) == 2)
    told = next(engine.turn(HELLO))
    assert isinstance(told, Progress) and told.total == 2
    assert told.left_s is not None and 0.3 < told.left_s < 1
    loader.runners[0].hold.set()
    first.join(WAIT_S)
    second.join(WAIT_S)


def test_a_full_line_refuses_and_nobody_takes_all_of_it(loader: FakeLoader) -> None:
    engine = Engine(EngineSettings("nano"), loader, LineLimits(waiting=4, each=2))
    list(engine.load())
    loader.runners[0].hold = threading.Event()
    served: list[str] = []

    def ask(name: str, owner: str) -> threading.Thread:
        before = len(engine._queue)
        turn = engine.turn(say(name), owner=Asker(owner))
        thread = in_thread(lambda: served.extend(words(turn)))
        until(lambda: len(engine._queue) > before)
        return thread

    asked = [ask("mine-0", "me"), ask("mine-1", "me"), ask("mine-2", "me")]
    with pytest.raises(BusyError) as caught:
        next(engine.turn(HELLO, owner=Asker("me")))
    assert caught.value.code == "queue-full-own"
    asked += [ask("hers", "her"), ask("his", "him")]
    with pytest.raises(BusyError) as caught:
        next(engine.turn(HELLO, owner=Asker("them")))
    assert caught.value.code == "queue-full"
    loader.runners[0].hold.set()
    for thread in asked:
        thread.join(WAIT_S)
    assert served == ["mine-0", "hers", "his", "mine-1", "mine-2"]
    assert words(engine.turn(HELLO, owner=Asker("me"))) == ["hello"]


def test_a_closed_engine_stops_what_it_does_and_begins_nothing(
    engine: Engine, loader: FakeLoader
) -> None:
    list(engine.load())
    turn, waiting = engine.turn(say("one two three")), engine.turn(HELLO)
    assert next(turn) == TextDelta("one")
    next(waiting)
    engine.close()
    assert last(turn).reason == last(waiting).reason == last(engine.turn(HELLO)).reason == "stopped"
    assert list(engine.load(EngineSettings("other"))) == []
    assert len(loader.loaded) == 1 and not engine.busy


def test_other_adapters_do_not_reload(engine: Engine, loader: FakeLoader) -> None:
    list(engine.load())
    events = list(engine.load(with_adapter(engine.settings, "mine")))
    assert events == [Progress("load", 0, 1)]
    list(engine.load(with_adapter(engine.settings, "yours")))
    assert (engine.settings.adapters, engine.settings.adapter) == (("mine", "yours"), "yours")
    assert loader.runners[-1].adapters == ("mine", "yours")
    assert len(loader.loaded) == 1
    with pytest.raises(CheckpointError):
        list(engine.load(with_adapter(engine.settings, "broken")))
    assert (engine.settings.adapters, engine.settings.adapter) == (("mine", "yours"), "yours")
    list(engine.load(with_adapter(engine.settings, "none")))
    assert (engine.settings.adapters, engine.settings.adapter) == (("mine", "yours"), "")
    list(engine.load(replace(engine.settings, model="other")))
    assert [settings.adapters for settings in loader.loaded] == [(), ("mine", "yours")]


def test_a_request_keeps_the_adapter_that_was_chosen_when_it_was_asked(
    engine: Engine, loader: FakeLoader
) -> None:
    list(engine.load(with_adapter(engine.settings, "mine")))
    runner = loader.runners[-1]
    running = engine.turn(say("one two three"))
    next(running)
    waiting = in_thread(lambda: list(engine.turn(say("four"))))
    named = in_thread(lambda: list(engine.turn(say("five"), adapter="")))
    until(lambda: len(engine._queue) == 3)
    engine.settings = with_adapter(engine.settings, "yours")
    for _ in running:
        pass
    waiting.join(WAIT_S)
    named.join(WAIT_S)
    assert sorted(map(str, runner.asked)) == ["", "mine", "mine"]
    list(engine.turn(say("six")))
    assert runner.asked[-1] == "yours"


def test_what_nobody_waits_for_gives_way_to_all(engine: Engine, loader: FakeLoader) -> None:
    behind = replace(TurnRequest(say("one two three")), behind=True)
    end = last(engine.run(behind))  # it does not load the model
    assert end.reason == "stopped"
    assert not loader.loaded and not behind.stop.is_set()
    words(engine.turn(HELLO))
    loader.runners[0].hold = threading.Event()
    served = engine.run(behind)
    thread = in_thread(lambda: list(served))
    until(lambda: loader.runners[0].inside == 1)
    assert not engine.busy  # for all others it is not there
    loader.runners[0].hold.set()
    assert words(engine.turn(HELLO)) == ["hello"]
    thread.join(WAIT_S)
    assert loader.runners[0].most_inside == 1


def test_what_is_behind_ends_when_somebody_comes(engine: Engine, loader: FakeLoader) -> None:
    words(engine.turn(HELLO))
    behind = TurnRequest(say("one two three four"), behind=True)
    served = engine.run(behind)
    assert isinstance(next(served), TextDelta)
    turn = engine.turn(HELLO)
    thread = in_thread(lambda: list(turn))
    until(behind.stop.is_set)
    *_, end = served
    assert isinstance(end, TurnEnd) and end.reason == "stopped"
    thread.join(WAIT_S)
    assert not thread.is_alive()
