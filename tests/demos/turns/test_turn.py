"""The turn handler with the fake engine: streaming, stop, errors, one engine for many."""

from __future__ import annotations

import errno
import logging
import threading
import time
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from demos.base.languages import Words
from demos.playback import voice_line
from demos.playback.voice_line import VoiceLine
from demos.turns import turn as module
from demos.turns.chat import Thread
from demos.turns.figures import stats_sentence
from demos.turns.room import Quota, storage_full
from demos.turns.sessions import Session
from demos.turns.turn import Ask, View, progress_sentence, run_turn
from omni.cli.output import NOTES
from omni.conversation import Audio, Message, Part, Speech, SystemPrompt, Text
from omni.errors import MediaError
from omni.events import SPEECH_RATE, Progress, TurnEnd, TurnStats
from omni.loading.progress.sentence import ENGLISH
from omni.media.limits import DecodingStopped
from tests.support.coroutines import awaited
from tests.support.fake_engine import CHUNK_S, FakeEngine, tone

WORDS = Words()


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def ask(text: str, speech: bool = True, language: str = "en", parts: tuple[Part, ...] = ()) -> Ask:
    given = (*parts, Text(text)) if text else parts
    return Ask(lambda _: (given, SystemPrompt()), speech, language, text)  # type: ignore[arg-type]


def run(
    engine: FakeEngine,
    session: Session,
    asked: Ask,
    thread: Thread | None = None,
    tab: str = "audio",
    line: VoiceLine | None = None,
) -> Iterator[View]:
    return run_turn(engine, session, tab, thread or Thread(), asked, WORDS, line)  # type: ignore[arg-type]


def shown(view: View) -> str:
    """All text of the last bubble."""
    return " ".join(item for item in view.bubbles[-1]["content"] if isinstance(item, str))


def test_text_and_sound_stream_and_the_thread_comes_last(session: Session) -> None:
    views = list(run(FakeEngine(), session, ask("slow hello")))
    *running, last = views
    assert all(view.thread is None for view in running)
    assert len({shown(view) for view in running}) >= 5  # the answer grows
    sound = np.concatenate([view.sound for view in views if view.sound is not None])
    np.testing.assert_array_equal(sound, tone(0, 8 * CHUNK_S))
    assert sum(view.sound is not None for view in views) >= 5
    assert last.thread is not None
    assert [entry.message.role for entry in last.thread.entries] == ["user", "assistant"]
    assert last.notice is None
    assert "first sound" in last.status


def test_a_chat_is_known_to_the_engine_until_its_session_ends(tmp_path: Path) -> None:
    engine, one, two = FakeEngine(), Session(tmp_path), Session(tmp_path)
    for session, tab in ((one, "audio"), (one, "audio"), (one, "video"), (two, "audio")):
        list(run(engine, session, ask("hello"), tab=tab))
    first, again, other_tab, other_session = engine.sessions
    assert first == again
    assert len({first, other_tab, other_session}) == 3
    assert not engine.forgotten
    one.remove()
    assert set(engine.forgotten) == {first, other_tab}


def test_sound_takes_the_line_that_the_page_has_opened(session: Session) -> None:
    line = VoiceLine()
    line.open()
    views = list(run(FakeEngine(), session, ask("hello"), line=line))
    assert all(view.sound is None for view in views)
    line.end()

    async def read() -> bytes:
        return b"".join([piece async for piece in line.pieces()])

    np.testing.assert_array_equal(np.frombuffer(awaited(read()), "<i2")[1:], tone(0, 8 * CHUNK_S))


def test_sound_of_a_line_that_nobody_opens_comes_in_the_views(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice_line, "OPEN_S", 0.1)
    views = list(run(FakeEngine(), session, ask("hello"), line=VoiceLine()))
    sound = np.concatenate([view.sound for view in views if view.sound is not None])
    np.testing.assert_array_equal(sound, tone(0, 8 * CHUNK_S))


def test_the_spoken_answer_is_kept_as_a_file_of_the_session(session: Session) -> None:
    *_, last = run(FakeEngine(), session, ask("hello"))
    assert last.thread is not None
    answer = last.thread.entries[-1]
    assert answer.sound is not None
    assert answer.sound.parent.parent == session.folder
    with wave.open(str(answer.sound)) as file:
        assert file.getframerate() == SPEECH_RATE
        assert file.getnframes() == round(8 * CHUNK_S * SPEECH_RATE)
    assert last.bubbles[-1]["content"][-1]["file"]["path"] == str(answer.sound)
    assert isinstance(answer.message.parts[-1], Speech)


