"""What Live is made of: messages, tickets, sliders."""

from __future__ import annotations

import json
from contextlib import ExitStack

import numpy as np
import pytest

from demos.base.languages import Words
from demos.live import wire
from demos.live.captions import Captions
from demos.live.gate import MESSAGES_WAITING, PICTURES_A_SECOND, PICTURES_AT_ONCE, Gate
from demos.live.panel import REFUSALS
from demos.live.route import MAX_LIVE, MAX_LIVE_EACH, LiveDesk
from demos.live.thresholds import ROOMS, THRESHOLDS, for_page, settings_of
from omni.dialogue.camera import LARGEST_FRAME
from omni.dialogue.question import Question
from omni.dialogue.states import Answer, AnswerState
from omni.events import SpeechChunk, TextDelta
from omni.listening.settings import ListeningSettings


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x09data",
        b"\x01odd",
        "",
        "[]",
        "{}",
        '{"type": "hello", "rate": 5}',
        '{"type": "hello", "rate": "many"}',
        '{"type": "played", "answer": 1}',
        '{"type": "else"}',
        '{"type": "settings"}',
        '{"type": "settings", "thresholds": {"end_s": "long"}}',
        '{"type": "settings", "thresholds": {"end_s": NaN}}',
        "[" * 100_000,
        b"\x02" + b"x" * wire.LARGEST_MESSAGE,
    ],
)
def test_strange_messages_are_refused(message: bytes | str) -> None:
    with pytest.raises(wire.WireError):
        wire.read(message)


def test_messages_are_read() -> None:
    sound = wire.read(b"\x01\x01\x00\xff\xff")
    assert isinstance(sound, wire.Sound)
    assert sound.samples.tolist() == [1, -1]
    assert wire.read(b"\x02jpeg") == wire.Picture(b"jpeg")
    assert wire.read('{"type": "hello", "rate": 48000}') == wire.Hello(48000)
    assert wire.read('{"type": "flushed", "answer": 3, "samples": 7}') == wire.PlaybackReport(
        3, 7, True
    )
    assert wire.read('{"type": "ping"}') == wire.Ping()
    assert wire.read('{"type": "end", "reason": "x"}') == wire.Over("stopped")
    told = wire.read('{"type": "settings", "thresholds": {"end_s": 1.5, "barge_s": 9}}')
    assert told == wire.Sensitivity(ListeningSettings(end_s=1.5))  # what nobody offers is not taken
    assert wire.speech(258, np.array([1, -1])) == b"\x02\x01\x00\x00\x01\x00\xff\xff"


def test_a_ticket_connects_its_own_session_once() -> None:
    desk, live = LiveDesk(), object()
    ticket = desk.ticket(live, "https://a.example")  # type: ignore[arg-type]
    assert desk.waiting(ticket)
    assert desk.claim("another") is None
    assert desk.claim(ticket, "https://a.example") is live
    assert desk.claim(ticket, "https://a.example") is None
    assert not desk.waiting(ticket)
    foreign = desk.ticket(live, "https://a.example")  # type: ignore[arg-type]
    assert desk.claim(foreign, "https://b.example") is None
    gone = desk.ticket(live)  # type: ignore[arg-type]
    desk.over(gone)
    assert desk.claim(gone) is None


def test_a_ticket_to_live_is_not_good_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demos.live.route.TICKET_LIFETIME_S", -0.001)
    desk = LiveDesk()
    late = desk.ticket(object())  # type: ignore[arg-type]
    assert not desk.waiting(late)
    assert desk.claim(late) is None


def test_the_sliders_make_settings() -> None:
    values = (0.5, 0.3, None, 9)
    settings = settings_of(dict(zip(THRESHOLDS, values, strict=True)))
    assert settings.end_s == 0.5
    assert settings.begin_probability == 0.3
    assert settings.keep_probability < 0.3
    assert settings.barge_probability == 0.95  # the slider's end
    assert settings_of(dict.fromkeys(THRESHOLDS)).end_s == 0.7


