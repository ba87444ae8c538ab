"""What Live is made of: messages, the camera's ring, what was heard, clips, tickets."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from demos.base.languages import Words
from demos.live import wire
from demos.live.camera import LARGEST_FRAME, CameraRing
from demos.live.panel import REFUSALS, THRESHOLDS, settings_of
from demos.live.route import LiveDesk
from omni.conversation import Message, Speech, Text
from omni.dialogue.interrupted import heard_part
from omni.errors import MediaError
from omni.media.clip import write_clip
from omni.media.video import iter_frames


def speech(frames: int) -> Speech:
    return Speech(codes=np.zeros((frames, 8), np.int32))


def answer(*parts: Any) -> Message:
    return Message("assistant", parts, spoken=True)


def test_what_was_heard_whole_stays() -> None:
    message = answer(Text("One two.", (1, 2)), speech(25), Text("Three.", (3,)), speech(10))
    cut = heard_part(message, 2.8)
    assert cut.parts == message.parts
    assert cut.cut
    assert cut.spoken


def test_the_piece_that_was_being_heard_is_shared_out() -> None:
    message = answer(
        Text("One.", (1,)), speech(25), Text("Alpha beta gamma delta", (3,)), speech(50)
    )
    cut = heard_part(message, 4.0)  # 25 frames and 25 of 50
    first, second, text, part = cut.parts
    assert (first, second) == message.parts[:2]
    assert isinstance(text, Text)
    assert isinstance(part, Speech)
    assert text == Text("Alpha beta gamma"[: len(text.text)])
    assert text.text.strip() in ("Alpha beta", "Alpha beta gamma")
    assert part.codes is not None
    assert len(part.codes) == 25


def test_nothing_heard_is_nothing_kept() -> None:
    assert heard_part(answer(Text("Hello", (1,)), speech(25)), 0.0).parts == ()


def test_text_without_speech_was_read() -> None:
    message = answer(Text("Hello", (1,)))
    assert heard_part(message, 0.0).parts == message.parts


def test_chinese_is_cut_at_a_character() -> None:
    cut = heard_part(answer(Text("今天天气很好", (1,)), speech(60)), 2.4)
    assert cut.parts[0] == Text("今天天")


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
    assert wire.read('{"type": "flushed", "answer": 3, "samples": 7}') == wire.Heard(3, 7, True)
    assert wire.read('{"type": "ping"}') == wire.Ping()
    assert wire.read('{"type": "end", "reason": "x"}') == wire.Over("stopped")
    assert wire.speech(258, np.array([1, -1])) == b"\x02\x01\x00\x00\x01\x00\xff\xff"


def test_the_ring_keeps_the_last_frames_alone() -> None:
    ring = CameraRing(3)
    for at in range(5):
        ring.add(bytes([at]), at)
    ring.add(b"x" * (LARGEST_FRAME + 1), 9)
    assert len(ring) == 3
    assert ring.between(3, 9) == (b"\x03", b"\x04")
    assert ring.between(8, 9) == (b"\x04",)  # the last still
    assert ring.between(0, 1) == ()
    ring.forget(4)
    assert len(ring) == 1
    ring.forget()
    assert len(ring) == 0


def jpeg(size: tuple[int, int], shade: int) -> bytes:
    data = io.BytesIO()
    Pillow.new("RGB", size, (shade, shade, shade)).save(data, "JPEG")
    return data.getvalue()


@pytest.mark.parametrize("count", [1, 2, 32])
def test_a_clip_gives_every_frame_back(tmp_path: Path, count: int) -> None:
    shades = [40 + 6 * index for index in range(count)]
    path = tmp_path / "clip.mp4"
    write_clip([jpeg((65, 49), shade) for shade in shades], path)
    frames = list(iter_frames(path, 32))
    assert len(frames) == count
    assert frames[0].size == (64, 48)
    means = [float(np.asarray(frame).mean()) for frame in frames]
    assert np.abs(np.array(means) - shades).max() < 3


def test_a_frame_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="not a picture"):
        write_clip([b"GIF89a"], tmp_path / "clip.mp4")


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
    settings = settings_of([0.5, 0.3, None, 9])
    assert settings.end_s == 0.5
    assert settings.begin_probability == 0.3
    assert settings.keep_probability < 0.3
    assert settings.barge_probability == 0.95  # the slider's end
    assert settings_of([None] * len(THRESHOLDS)).end_s == 0.7


def test_everything_that_a_browser_can_refuse_has_a_sentence() -> None:
    words = Words()
    for refusal in REFUSALS:
        for language in ("en", "zh"):
            assert len(words.say(language, f"live-{refusal}")) > 15  # type: ignore[arg-type]
