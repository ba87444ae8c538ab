"""What Talk tells besides the answer: captions, what was heard; and what it is told meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demos.base.languages import Words
from demos.live import wire
from demos.live.answers import Setup
from demos.live.session import Live
from demos.turns.chat import Thread
from demos.turns.sessions import Sessions
from demos.turns.turn import Ask, run_turn, unchanged
from omni.conversation import Audio, SystemPrompt, Text
from omni.listening.voice_activity import VoiceActivity
from tests.support.fake_engine import FakeEngine
from tests.support.live_talk import LoudVoice, Talk, quiet, spoken


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    sessions = Sessions(tmp_path / "root")
    yield sessions
    sessions.close()


def test_what_was_heard_is_shown_once_the_answer_is_made(sessions: Sessions) -> None:
    engine = FakeEngine()
    engine.trained = True
    talk = Talk(engine, sessions)
    talk.say(quiet(0.5), spoken(0.6), quiet(1.2))
    talk.until(lambda: bool(talk.messages("heard")))
    (heard,) = talk.messages("heard")
    assert heard == {"type": "heard", "answer": 1, "text": "This is question.wav"}
    kinds = [one["type"] for one in talk.got if isinstance(one, dict)]
    assert kinds.index("heard") > kinds.index("sent"), "the answer waited for it"
    talk.until(lambda: bool(talk.live.thread.entries and talk.live.thread.entries[0].heard))
    question = talk.live.thread.entries[0]
    assert question.heard == "This is question.wav"
    assert question.note == Words().say("en", "heard", text=question.heard)
    assert not talk.live.thread.entries[1].note
    # What the model gets of the next turn is the sound, as it was.
    talk.say(spoken(0.6), quiet(1.2))
    talk.until(lambda: len(talk.messages("heard")) == 2)
    assert [type(part) for part in engine.seen[-1].messages[0].parts] == [Audio]
    talk.end()


@pytest.mark.parametrize("trained", [True, False])
def test_nothing_is_written_down_where_that_is_not_wanted(
    sessions: Sessions, trained: bool
) -> None:
    """Nor by a model that has learnt nothing."""
    engine = FakeEngine()
    engine.trained = trained
    talk = Talk(engine, sessions, write_down=not trained)
    talk.say(quiet(0.5), spoken(0.6), quiet(1.2))
    talk.until(lambda: len(talk.live.thread.entries) == 2)
    talk.end()
    assert not talk.messages("heard")
    assert not talk.live.thread.entries[0].note


def test_the_answer_is_captioned_while_it_is_said(sessions: Sessions) -> None:
    talk = Talk(FakeEngine(), sessions)
    talk.say(spoken(0.5), quiet(0.4))  # a pause: the answer is begun and held back
    talk.until(lambda: talk.live.dialogue.begun == 1)
    talk.until(lambda: bool(talk.live.dialogue.answer and talk.live.dialogue.answer.so_far.made))
    assert not talk.messages("said")
    talk.say(quiet(0.5))
    talk.until(lambda: len(talk.live.thread.entries) == 2)
    said = talk.messages("said")
    assert "".join(one["text"] for one in said) == talk.live.thread.entries[1].text
    places = [one["at"] for one in said]
    assert places == sorted(places) and places[0] == 0 and places[-1] > 0
    talk.end()


def test_the_sensitivity_changes_while_it_is_on(sessions: Sessions) -> None:
    talk = Talk(FakeEngine(), sessions)
    talk.live.take(wire.read('{"type": "settings", "thresholds": {"end_s": 2.0}}'))
    talk.say(spoken(0.5), quiet(1.5))
    talk.until(lambda: talk.live.dialogue.answer_state == "held")
    talk.say(quiet(0.6))
    talk.until(lambda: len(talk.live.thread.entries) == 2)
    talk.end()


def test_a_page_hears_that_the_server_is_there_while_it_loads(sessions: Sessions) -> None:
    ready = threading.Event()

    def slow() -> VoiceActivity:
        ready.wait(10)
        return LoudVoice()

    setup = Setup(Thread(), SystemPrompt(), "en", "en", unchanged)
    live = Live(FakeEngine(), sessions.get("person"), setup, Words(), voice=slow)  # type: ignore[arg-type]
    got: list[wire.Down] = []
    live.start(got.append)
    live.take(wire.Ping())
    assert got == [{"type": "pong"}]
    ready.set()
    live.end("stopped")
    deadline = time.monotonic() + 10
    while live.over is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert live.over == "stopped"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_typed_message_hears_that_talk_is_on(sessions: Sessions, language: str) -> None:
    session, words = sessions.get("person"), Words()
    typed = (Text("me too"),)
    ask = Ask(lambda _: (typed, SystemPrompt()), speech=False, language=language, text="me too")
    with session.turn("audio", by="talk"):
        assert session.runs("audio") == "talk"
        (refused,) = run_turn(FakeEngine(), session, "audio", Thread(), ask, words)  # type: ignore[arg-type]
    assert refused.notice == words.say(language, "talk-busy")
    assert refused.text == "me too"
    assert session.runs("audio") is None
    *_, last = run_turn(FakeEngine(), session, "audio", Thread(), ask, words)  # type: ignore[arg-type]
    assert last.thread is not None
    assert len(last.thread.entries) == 2