def test_every_room_is_named_and_within_the_sliders() -> None:
    offered, words = json.loads(for_page()), Words()
    assert list(offered["rooms"]) == list(ROOMS)
    for name, values in offered["rooms"].items():
        assert len(words.say("zh", f"talk-room-{name}")) > 1
        for one in THRESHOLDS:
            assert one.least <= values[one.field] <= one.most
    usual = {one: offered["rooms"]["usual"][one.field] for one in THRESHOLDS}
    assert settings_of(usual) == ListeningSettings()
    assert offered["rooms"]["noisy"]["barge_probability"] > usual[THRESHOLDS[3]]


def test_captions_are_told_once_heard_and_with_their_place_in_the_sound() -> None:
    captions, asked = Captions(), Question(np.zeros(1, np.float32))
    captions.add(1, TextDelta("one "))
    captions.add(1, SpeechChunk(np.zeros(240, np.int16)))
    captions.add(1, TextDelta("two"))
    held = Answer(1, asked)
    assert not list(captions.due(held)), "nobody may hear it yet"
    playing = Answer(1, asked, AnswerState.PLAYING)
    told = list(captions.due(playing))
    assert [(piece["text"], piece["at"]) for piece in told] == [("one ", 0), ("two", 240)]
    assert not list(captions.due(playing)), "once is enough"
    captions.add(2, TextDelta("three"))
    captions.add(1, TextDelta("too late"))
    assert not list(captions.due(playing))
    assert [one["text"] for one in captions.due(Answer(2, asked, AnswerState.AWAITED))] == ["three"]


def test_everything_that_a_browser_can_refuse_has_a_sentence() -> None:
    words = Words()
    for refusal in REFUSALS:
        for language in ("en", "zh"):
            assert len(words.say(language, f"live-{refusal}")) > 15  # type: ignore[arg-type]


def test_the_gate_bounds_sound_messages_and_pictures() -> None:
    gate = Gate(camera=True)
    sound = wire.Sound(np.zeros(48_000, np.int16))
    assert not gate.wanted(sound, 0.0), "nobody listens yet"
    gate.open()
    assert gate.wanted(sound, 0.0)
    assert gate.fits(wire.Hello(48_000), 0, 0)
    assert gate.fits(sound, 9 * 48_000, 0) and not gate.fits(sound, 10 * 48_000, 0)
    assert not gate.fits(wire.Ping(), 0, MESSAGES_WAITING)
    picture = wire.Picture(b"\xff\xd8\xff rest")
    assert not gate.wanted(wire.Picture(b"GIF89a"), 0.0)
    taken = sum(gate.wanted(picture, 100 + number / 100) for number in range(1_000))  # in 10 s
    assert PICTURES_AT_ONCE <= taken <= PICTURES_AT_ONCE + 10 * PICTURES_A_SECOND
    assert not gate.wanted(wire.Picture(b"x" * (LARGEST_FRAME + 1)), 1e6)
    assert not Gate(camera=False).wanted(picture, 0.0)


def test_live_has_so_many_places_and_no_more() -> None:
    desk = LiveDesk()
    with ExitStack() as seats:
        assert all(seats.enter_context(desk.seat()) for _ in range(MAX_LIVE))
        with desk.seat() as free:
            assert not free
    with desk.seat() as free:
        assert free


def test_an_address_has_not_all_places_of_live() -> None:
    desk = LiveDesk()
    with ExitStack() as places:
        taken = [places.enter_context(desk.seat("one")) for _ in range(MAX_LIVE_EACH + 1)]
        assert taken == [True] * MAX_LIVE_EACH + [False]
        assert places.enter_context(desk.seat("other"))
        assert places.enter_context(desk.seat())
    with ExitStack() as places:  # they are given back, and bound nobody on one's own machine
        taken = [places.enter_context(desk.seat()) for _ in range(MAX_LIVE + 1)]
        assert taken == [True] * MAX_LIVE + [False]
