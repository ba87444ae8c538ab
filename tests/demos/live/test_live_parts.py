"""What Live is made of: messages, tickets, sliders."""

from __future__ import annotations

import numpy as np
import pytest

from demos.base.languages import Words
from demos.live import wire
from demos.live.panel import REFUSALS, THRESHOLDS, settings_of
from demos.live.route import LiveDesk


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
    assert wire.speech(258, np.array([1, -1])) == b"\x02\x01\x00\x00\x01\x00\xff\xff"


def test_a_ticket_is_good_once_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, live = LiveDesk(), object()
    ticket = desk.ticket(live, "https://a.example")  # type: ignore[arg-type]
    assert desk.waiting(ticket)
    assert desk.claim("another") is None
    assert desk.claim(ticket, "https://a.example") is live
    assert desk.claim(ticket, "https://a.example") is None
    late = desk.ticket(live)  # type: ignore[arg-type]
    now = __import__("time").monotonic() + 60
    monkeypatch.setattr("demos.live.route.time.monotonic", lambda: now)
    assert not desk.waiting(late)
    assert desk.claim(late) is None


@pytest.mark.parametrize(
    ("given", "shown", "good"),
    [
        ("https://a.example", "https://a.example", True),
        ("https://a.example", "https://b.example", False),
        ("https://a.example", None, True),  # no browser: those send one
        (None, None, True),
        (None, "https://b.example", False),
    ],
)
def test_a_ticket_is_good_for_the_page_that_got_it(
    given: str | None, shown: str | None, good: bool
) -> None:
    desk, live = LiveDesk(), object()
    ticket = desk.ticket(live, given)  # type: ignore[arg-type]
    assert (desk.claim(ticket, shown) is live) == good
    assert desk.claim(ticket, given) is None  # used up all the same


def test_the_sliders_make_settings() -> None:
    values = (0.5, 0.3, None, 9)
    settings = settings_of(dict(zip(THRESHOLDS, values, strict=True)))
    assert settings.end_s == 0.5
    assert settings.begin_probability == 0.3
    assert settings.keep_probability < 0.3
    assert settings.barge_probability == 0.95  # the slider's end
    assert settings_of(dict.fromkeys(THRESHOLDS)).end_s == 0.7


def test_everything_that_a_browser_can_refuse_has_a_sentence() -> None:
    words = Words()
    for refusal in REFUSALS:
        for language in ("en", "zh"):
            assert len(words.say(language, f"live-{refusal}")) > 15  # type: ignore[arg-type]