def test_an_answer_in_one_chunk(session: Session) -> None:
    views = list(run(FakeEngine(), session, ask("short")))
    assert sum(view.sound is not None for view in views) == 1
    assert views[-1].thread is not None
    assert views[-1].thread.entries[-1].sound is not None


def test_the_first_sound_waits_until_the_player_has_enough(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 60.0)
    views = list(run(FakeEngine(), session, ask("slow hello")))
    one, two, three = [view.sound.size / SPEECH_RATE for view in views if view.sound is not None][
        :3
    ]
    assert (one, two, three) == pytest.approx((0.6, 0.6, CHUNK_S))  # three chunks, in two pieces
    assert views[-1].sound is None


def test_the_first_sound_does_not_wait_for_long(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(module, "FIRST_SOUND_S", 60.0)
    first = next(view for view in run(FakeEngine(), session, ask("slow hello")) if has_sound(view))
    assert first.sound is not None
    assert first.sound.size == round(CHUNK_S * SPEECH_RATE)


def has_sound(view: View) -> bool:
    return view.sound is not None


def test_an_answer_without_speech(session: Session) -> None:
    views = list(run(FakeEngine(), session, ask("hello", speech=False)))
    assert all(view.sound is None for view in views)
    assert views[-1].thread is not None
    assert views[-1].thread.entries[-1].sound is None
    assert not session.folder.exists()


def test_the_next_turn_gets_the_history(session: Session) -> None:
    engine = FakeEngine()
    *_, first = run(engine, session, ask("hello"))
    list(run(engine, session, ask("and now?", language="zh"), first.thread))
    texts = [
        [part.text for part in message.parts if isinstance(part, Text)]
        for message in engine.seen[-1].messages
    ]
    assert texts[0] == ["hello"]
    assert texts[-1] == ["and now?"]
    assert len(texts) == 3
    assert engine.seen[-1].language == "zh"


def test_what_the_context_had_no_room_for_is_noted_and_not_sent_again(session: Session) -> None:
    engine = FakeEngine()
    *_, first = run(engine, session, ask("hello"))
    *_, second = run(engine, session, ask("forget"), first.thread)
    assert second.thread is not None
    assert second.thread.entries[-1].note == WORDS.say("en", "note-forgotten")
    assert len(second.bubbles) == 4  # still shown
    list(run(engine, session, ask("and now?"), second.thread))
    assert len(engine.seen[-1].messages) == 3


def test_damage_of_a_file_is_noted_below_the_answer(session: Session) -> None:
    *_, view = run(FakeEngine(), session, ask("damaged"))
    assert view.thread is not None
    note = WORDS.say("en", "note-damaged", name="a.mp3")
    assert view.thread.entries[-1].note == note
    assert note == NOTES["damaged"].format(name="a.mp3"), "the command line says the same"


def test_a_full_disk_costs_the_sound_of_an_answer_and_not_its_text(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, samples: np.ndarray) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("demos.turns.turn.write_wav", full)
    *_, view = run(FakeEngine(), session, ask("hello"))
    assert view.thread is not None
    answer = view.thread.entries[-1]
    assert answer.text.startswith("word0")
    assert answer.sound is None
    assert answer.note == str(storage_full())
    assert not answer.failed
    assert not list(session.folder.iterdir())
    assert not session.running("audio")
    monkeypatch.undo()
    *_, view = run(FakeEngine(), session, ask("hello"), view.thread)
    assert view.thread is not None
    assert view.thread.entries[-1].sound is not None


def test_a_quota_costs_the_sound_of_an_answer_and_not_its_text(tmp_path: Path) -> None:
    session = Session(tmp_path / "sessions", quota=Quota(session=10))
    *_, view = run(FakeEngine(), session, ask("hello"))
    assert view.thread is not None
    assert view.thread.entries[-1].text.startswith("word0")
    assert "0 MB" in view.thread.entries[-1].note


def test_stop_ends_the_turn_and_keeps_what_was_said(session: Session) -> None:
    engine = FakeEngine()
    views = run(engine, session, ask("slow long"))
    for view in views:
        if view.sound is not None:
            session.stop("audio")
            break
    started = time.monotonic()
    *_, last = views
    assert time.monotonic() - started < 1.0
    assert engine.ended == ["stopped"]
    assert last.thread is not None
    assert "You stopped" in last.thread.entries[-1].note
    assert not last.thread.entries[-1].failed
    assert "word0" in shown(last)


def test_a_closed_page_stops_the_engine(session: Session) -> None:
    engine = FakeEngine()
    views = run(engine, session, ask("slow long"))
    for view in views:
        if view.sound is not None:
            break
    views.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 5
    while engine.busy and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not engine.busy
    assert engine.ended == ["stopped"]
    with session.turn("audio"):
        pass


@pytest.mark.parametrize(
    ("language", "sentence"),
    [("en", "This picture cannot be read: choose another file."), ("zh", "图片")],
)
def test_an_error_of_the_person_is_one_sentence(
    session: Session, monkeypatch: pytest.MonkeyPatch, language: str, sentence: str
) -> None:
    monkeypatch.setitem(WORDS.files["zh"].errors, "image-broken", "这张图片无法读取。")  # type: ignore[arg-type]
    engine = FakeEngine()
    *_, last = run(engine, session, ask("broken picture", language=language))
    assert last.notice is not None
    assert sentence in last.notice
    assert sentence.rstrip(".") in shown(last).replace("\\", "")
    assert last.text == "broken picture"
    assert last.thread is not None
    assert last.thread.conversation(SystemPrompt(), "en").messages == ()
    *_, good = run(engine, session, ask("hello"), last.thread)
    assert good.notice is None
    assert len(engine.seen[-1].messages) == 1  # the model never hears of what failed


def test_an_error_stands_below_the_question_that_caused_it(session: Session) -> None:
    def broken(_: threading.Event) -> tuple[tuple[Part, ...], SystemPrompt]:
        raise MediaError("image-broken", "{name} is broken.", name="a.png")

    *_, good = run(FakeEngine(), session, ask("hello"))
    given = Ask(broken, True, "en", names="a.png")  # a file alone, that cannot be read
    first, *_, last = run(FakeEngine(), session, given, good.thread)
    assert first.bubbles[-2]["content"] == ["*a.png*"]
    assert last.thread is not None
    assert [len(row) for row in last.thread.rows()] == [1, 1, 1, 1]  # in no bubble of before
    question, answer = last.thread.entries[-2:]
    assert (question.note, question.failed) == ("a.png", True)
    assert (answer.note, answer.failed) == ("a.png is broken.", True)


def test_where_nothing_was_asked_no_bubble_tells_of_it(session: Session) -> None:
    def nothing(_: threading.Event) -> tuple[tuple[Part, ...], SystemPrompt]:
        raise MediaError("nothing-given", "There is <nothing>.")

    *_, good = run(FakeEngine(), session, ask("hello"))
    *_, last = run(FakeEngine(), session, Ask(nothing, True, "en"), good.thread)
    assert last.thread == good.thread and last.notice == "There is <nothing>."
    assert last.status == "There is &lt;nothing&gt;."


def test_an_unknown_error_is_logged_and_told_plainly(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        *_, last = run(FakeEngine(), session, ask("crash late"))
    assert last.notice == WORDS.say("en", "unexpected")
    assert "the fake engine crashes late" in caplog.text
    assert "Traceback" in caplog.text
    assert "word0" in shown(last)


def test_what_cannot_be_prepared_is_told_before_the_engine_is_asked(session: Session) -> None:
    def prepare(_: threading.Event) -> tuple[tuple[Part, ...], SystemPrompt]:
        raise MediaError("upload-gone", "{name} is gone.", name="x.wav")

    engine = FakeEngine()
    *_, last = run(engine, session, Ask(prepare, True, "en"))
    assert last.notice == "x.wav is gone."
    assert engine.seen == []


def test_stop_is_heard_while_media_are_prepared(session: Session) -> None:
    def prepare(stop: threading.Event) -> tuple[tuple[Part, ...], SystemPrompt]:
        assert stop.wait(10)
        raise DecodingStopped

    engine = FakeEngine()
    turn = run(engine, session, Ask(prepare, True, "en", "a question"))
    next(turn)
    session.stop()
    *_, last = turn
    assert last.notice is None and last.end is not None and last.end.reason == "stopped"
    assert last.bubbles[0]["content"] == ["a question"]
    assert engine.seen == []


def test_media_stay_in_the_persons_bubble(session: Session) -> None:
    sound = session.new_file("question.wav")
    views = list(run(FakeEngine(), session, ask("", parts=(Audio(sound),))))
    assert views[-1].bubbles[0]["content"][0]["file"]["path"] == str(sound)


def test_a_second_turn_of_the_same_tab_is_refused(session: Session) -> None:
    engine = FakeEngine()
    first = run(engine, session, ask("slow long"))
    next(first)
    (refused,) = run(engine, session, ask("me too"))
    assert refused.notice == WORDS.say("en", "turn-busy")
    assert refused.text == "me too"
    session.stop()
    *_, last = first
    assert last.thread is not None


def test_tabs_and_sessions_wait_for_the_one_engine(session: Session, tmp_path: Path) -> None:
    engine, other = FakeEngine(), Session(tmp_path)
    first = run(engine, session, ask("slow"))
    for view in first:
        if view.sound is not None:
            break
    second = run(engine, other, ask("hello"), tab="image")
    waiting = [next(second).status for _ in range(3)]  # asked, prepared, waiting
    assert "ahead of you" in waiting[-1]
    rest: list[View] = []
    thread = threading.Thread(target=lambda: rest.extend(second))
    thread.start()
    *_, end = first
    thread.join(10)
    assert end.thread is not None
    assert rest[-1].thread is not None
    assert len(engine.seen) == 2
    assert [len(conversation.messages) for conversation in engine.seen] == [1, 1]


def test_progress_tells_how_far_it_is() -> None:
    read = Progress("read", 4.2e9, 22.1e9, "bytes", left_s=41.0)
    english = "Reading weights: 4.2 of 22.1 GB, about 40 s left"
    assert progress_sentence(WORDS, "en", read) == english
    chinese = "正在读取权重：4.2 / 22.1 GB，大约还需 40 秒"
    assert progress_sentence(WORDS, "zh", read) == chinese
    assert "2" in progress_sentence(WORDS, "zh", Progress("wait", 0, 2))
    wait = Progress("wait", 0, 2, left_s=12.3)
    assert progress_sentence(WORDS, "en", wait) == "2 before you, about 13 s …"


def test_the_pages_english_is_that_of_the_command_line() -> None:
    ours = {key: text for key, text in WORDS.files["en"].ui.items() if key.startswith("progress-")}
    assert ours == ENGLISH
    assert ENGLISH.keys() <= WORDS.files["zh"].ui.keys()


def test_numbers_that_are_not_there_are_not_told() -> None:
    end = TurnEnd(Message("assistant", ()), "end", TurnStats())
    assert stats_sentence(WORDS, "en", end) == ""


@pytest.mark.parametrize(
    ("computed_s", "language", "told"),
    [
        (2.0, "en", "spoken 2.0x faster than real time"),
        (4.0, "en", "spoken in real time"),
        (8.0, "en", "spoken 2.0x slower than real time"),
        (2.0, "zh", "快 2.0 倍"),
    ],
)
def test_the_numbers_say_what_they_are_good_for(
    computed_s: float, language: str, told: str
) -> None:
    stats = TurnStats(
        first_sound_s=0.34,
        total_s=computed_s + 3,
        waited_s=3.0,
        speech_s=4.0,
        text_tokens=20,
        text_s=0.5,
    )
    said = stats_sentence(WORDS, language, TurnEnd(Message("assistant", ()), "end", stats))
    assert told in said and "0.3" in said
    tooltip = said[said.index("title=") : said.index(">")]
    assert "40" in tooltip and f"{computed_s / 4:.2f}" in tooltip
    written = replace(stats, first_sound_s=None, speech_s=0.0)
    said = stats_sentence(WORDS, "en", TurnEnd(Message("assistant", ()), "end", written))
    assert f"answered in {computed_s + 3:.1f} s" in said


def test_a_turn_that_is_nearly_over_is_waited_for(session: Session) -> None:
    ending = session.turn("audio")
    ending.__enter__()
    threading.Timer(0.2, ending.__exit__, (None, None, None)).start()
    *_, last = run(FakeEngine(), session, ask("echo hello"))
    assert last.notice is None
    assert last.said.strip() == "hello"
