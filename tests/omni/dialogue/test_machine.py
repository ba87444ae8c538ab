"""The dialogue machine: every row of its table, the table against docs/live.md, and what no order
of events may bring about.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from omni.dialogue import commands as do
from omni.dialogue import events as on
from omni.dialogue.camera import CameraRing
from omni.dialogue.machine import PIECE, step
from omni.dialogue.states import AnswerState, ConversationState, Dialogue, Limits, Person
from omni.dialogue.table import TABLE, Row, as_markdown, row_of
from omni.errors import MediaError
from omni.events import Progress, SpeechChunk, TextDelta
from omni.listening.settings import RATE
from tests.support.dialogue_events import SECOND, Scripted, question_file
from tests.support.root import ROOT

ERROR = MediaError("image-broken", "{name} is broken.", name="camera.jpg")

Scene = Callable[[], tuple[Scripted, on.Event]]


def scene(make: Callable[[Scripted], on.Event], ready: bool = True) -> Scene:
    def build() -> tuple[Scripted, on.Event]:
        talk = Scripted(ready=ready)
        return talk, make(talk)

    return build


def late(talk: Scripted) -> Scripted:
    talk.passes(1.1)
    return talk


def with_end(talk: Scripted, seconds: float = 1.0) -> Scripted:
    talk.tell(talk.finished(seconds))
    return talk


def flushed(talk: Scripted, heard: int = SECOND // 2) -> Scripted:
    talk.tell(talk.played(heard, flushed=True))
    return talk


def closing(talk: Scripted) -> Scripted:
    talk.playing().tell(talk.end())
    return talk


def thrown_away(talk: Scripted) -> Scripted:
    talk.held().tell(talk.prepared())
    talk.tell(talk.resumed())
    return talk


# One scene or more for every row: what was before, and the event.
SCENES: dict[str, list[Scene]] = {
    "loaded": [scene(lambda t: on.Loaded(t.now), ready=False)],
    "not-loaded": [scene(lambda t: on.LoadFailed(t.now, ERROR), ready=False)],
    "voice": [scene(lambda t: t.began())],
    "begin-early": [scene(lambda t: (t.hearing().tell(t.paused()), t.listened())[1])],
    "begin-late": [scene(lambda t: t.hearing().ended())],
    "no-end": [
        scene(lambda t: t.held().resumed()),
        scene(lambda t: (t.held().tell(t.prepared()), with_end(t).resumed())[1]),
    ],
    "release": [scene(lambda t: t.held().ended())],
    "release-sound": [
        scene(lambda t: (t.held().tell(t.sound()), t.tell(t.sound()), t.ended())[2]),
        scene(lambda t: (t.held().tell(t.sound()), with_end(t).ended())[1]),
    ],
    "release-silent": [
        scene(lambda t: with_end(t.held(), 0).ended()),
        scene(lambda t: (t.held().tell(t.item(ERROR)), t.ended())[1]),
        scene(lambda t: (t.held().tell(t.sound(100)), with_end(t).ended())[1]),
    ],
    "first-sound": [scene(lambda t: t.awaited().sound())],
    "silent-end": [
        scene(lambda t: t.awaited().finished(0)),
        scene(lambda t: t.awaited().item(ERROR)),
    ],
    "interrupt": [
        scene(lambda t: t.awaited().began()),
        scene(lambda t: t.playing().began()),
        scene(lambda t: t.asked_again().began()),
    ],
    "sound": [scene(lambda t: t.playing().sound())],
    "sent": [
        scene(lambda t: t.playing().finished()),
        scene(lambda t: t.playing().item(ERROR)),
    ],
    "sent-and-heard": [scene(lambda t: (t.playing().tell(t.played(SECOND)), t.finished())[1])],
    "played": [
        scene(lambda t: t.playing().played(SECOND)),
        scene(lambda t: with_end(t.playing()).played(SECOND // 2)),
        scene(lambda t: t.silenced().played(SECOND // 2, flushed=True)),
        scene(lambda t: t.asked_again().played(SECOND // 2, flushed=True)),
    ],
    "heard": [scene(lambda t: with_end(t.playing()).played(SECOND))],
    "asked": [scene(lambda t: t.silenced().ended())],
    "settled": [
        scene(lambda t: with_end(t.silenced()).played(SECOND // 2, flushed=True)),
        scene(lambda t: flushed(t.silenced()).finished()),
        scene(lambda t: flushed(t.silenced(), 0).item(ERROR)),
        scene(lambda t: late(with_end(t.silenced(SECOND // 2))).listened()),
    ],
    "unheard": [
        scene(lambda t: with_end(t.silenced()).played(0, flushed=True)),
        scene(lambda t: flushed(t.silenced(), 0).finished()),
        scene(lambda t: (t.awaited().tell(t.began()), t.finished(0))[1]),
        scene(lambda t: late(with_end(t.silenced())).listened()),
    ],
    "settled-next": [
        scene(lambda t: with_end(t.asked_again()).played(SECOND // 2, flushed=True)),
        scene(lambda t: flushed(t.asked_again()).finished()),
        scene(lambda t: late(with_end(t.asked_again(SECOND // 2))).listened()),
    ],
    "unheard-next": [
        scene(lambda t: with_end(t.asked_again()).played(0, flushed=True)),
        scene(lambda t: flushed(t.asked_again(), 0).finished(0)),
        scene(lambda t: late(with_end(t.asked_again())).listened()),
    ],
    "discarded": [scene(lambda t: thrown_away(t).finished())],
    "end": [
        scene(lambda t: t.end("left"), ready=False),
        scene(lambda t: t.end("lost")),
        scene(lambda t: t.hearing().end()),
    ],
    "end-held": [
        scene(lambda t: t.held().end()),
        scene(lambda t: (t.held().tell(t.prepared()), with_end(t).end())[1]),
    ],
    "end-answer": [
        scene(lambda t: t.awaited().end()),
        scene(lambda t: t.playing().end()),
        scene(lambda t: t.silenced().end()),
        scene(lambda t: t.asked_again().end()),
    ],
    "end-made": [
        scene(lambda t: with_end(t.playing()).end()),
        scene(lambda t: with_end(t.silenced()).end()),
        scene(lambda t: with_end(t.asked_again()).end()),
    ],
    "stopped": [
        scene(lambda t: closing(t).finished(reason="stopped")),
        scene(lambda t: closing(t).item(ERROR)),
    ],
    "not-stopped": [
        scene(lambda t: on.Tick(closing(t).now + 2.1)),
        scene(lambda t: on.PlaybackReport(closing(t).now + 2.1, 1, SECOND)),
    ],
}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_row_is_what_the_machine_does(row: Row) -> None:
    for build in SCENES[row.name]:
        talk, event = build()
        before = talk.dialogue
        commands = talk.tell(event)
        found = row_of(before, event, talk.dialogue, commands)
        assert found is not None
        assert found.name == row.name


def test_every_row_is_tried_from_everywhere() -> None:
    assert set(SCENES) == {row.name for row in TABLE}
    for row in TABLE:
        if row.name in ("discarded", "end-made"):  # any state; an awaited answer is never made
            continue
        tried = {(talk.dialogue.state, talk.dialogue.answer_state) for talk, _ in _built(row)}
        assert tried == set(row.before), row.name


def _built(row: Row) -> list[tuple[Scripted, on.Event]]:
    return [build() for build in SCENES[row.name]]


def test_the_table_of_the_docs_is_the_machine_s() -> None:
    text = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
    assert as_markdown() in text


# What the rows do not say: which question, which sound, what is kept.


def test_a_question_is_asked_with_its_sound() -> None:
    talk = Scripted().hearing()
    (begin, *_) = talk.tell(talk.ended(1.5))
    assert isinstance(begin, do.BeginAnswer)
    assert len(begin.question.sound) == 1.5 * RATE
    assert begin.question.carried == ()


def test_a_pause_waits_for_the_engine() -> None:
    talk = Scripted().hearing()
    talk.tell(talk.paused())
    assert talk.tell(talk.listened(free=False)) == ()
    talk.passes(0.2)
    assert [type(c) for c in talk.tell(talk.listened())] == [do.BeginAnswer]
    assert talk.tell(talk.listened()) == ()  # once


def test_a_pause_that_was_no_end_is_not_begun_for_later() -> None:
    talk = Scripted().hearing()
    talk.tell(talk.paused())
    talk.tell(talk.resumed())
    assert talk.tell(talk.listened()) == ()
    assert talk.dialogue.person is Person.SPEAKING


def test_what_is_held_is_not_heard_before_the_end() -> None:
    talk = Scripted().held()
    for item in (talk.prepared(), talk.sound(), talk.item(TextDelta("word")), talk.sound()):
        assert talk.tell(item) == ()
    sent = [c for c in talk.tell(talk.ended()) if isinstance(c, do.SendSound)]
    assert [len(command.samples) for command in sent] == [SECOND, SECOND]


def test_sound_is_sent_once() -> None:
    talk = Scripted().playing()
    for _ in range(3):
        talk.tell(talk.sound(100))
    assert [len(command.samples) for command in talk.of(do.SendSound)] == [SECOND, 100, 100, 100]


def test_what_a_person_waited_for() -> None:
    talk = Scripted().hearing()
    talk.tell(talk.paused())
    talk.tell(talk.listened())
    begun = talk.now
    talk.passes(0.1)
    talk.tell(talk.item(Progress("encode", 1, 1)))
    talk.tell(talk.item(TextDelta("word")))
    talk.passes(0.3)
    talk.tell(talk.sound())
    talk.passes(0.1)
    talk.tell(talk.ended())  # the voice ended half a second before
    (told,) = talk.of(do.TellLatency)
    latency = told.latency
    assert latency.hold_s == pytest.approx(0.5)
    assert latency.wait_s == 0
    assert latency.begun_s == pytest.approx(begun - (talk.now - 0.5))
    assert latency.read_s == pytest.approx(0.1)
    assert latency.speak_s == pytest.approx(0.3)
    assert latency.begun_s + latency.read_s + latency.speak_s == pytest.approx(latency.ready_s)


def test_a_question_that_had_to_wait_is_measured_from_its_own_voice() -> None:
    talk = Scripted().asked_again(SECOND // 2)
    asked = talk.now
    talk.passes(0.4)
    talk.tell(talk.finished(reason="stopped"))
    talk.tell(talk.played(SECOND // 2, flushed=True))
    talk.passes(0.2)
    talk.tell(talk.sound())
    latency = talk.of(do.TellLatency)[-1].latency
    assert latency.hold_s == pytest.approx(0.5)
    assert latency.wait_s == pytest.approx(talk.now - asked)


def test_an_interrupted_answer_is_closed_as_far_as_it_was_heard() -> None:
    talk = Scripted().silenced(SECOND // 4)
    talk.tell(talk.finished(2.0, "stopped"))
    talk.tell(talk.played(SECOND * 3 // 4, flushed=True))
    (closed,) = talk.of(do.CloseAnswer)
    over = closed.exchange
    text, speech = over.answer.parts
    assert over.outcome == "cut"
    assert over.answered
    assert over.answer.cut
    assert text.text == "one two"  # half of it: nine frames of 25
    assert len(speech.codes) == 9
    assert sum(map(len, over.sound)) == 9 * 1920
    assert over.question == question_file(1)


def test_no_sound_is_sent_behind_an_interruption() -> None:
    talk = Scripted().silenced()
    sent = len(talk.of(do.SendSound))
    assert talk.tell(talk.sound()) == ()
    assert len(talk.of(do.SendSound)) == sent


def test_what_nobody_heard_is_carried_into_the_next_question() -> None:
    talk = Scripted().asked_again()
    talk.tell(talk.finished())
    talk.tell(talk.played(0, flushed=True))
    begin = talk.of(do.BeginAnswer)[-1]
    assert begin.question.carried == question_file(1)
    assert not talk.of(do.CloseAnswer)
    assert not talk.of(do.ForgetFiles)
    assert talk.dialogue.carried == ()  # it was asked


def test_a_person_who_speaks_again_before_they_were_answered_loses_nothing() -> None:
    """The engine is slow to stop: two turns are over before the answer they were spoken into."""
    talk = Scripted(Dialogue(sound_at=100.0, camera=CameraRing())).asked_again(SECOND // 2)
    talk.tell(on.Pictured(talk.now, b"late", talk.at))
    talk.tell(talk.began())
    talk.passes(0.6)
    talk.tell(talk.ended(0.6))
    talk.tell(talk.played(SECOND // 2, flushed=True))
    talk.tell(talk.finished(reason="stopped"))
    begin = talk.of(do.BeginAnswer)[-1]
    assert len(begin.question.sound) == round(0.8 * RATE) + round(0.6 * RATE)
    assert begin.question.frames == (b"late",)
    assert talk.states == ("thinking", "awaited")


def test_an_answer_that_settles_while_they_speak_again_leaves_it_to_the_end_of_that() -> None:
    talk = Scripted().asked_again(SECOND // 2)
    talk.tell(talk.began())
    talk.tell(talk.finished(reason="stopped"))
    talk.tell(talk.played(SECOND // 2, flushed=True))
    assert talk.states == ("hearing", "none")
    talk.passes(0.5)
    talk.tell(talk.paused(0.5))
    talk.tell(talk.listened())
    assert len(talk.of(do.BeginAnswer)[-1].question.sound) == round(0.8 * RATE) + RATE // 2
    talk.tell(talk.resumed())
    talk.tell(talk.ended(2.0))
    assert len(talk.of(do.BeginAnswer)[-1].question.sound) == round(0.8 * RATE) + 2 * RATE
    assert talk.dialogue.unasked is None


def test_a_long_part_of_a_turn_is_a_piece_that_stays() -> None:
    talk = Scripted().held(9.0)
    talk.tell(talk.prepared())
    talk.tell(talk.finished())
    assert [type(c) for c in talk.tell(talk.resumed())] == [do.ThrowAway]  # its files are needed
    talk.tell(talk.paused(10.5))
    (begin,) = talk.tell(talk.listened())
    assert isinstance(begin, do.BeginAnswer)
    assert begin.question.carried == question_file(1)
    assert len(begin.question.sound) == 1.5 * RATE
    talk.tell(talk.ended(10.5))
    assert talk.dialogue.kept.samples == 0
    assert talk.dialogue.carried == ()


def test_a_short_part_is_asked_again_with_the_rest() -> None:
    talk = Scripted().held(PIECE / RATE - 1)
    talk.tell(talk.prepared())
    talk.tell(talk.resumed())
    talk.tell(talk.paused(9.0))
    (begin,) = talk.tell(talk.listened())
    assert isinstance(begin, do.BeginAnswer)
    assert begin.question.carried == ()
    assert len(begin.question.sound) == 9 * RATE
    (forgotten,) = talk.tell(talk.finished(number=1))  # once the engine has let go of it
    assert forgotten == do.ForgetFiles(question_file(1))
    assert talk.dialogue.discarded == ()


def test_files_that_are_written_after_the_answer_was_thrown_away_go_too() -> None:
    talk = Scripted().held()
    talk.tell(talk.resumed())
    assert talk.tell(talk.prepared(1)) == ()
    assert talk.tell(talk.item(SpeechChunk(np.ones(5, np.int16)), 1)) == ()
    assert talk.tell(talk.item(ERROR, 1)) == (do.ForgetFiles(question_file(1)),)


def test_an_error_is_told_with_the_exchange_and_the_conversation_goes_on() -> None:
    talk = Scripted().awaited()
    talk.tell(talk.item(ERROR))
    (closed,) = talk.of(do.CloseAnswer)
    assert closed.exchange.error is ERROR
    assert closed.exchange.outcome == "failed"
    assert not closed.exchange.answered
    assert talk.states == ("listening", "none")


@pytest.mark.parametrize(("reason", "outcome"), [("end", "whole"), ("limit", "limit")])
def test_how_an_answer_that_was_heard_ended(reason: str, outcome: str) -> None:
    talk = Scripted().playing()
    talk.tell(talk.finished(reason=reason))  # type: ignore[arg-type]
    talk.tell(talk.played(SECOND))
    (closed,) = talk.of(do.CloseAnswer)
    assert closed.exchange.outcome == outcome
    assert not closed.exchange.answer.cut
    assert sum(map(len, closed.exchange.sound)) == SECOND


def camera_talk(*shades: int) -> Scripted:
    """One frame a second, ``shades``; the person begins to speak with the last of them."""
    talk = Scripted(Dialogue(sound_at=100.0, camera=CameraRing()))
    for shade in shades:
        talk.passes(1.0)
        talk.tell(on.Pictured(talk.now, bytes([shade]), talk.at))
        talk.tell(talk.listened(quiet=True))
    return talk.hearing()


def test_the_frames_of_a_turn_go_with_it() -> None:
    talk = camera_talk(1, 2, 3, 4)
    talk.tell(on.Pictured(talk.now, b"5", talk.at))
    talk.passes(1.0)
    (begin, *_) = talk.tell(talk.ended())
    assert isinstance(begin, do.BeginAnswer)
    assert begin.question.frames == (bytes([3]), bytes([4]), b"5")  # a second before counts
    assert talk.dialogue.camera is not None
    assert len(talk.dialogue.camera) == 1  # the next turn may show the last one


def test_a_short_turn_shows_the_last_still() -> None:
    talk = Scripted(Dialogue(sound_at=100.0, camera=CameraRing()))
    talk.tell(on.Pictured(talk.now, b"still", 0))
    talk.passes(3.0)
    talk.tell(talk.listened(quiet=True))
    talk.hearing()
    (begin, *_) = talk.tell(talk.ended())
    assert isinstance(begin, do.BeginAnswer)
    assert begin.question.frames == (b"still",)


def test_without_a_camera_no_frame_is_kept() -> None:
    talk = Scripted()
    talk.tell(on.Pictured(talk.now, b"frame", 0))
    assert talk.dialogue.camera is None


def test_no_frame_is_kept_behind_the_end() -> None:
    talk = camera_talk(1, 2)
    talk.tell(talk.end())
    assert talk.dialogue.camera is None


def test_what_is_said_while_the_model_is_loaded_is_not_answered() -> None:
    talk = Scripted(ready=False)
    for event in (talk.began(), talk.paused(), talk.listened(), talk.ended()):
        assert talk.tell(event) == ()
    assert talk.states == ("preparing", "none")


def test_a_microphone_that_falls_silent_ends_it() -> None:
    talk = Scripted(Dialogue(sound_at=100.0, limits=Limits(sound_s=3.0)))
    talk.passes(2.9)
    talk.tell(talk.listened())
    talk.passes(2.9)
    assert talk.tell(on.Tick(talk.now)) == ()
    talk.passes(0.2)
    assert talk.tell(on.Tick(talk.now)) == (do.Goodbye("microphone"),)


def test_an_answer_that_is_cut_by_the_end_is_kept_as_far_as_it_was_heard() -> None:
    talk = Scripted().playing()
    talk.tell(talk.played(SECOND // 2))
    talk.tell(talk.end("lost"))
    talk.tell(talk.finished(2.0, "stopped"))
    (closed,), (bye,) = talk.of(do.CloseAnswer), talk.of(do.Goodbye)
    assert closed.exchange.outcome == "cut"
    assert len(closed.exchange.answer.parts[1].codes) == 6
    assert bye.reason == "lost"
    assert talk.all[-1] is bye


# Any order of events


class Chance:
    """Random events. ``sane``: in an order in which detector, engine and page can report them."""

    def __init__(self, seed: int, sane: bool) -> None:
        limits = Limits(sound_s=1e9 if sane else 5.0)
        self.talk = Scripted(Dialogue(sound_at=100.0, camera=CameraRing(), limits=limits), False)
        self.talk.voice_begin = 0
        self.random = random.Random(seed)
        self.sane = sane
        self.left: dict[int, bool] = {}  # answers whose engine has not ended -> prepared

    def event(self) -> on.Event:
        talk, chance = self.talk, self.random
        talk.passes(chance.choice((0.0, 0.05, 0.3, 1.2)))
        kinds = [self._verdict, self._listened, self._item, self._item, self._report, self._other]
        return chance.choice(kinds)()

    def note(self, commands: tuple[do.Command, ...]) -> None:
        for command in commands:
            if isinstance(command, do.BeginAnswer):
                self.left[command.number] = False

    def _verdict(self) -> on.Event:
        talk, person = self.talk, self.talk.dialogue.person
        seconds = self.random.choice((0.5, 2.0, 9.0, 20.0))
        made = {
            Person.SILENT: [talk.began],
            Person.SPEAKING: [lambda: talk.paused(seconds)],
            Person.PAUSING: [talk.resumed, lambda: talk.ended(seconds)],
        }
        every = [one for some in made.values() for one in some]
        if self.sane and talk.dialogue.state is ConversationState.PREPARING:
            return self._listened()
        return self.random.choice(made[person] if self.sane else every)()

    def _listened(self) -> on.Event:
        return self.talk.listened(free=self.random.random() < 0.7, quiet=self.random.random() < 0.5)

    def _item(self) -> on.Event:
        talk, chance = self.talk, self.random
        number = chance.choice(list(self.left)) if self.left else 0
        if not self.sane and chance.random() < 0.2:
            number = chance.randint(1, talk.dialogue.begun + 1)
        if not number:
            return on.Tick(talk.now)
        if self.sane and not self.left[number]:
            self.left[number] = True
            return talk.prepared(number)
        kind = chance.choice(("text", "sound", "sound", "end", "silent", "error"))
        if kind == "text":
            return talk.item(TextDelta("word "), number)
        if kind == "sound":
            return talk.item(SpeechChunk(np.ones(chance.choice((1, 900, SECOND)))), number)
        self.left.pop(number, None)
        if kind == "error":
            return talk.item(ERROR, number)
        return talk.finished(2.0 if kind == "end" else 0.0, number=number)

    def _report(self) -> on.Event:
        talk, answer = self.talk, self.talk.dialogue.answer
        flushed = answer is not None and answer.state is AnswerState.SILENCED
        if not self.sane:
            flushed = self.random.random() < 0.3
        return talk.played(self.random.choice((0, 1000, SECOND, 5 * SECOND)), flushed)

    def _other(self) -> on.Event:
        talk, chance = self.talk, self.random
        loading = talk.dialogue.state is ConversationState.PREPARING
        if loading or (not self.sane and chance.random() < 0.1):
            return on.Loaded(talk.now) if chance.random() < 0.95 else on.LoadFailed(talk.now, ERROR)
        if chance.random() < 0.03:
            return talk.end("stopped")
        return on.Pictured(talk.now, b"frame", talk.at)


@pytest.mark.parametrize("sane", [True, False])
def test_whatever_happens(sane: bool) -> None:
    rows: set[str] = set()
    for seed in range(300):
        chance = Chance(seed, sane)
        check = Check(sane)
        for _ in range(150):
            event = chance.event()
            before = chance.talk.dialogue
            commands = chance.talk.tell(event)
            chance.note(commands)
            check(before, chance.talk.dialogue, commands)
            if sane and (commands or _states(before) != _states(chance.talk.dialogue)):
                row = row_of(before, event, chance.talk.dialogue, commands)
                assert row is not None, (seed, before, event, chance.talk.dialogue, commands)
                rows.add(row.name)
        for event in (chance.talk.end(), on.Tick(chance.talk.now + 3.0)):
            before = chance.talk.dialogue
            commands = chance.talk.tell(event)
            check(before, chance.talk.dialogue, commands)
        check.end(chance.talk)
    if sane:
        assert rows == {row.name for row in TABLE}  # chance comes through every row


def _states(dialogue: Dialogue) -> tuple[ConversationState, AnswerState]:
    return dialogue.state, dialogue.answer_state


class Check:
    """What must hold whatever happens."""

    def __init__(self, sane: bool) -> None:
        self.sane = sane
        self.begun: list[int] = []
        self.over: list[int] = []
        self.released: set[int] = set()
        self.stopped: set[int] = set()
        self.sent: dict[int, int] = {}

    def __call__(self, before: Dialogue, now: Dialogue, commands: tuple[do.Command, ...]) -> None:
        if before.state is ConversationState.CLOSED:
            assert now is before
            assert commands == ()
        for command in commands:
            self._command(command)
        assert len(self.begun) - len(self.over) == (now.answer is not None)  # one at most
        if now.answer is not None:
            assert now.answer.played <= now.answer.sent == self.sent.get(now.answer.number, 0)
        # The state is named after what is going on.
        assert (now.state is ConversationState.SPEAKING) == (
            now.answer_state is AnswerState.PLAYING
        )
        if now.due is not None:
            assert now.answer_state is AnswerState.SILENCED
        if now.due is not None and self.sane:
            assert now.person is Person.SILENT

    def _command(self, command: do.Command) -> None:
        if isinstance(command, do.BeginAnswer):
            assert command.number == len(self.begun) + 1
            self.begun.append(command.number)
        elif isinstance(command, do.Release):
            self.released.add(command.number)
        elif isinstance(command, do.SendSound):
            assert command.number in self.released  # nothing of a held answer
            assert command.number not in self.stopped  # nothing of a silenced one
            assert command.number not in self.over
            self.sent[command.number] = self.sent.get(command.number, 0) + len(command.samples)
        elif isinstance(command, do.StopAnswer):
            self.stopped.add(command.number)
        elif isinstance(command, (do.CloseAnswer, do.ThrowAway)):
            assert command.number in self.begun
            assert command.number not in self.over
            self.over.append(command.number)
            if isinstance(command, do.CloseAnswer):
                heard = sum(map(len, command.exchange.sound))
                assert heard <= self.sent.get(command.number, 0)

    def end(self, talk: Scripted) -> None:
        assert talk.dialogue.state is ConversationState.CLOSED
        assert self.begun == sorted(self.over)
        byes = talk.of(do.Goodbye)
        assert len(byes) == 1
        assert talk.all[-1] is byes[0]


def test_a_step_leaves_the_dialogue_before_as_it_was() -> None:
    talk = Scripted().held()
    before = talk.dialogue
    talk.tell(talk.prepared())
    talk.tell(talk.sound())
    talk.tell(talk.ended())
    assert before.answer is not None
    assert before.answer.state is AnswerState.HELD
    assert before.answer.so_far.sounds == ()
    again, _ = step(before, talk.ended())
    assert again.answer is not None
    assert again.answer.state is AnswerState.AWAITED
