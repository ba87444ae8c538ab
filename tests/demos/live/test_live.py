"""Live sessions: turns, held back answers, interruption, the camera, and every way to end."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image as Pillow

from demos.base.languages import Words
from demos.live import wire
from demos.live.answers import Setup
from demos.live.gate import SOUND_WAITING_S
from demos.live.session import Live
from demos.turns.chat import Thread
from demos.turns.sessions import Sessions
from demos.turns.turn import unchanged
from omni.conversation import Audio, Speech, SystemPrompt, Text, Video
from omni.dialogue.states import EndReason, Person
from omni.errors import MediaError
from omni.events import SPEECH_RATE, SpeechChunk, TextDelta
from omni.listening.settings import RATE
from omni.listening.voice_activity import VoiceActivity
from tests.support.fake_engine import FakeEngine
from tests.support.live_talk import Talk, quiet, spoken


class SlowEngine(FakeEngine):
    """Says one word with a second of sound, then waits until it is stopped."""

    def _answer(self, conversation, options, stop, started):  # type: ignore[no-untyped-def]
        from omni.conversation import Message
        from omni.events import TurnEnd, TurnStats

        yield TextDelta("one two three four")
        yield SpeechChunk(np.ones(SPEECH_RATE, np.int16))
        stop.wait(10)
        self.ended.append("stopped" if stop.is_set() else "end")
        codes = np.zeros((25, 8), np.int32)  # two seconds were made
        parts = (Text("one two three four"), Speech(codes=codes))
        yield TurnEnd(Message("assistant", parts, spoken=True), "stopped", TurnStats())


class MuteEngine(FakeEngine):
    """Thinks until it is stopped."""

    def _answer(self, conversation, options, stop, started):  # type: ignore[no-untyped-def]
        from omni.conversation import Message
        from omni.events import TurnEnd, TurnStats

        stop.wait(10)
        self.ended.append("stopped")
        yield TurnEnd(Message("assistant", ()), "stopped", TurnStats())


class BrokenEngine(FakeEngine):
    """Cannot answer."""

    def _answer(self, conversation, options, stop, started):  # type: ignore[no-untyped-def]
        raise MediaError("image-broken", "{name} is broken.", name="camera.jpg")
        yield


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    sessions = Sessions(tmp_path / "root")
    yield sessions
    sessions.close()


def jpeg(shade: int) -> bytes:
    data = io.BytesIO()
    Pillow.new("RGB", (64, 48), (shade, shade, shade)).save(data, "JPEG")
    return data.getvalue()


def test_three_turns_with_pauses_inside(sessions: Sessions) -> None:
    engine = FakeEngine()
    talk = Talk(engine, sessions)
    for count in range(1, 4):
        talk.say(quiet(0.5), spoken(0.6), quiet(0.4), spoken(0.5), quiet(1.2))
        talk.until(lambda: len(talk.live.thread.entries) == 2 * count)  # noqa: B023
    talk.end()
    entries = talk.live.thread.entries
    assert [entry.message.role for entry in entries] == ["user", "assistant"] * 3
    for question in entries[::2]:
        (heard,) = question.message.parts
        assert isinstance(heard, Audio)
        sound, rate = soundfile.read(heard.path)
        assert rate == RATE
        assert 1.5 < len(sound) / rate < 2.3  # both halves and the pause between them
    for answer in entries[1::2]:
        assert answer.message.spoken
        assert not answer.message.cut
        assert answer.sound is not None
    assert talk.states[-1] == "listening"
    assert talk.states.count("hearing") == 3
    # The last conversation that the model got holds the two turns before.
    assert [m.role for m in engine.seen[-1].messages] == ["user", "assistant"] * 2 + ["user"]
    assert len(talk.live.latencies) == 3


def test_an_answer_begun_at_a_pause_is_not_heard_before_the_end(sessions: Sessions) -> None:
    engine = FakeEngine()
    talk = Talk(engine, sessions)
    talk.say(spoken(0.5), quiet(0.4))
    talk.until(lambda: engine.ended == ["end"])
    assert not talk.sound
    talk.say(quiet(0.5))
    talk.until(lambda: len(talk.live.thread.entries) == 2)
    assert len(engine.seen) == 1  # what was begun at the pause is what was heard
    assert talk.sound
    talk.end()


def test_a_pause_that_was_no_end_throws_the_answer_away(sessions: Sessions) -> None:
    engine = FakeEngine()
    talk = Talk(engine, sessions)
    talk.say(spoken(0.5), quiet(0.4))
    talk.until(lambda: engine.ended == ["end"])
    talk.say(spoken(0.5), quiet(1.0))
    talk.until(lambda: len(talk.live.thread.entries) == 2)
    assert len(engine.seen) == 2
    assert set(talk.sound) == {2}
    files = [path for path in talk.session.folder.rglob("*") if path.is_file()]
    assert set(files) == set(talk.live.thread.files())
    talk.end()


def test_speaking_into_an_answer_stops_it_and_keeps_what_was_heard(sessions: Sessions) -> None:
    engine = SlowEngine()
    talk = Talk(engine, sessions, plays=False)
    talk.say(spoken(0.6), quiet(1.0))
    talk.until(lambda: talk.sound.get(1) == SPEECH_RATE)
    talk.heard(1, SPEECH_RATE // 2)
    talk.until(lambda: talk.live.state == "speaking")
    talk.say(spoken(0.3))
    talk.until(lambda: bool(talk.messages("flush")))
    talk.until(lambda: engine.ended == ["stopped"])
    talk.heard(1, SPEECH_RATE * 3 // 4, flushed=True)
    talk.until(lambda: len(talk.live.thread.entries) == 2)
    answer = talk.live.thread.entries[1]
    assert answer.message.cut
    assert answer.note == "You interrupted here."
    text, speech = answer.message.parts
    assert isinstance(text, Text)
    assert isinstance(speech, Speech)
    assert speech.codes is not None
    assert len(speech.codes) == 9  # 0.75 s of 12.5 frames a second
    assert text.text == "one two"
    assert text.ids is None
    assert answer.sound is not None
    assert abs(soundfile.info(answer.sound).duration - 0.75) < 0.08
    talk.say(spoken(0.5), quiet(1.0))
    talk.until(lambda: len(engine.seen) == 2)
    assert engine.seen[1].messages[1] == answer.message
    talk.end()


def test_speaking_before_anything_was_heard_adds_to_the_question(sessions: Sessions) -> None:
    engine = MuteEngine()
    talk = Talk(engine, sessions)
    talk.say(spoken(0.6), quiet(1.0))
    talk.until(lambda: talk.live.state == "thinking")
    talk.say(spoken(0.4))
    talk.until(lambda: engine.ended == ["stopped"])
    talk.say(quiet(1.0))
    talk.until(lambda: len(engine.seen) == 2)
    assert [type(part) for part in engine.seen[1].messages[-1].parts] == [Audio, Audio]
    assert len(engine.seen[1].messages) == 1
    talk.end()


def test_noises_are_no_turns(sessions: Sessions) -> None:
    engine = FakeEngine()
    talk = Talk(engine, sessions)
    for _ in range(5):
        talk.say(spoken(0.05), quiet(1.0))
    talk.say(quiet(1.0))
    talk.end()
    assert engine.seen == []
    assert talk.states == ["listening"]


def test_the_answer_from_the_loudspeaker_does_not_interrupt_itself(sessions: Sessions) -> None:
    noise = np.random.default_rng(5).uniform(-0.5, 0.5, SPEECH_RATE * 2)
    answer_sound = (np.convolve(noise, np.ones(4) / 4, "same") * 32767).astype(np.int16)

    class Echoing(SlowEngine):
        def _answer(self, conversation, options, stop, started):  # type: ignore[no-untyped-def]
            for event in super()._answer(conversation, options, stop, started):
                if isinstance(event, SpeechChunk):
                    event = SpeechChunk(answer_sound)
                yield event

    import soxr

    talk = Talk(Echoing(), sessions, plays=False)
    talk.say(spoken(0.6), quiet(1.0))
    talk.until(lambda: bool(talk.sound))
    echo = soxr.resample(answer_sound.astype(np.float32), SPEECH_RATE, RATE)
    talk.heard(1, SPEECH_RATE // 2)
    talk.say((echo[RATE // 4 : RATE * 3 // 4] * 0.6).astype(np.int16), quiet(0.4))
    talk.heard(1, SPEECH_RATE)
    talk.say(quiet(0.2))
    talk.until(lambda: talk.live._items.empty())
    assert not talk.messages("flush")
    talk.say(spoken(0.4))
    talk.until(lambda: bool(talk.messages("flush")))
    talk.end()


def test_the_frames_of_a_turn_go_with_it(sessions: Sessions) -> None:
    engine = FakeEngine()
    talk = Talk(engine, sessions, camera=True)
    for shade in range(6):  # long before: not of this turn
        talk.live.take(wire.Picture(jpeg(shade)))
        talk.say(quiet(1.0))
    for shade in (100, 120, 140):
        talk.live.take(wire.Picture(jpeg(shade)))
        talk.say(spoken(0.9))
    talk.say(quiet(1.0))
    talk.until(lambda: len(talk.live.thread.entries) == 2)
    clip, sound = engine.seen[-1].messages[-1].parts
    assert isinstance(clip, Video)
    assert isinstance(sound, Audio)
    from omni.media.video import iter_frames

    shades = [round(float(np.asarray(frame).mean())) for frame in iter_frames(clip.path, 32)]
    assert len(shades) in (3, 4)  # the second before the first word counts
    assert np.abs(np.array(shades[-3:]) - (100, 120, 140)).max() < 4
    talk.end()
    assert talk.live.dialogue.camera is None


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_error_is_told_and_the_conversation_goes_on(sessions: Sessions, language: str) -> None:
    talk = Talk(BrokenEngine(), sessions, language=language)
    talk.say(spoken(0.6), quiet(1.0))
    talk.until(lambda: bool(talk.messages("note")))
    talk.until(lambda: talk.live.state == "listening")
    sentence = str(talk.messages("note")[0]["text"])
    assert ("损坏" in sentence) == (language == "zh")
    assert all(entry.failed for entry in talk.live.thread.entries)
    talk.end()


@pytest.mark.parametrize("reason", ["stopped", "lost", "microphone", "left"])
def test_every_end_frees_the_engine(sessions: Sessions, reason: EndReason) -> None:
    engine = SlowEngine()
    talk = Talk(engine, sessions, plays=False)
    talk.say(spoken(0.6), quiet(1.0))
    talk.until(lambda: bool(talk.sound))
    talk.heard(1, SPEECH_RATE // 2)
    talk.end(reason)
    assert engine.ended == ["stopped"]
    assert not engine.busy
    assert engine.forgotten == engine.sessions == [talk.live.setup.key]
    assert talk.messages("bye")[0]["reason"] == reason
    assert talk.live.thread.entries[-1].message.cut
    assert not any(thread.name.startswith("omni-live") for thread in threading.enumerate())


def test_what_was_said_before_is_read_before_live_begins(sessions: Sessions) -> None:
    engine = FakeEngine()
    talk = Talk(engine, sessions)
    ((conversation, key),) = engine.prepared
    assert conversation.messages == ()
    assert key == talk.live.setup.key
    talk.end()


def test_a_pause_is_used_as_soon_as_the_engine_is_free(sessions: Sessions) -> None:
    engine = FakeEngine()
    talk = Talk(engine, sessions)
    with engine._lock:  # somebody else is served
        talk.say(spoken(0.6), quiet(0.35))
        talk.until(lambda: talk.live.dialogue.person is Person.PAUSING and talk.live._items.empty())
        assert not engine.seen
    talk.say(quiet(0.1))
    talk.until(lambda: engine.ended == ["end"])
    assert not talk.sound  # still held back
    talk.say(quiet(0.5))
    talk.until(lambda: len(talk.live.thread.entries) == 2)
    assert len(engine.seen) == 1
    talk.end()


def test_a_page_whose_sound_stops_has_lost_its_microphone(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demos.live.session.SILENT_S", 0.3)
    engine = SlowEngine()
    talk = Talk(engine, sessions)
    while talk.live.over is None:  # the page itself is there
        talk.live.take(wire.Ping())
        time.sleep(0.05)
    talk.until(lambda: not any(t.name.startswith("omni-live") for t in threading.enumerate()))
    assert talk.messages("pong")
    assert talk.messages("bye")[0]["reason"] == "microphone"
    assert engine.forgotten == [talk.live.setup.key]


def test_a_page_that_is_gone_without_a_word(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demos.live.session.SILENT_S", 0.3)
    engine = FakeEngine()
    talk = Talk(engine, sessions)
    talk.until(lambda: talk.live.over == "lost")
    talk.until(lambda: bool(engine.forgotten))


def test_a_detector_that_cannot_be_made_ends_it(sessions: Sessions) -> None:
    def broken() -> VoiceActivity:
        raise RuntimeError("no detector")

    setup = Setup(Thread(), SystemPrompt(), "en", "en", unchanged)
    live = Live(FakeEngine(), sessions.get("person"), setup, Words(), voice=broken)  # type: ignore[arg-type]
    told: list[wire.Down] = []
    live.start(told.append)
    while live.over is None:
        time.sleep(0.01)
    assert live.over == "failed"
    assert isinstance(told[-1], dict)
    assert "went wrong" in told[-1]["text"]


def test_a_fault_of_ours_is_told_and_frees_the_engine(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Path:
        raise OSError("the disk is full")

    monkeypatch.setattr("demos.live.answers.keep_sound", broken)
    engine = FakeEngine()
    talk = Talk(engine, sessions)
    talk.say(spoken(0.6), quiet(1.0))
    talk.until(lambda: talk.live.over == "failed")
    talk.until(lambda: engine.forgotten == [talk.live.setup.key])
    assert talk.messages("bye")[0]["reason"] == "failed"
    assert not engine.busy


def test_a_fault_while_it_is_closed_ends_it_too(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Path:
        raise OSError("the disk is full")

    monkeypatch.setattr("demos.live.answers.keep_sound", broken)
    talk = Talk(SlowEngine(), sessions, plays=False)
    talk.say(spoken(0.6), quiet(1.0))
    talk.until(lambda: bool(talk.sound))
    talk.live.end("stopped")
    talk.until(lambda: talk.live.over == "failed")
    assert talk.messages("bye")[0]["reason"] == "failed"


def test_a_long_part_of_a_turn_is_a_piece_that_stays(sessions: Sessions) -> None:
    engine = FakeEngine()
    talk = Talk(engine, sessions)
    talk.say(spoken(9), quiet(0.4))
    talk.until(lambda: engine.ended == ["end"])
    talk.say(spoken(1), quiet(1.0))
    talk.until(lambda: len(talk.live.thread.entries) == 2)
    first = engine.seen[0].messages[-1].parts
    whole = engine.seen[-1].messages[-1].parts
    assert whole[: len(first)] == first  # the same files: what was read of them is known
    assert [type(part) for part in whole] == [Audio, Audio]
    lengths = [soundfile.info(part.path).duration for part in whole if isinstance(part, Audio)]
    assert 9 < lengths[0] < 9.6
    assert 1 < lengths[1] < 1.6
    talk.end()


def test_a_flood_of_sound_ends_the_session_at_once(sessions: Sessions) -> None:
    talk = Talk(FakeEngine(), sessions)
    minute = wire.Sound(quiet(60.0))
    begun = time.monotonic()
    for _ in range(100):
        talk.live.take(minute)
    assert talk.live._items.size <= SOUND_WAITING_S * RATE
    talk.until(lambda: talk.live.over is not None)
    assert time.monotonic() - begun < 3
    assert talk.live.over == "flooded"
    assert "More sound came" in talk.messages("bye")[0]["text"]


def test_the_end_overtakes_the_sound_that_waits(sessions: Sessions) -> None:
    talk = Talk(FakeEngine(), sessions)
    talk.say(quiet(9.0))
    talk.live.take(wire.Over("stopped"))
    talk.live.end("lost")
    talk.until(lambda: talk.live.over is not None, timeout=1.0)
    assert talk.live.over == "stopped"
