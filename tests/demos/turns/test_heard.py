"""What the model heard of a question: written down behind all, dropped when nobody wants it."""

from __future__ import annotations

import threading
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from demos.base.languages import Words
from demos.build import build
from demos.conversations.tools import transcript
from demos.tabs.hearing import Hearing
from demos.turns import heard
from demos.turns.chat import Entry, Thread, bubble
from demos.turns.export import read_conversation, write_conversation
from demos.turns.heard import begin, sound_of
from demos.turns.sessions import Sessions
from omni.conversation import Audio, Message, SystemPrompt, Text, Video
from omni.engine import Engine, EngineSettings
from omni.errors import MediaError
from omni.events import EngineEvent
from omni.requests import Request
from tests.support.coroutines import awaited
from tests.support.engine_parts import WAIT_S, FakeLoader, FakeRunner, in_thread, say
from tests.support.fake_engine import FakeEngine
from tests.support.media_files import tone, write_sound
from tests.support.page import request

THERE = "This is question.wav"


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    folder = tmp_path / "sessions" / "browser" / "one"
    folder.mkdir(parents=True)
    return write_sound(folder / "question.wav", tone(1.0))


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    engine.trained = True
    list(engine.load())
    return engine


def never() -> bool:
    return False


def question(sound: Path, **more: object) -> Entry:
    return Entry(Message("user", (Audio(sound),)), **more)  # type: ignore[arg-type]


ANSWER = Entry(Message("assistant", (Text("Yes."),)))


def test_a_question_is_written_down(engine: FakeEngine, sound: Path) -> None:
    assert begin(engine, sound, never).result(WAIT_S) == THERE  # type: ignore[arg-type]


def test_a_long_recording_is_no_question(engine: FakeEngine, tmp_path: Path) -> None:
    long = write_sound(tmp_path / "long.wav", np.tile(tone(1.0), (31, 1)))
    assert begin(engine, long, never).result(WAIT_S) == ""  # type: ignore[arg-type]


def test_an_untrained_model_writes_nothing_down(sound: Path) -> None:
    engine = FakeEngine()
    list(engine.load())
    assert begin(engine, sound, never).result(WAIT_S) == ""  # type: ignore[arg-type]


def test_what_nobody_wants_any_more_is_dropped(engine: FakeEngine, sound: Path) -> None:
    with engine._lock:  # an answer is being made
        assert begin(engine, sound, lambda: True).result(WAIT_S) == ""  # type: ignore[arg-type]


class _Hearing(FakeRunner):
    """Hears until it is stopped, the first time; then it is through at once."""

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self.hears = threading.Event()
        self.given_up = 0

    def run(self, request: Request) -> object:  # type: ignore[override]
        if request.behind and not self.given_up:
            self.hears.set()
            assert request.stop.wait(WAIT_S)
            self.given_up += 1
            return iter([self.end("stopped", request)])
        return super().run(request)


class _Refusing(FakeRunner):
    """Finds nobody who speaks."""

    def run(self, request: Request) -> object:  # type: ignore[override]
        raise MediaError("audio-no-speech", "There is no speech in {name}.", name="a.wav")


def real_engine(kind: type[FakeRunner]) -> tuple[Engine, FakeRunner]:
    loader = FakeLoader()
    runner = kind(EngineSettings("nano"))

    def load(settings: EngineSettings, make_room: object) -> object:
        yield from loader(settings, make_room)  # type: ignore[arg-type]
        return runner

    engine = Engine(EngineSettings("nano"), load)  # type: ignore[arg-type]
    list(engine.load())
    return engine, runner


def test_it_gives_way_to_a_turn_and_is_written_down_after_it(sound: Path) -> None:
    engine, runner = real_engine(_Hearing)
    assert isinstance(runner, _Hearing)
    result = begin(engine, sound, never)
    assert runner.hears.wait(WAIT_S)
    events: list[EngineEvent] = []
    turn = in_thread(lambda: events.extend(engine.turn(say("one two"))))
    turn.join(WAIT_S)
    assert len(events) == 3 and runner.given_up == 1
    assert result.result(WAIT_S) == "question.wav"


def test_where_nobody_speaks_nothing_is_told(sound: Path) -> None:
    engine, _ = real_engine(_Refusing)
    assert begin(engine, sound, never).result(WAIT_S) == ""
    assert not engine.busy


def test_whose_sound_is_a_question(sound: Path) -> None:
    clip = Path("clip.mp4")
    assert sound_of(question(sound)) == sound
    assert sound_of(Entry(Message("user", (Video(clip), Audio(clip), Audio(sound))))) == sound
    assert sound_of(question(sound, task="transcribe")) is None  # that is its answer
    assert sound_of(question(sound, heard="Hello.")) is None
    assert sound_of(question(sound, failed=True)) is None
    assert sound_of(ANSWER) is None


def test_it_stands_below_the_question_in_the_transcript_and_in_the_export(
    sound: Path, tmp_path: Path
) -> None:
    words = Words("en")
    note = heard.sentence(words, "en", "How are you?")
    thread = Thread((question(sound), ANSWER)).hear(sound, "How are you?", note)
    shown = bubble(thread.entries[0])["content"]
    assert shown[0]["file"] and shown[1] == "*The model heard: “How are you?”*"
    assert "The model heard: “How are you?”" in transcript(thread, words, "en")
    path = tmp_path / "out.zip"
    write_conversation(thread, path)

    def new_file(name: str) -> Path:
        (tmp_path / "in").mkdir(exist_ok=True)
        return tmp_path / "in" / name

    again = read_conversation(path, new_file, lambda _: True, lambda _: None)
    assert again.entries[0].heard == "How are you?" and again.entries[0].note == note
    asked = thread.conversation(SystemPrompt(), "en").messages[0]
    assert asked.parts == (Audio(sound),)  # the model gets the sound, not its own word for it


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "sessions")


def step(page: gr.Blocks, name: str) -> object:
    """The bound method of the audio tab's Hearing."""
    ours = (
        fn.fn for fn in page.fns.values() if isinstance(getattr(fn.fn, "__self__", None), Hearing)
    )
    return next(fn for fn in ours if fn is not None and fn.__name__ == name)


def test_the_page_shows_it_unless_the_next_question_is_asked(
    engine: FakeEngine, sessions: Sessions
) -> None:
    page = build(engine, sessions, Words("en"))  # type: ignore[arg-type]
    hear, show = step(page, "hear"), step(page, "show")
    hearing = show.__self__  # type: ignore[attr-defined]
    session = sessions.of(request())
    with session.writing("question.wav") as asked:
        write_sound(asked, tone(1.0))
    thread = Thread((question(asked), ANSWER))
    given = {hearing.tab.thread: thread, hearing.context.parameters.write_down: True}
    off = given | {hearing.context.parameters.write_down: False}
    awaited(hear(request(), off))  # type: ignore[operator]
    assert hearing.tab.chat not in show(request(), thread)  # type: ignore[operator]
    awaited(hear(request(), given))  # type: ignore[operator]
    with session.turn("audio"):
        assert hearing.tab.chat not in show(request(), thread)  # type: ignore[operator]
    changes = show(request(), thread)  # type: ignore[operator]
    assert changes[hearing.tab.thread].entries[0].heard == THERE
    assert THERE in changes[hearing.tab.chat][0]["content"][1]
