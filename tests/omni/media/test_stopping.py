"""Reading a file ends when the signal is set, in the middle of it."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from omni.errors import MediaError
from omni.media import picture_files, stoppable
from omni.media.audio import check_sound, read_sound
from omni.media.image import check_image, read_image
from omni.media.limits import DecodingStopped, MediaLimits, Watch, limits, set_limits
from omni.media.stoppable import AT_ONCE
from omni.media.stoppable import stoppable as left_when_stopped
from omni.media.video import check_clip, iter_frames
from omni.media.wav import write_wav

END_S = 1.0  # within which a stop is heard


def stopped_after(seconds: float, work: Callable[[threading.Event], object]) -> float:
    """Seconds between the signal and the end of ``work``."""
    stop = threading.Event()
    at: list[float] = []
    timer = threading.Timer(seconds, lambda: (at.append(time.monotonic()), stop.set()))
    timer.start()
    with pytest.raises(DecodingStopped):
        work(stop)
    return time.monotonic() - at[0]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "JPEG2000", "TIFF"])
def test_a_picture_of_any_form_is_left_in_the_middle(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "picture"
    Pillow.new("RGB", (64, 64)).save(path, form)
    load = Pillow.Image.load

    def slowly(picture: Pillow.Image) -> object:
        time.sleep(4)  # one call of a decoder, which asks nobody
        return load(picture)

    monkeypatch.setattr(Pillow.Image, "load", slowly)
    with Pillow.open(path) as picture:  # some forms have a method of their own
        monkeypatch.setattr(type(picture), "load", slowly)
    assert stopped_after(0.3, lambda stop: read_image(path, stop=stop)) < END_S


def test_a_picture_that_is_read_in_pieces_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    Pillow.fromarray(noise).save(path)
    stop = threading.Event()
    reads = 0

    class Stopping(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            nonlocal reads
            reads += 1
            if reads == 10:
                stop.set()
            return super().read(size)

    source = Stopping(path.read_bytes())
    watch = Watch("noise.png", stop)
    with (
        pytest.raises(DecodingStopped),
        picture_files.open_picture(source, "noise.png", watch=watch) as picture,
    ):
        picture.load()
    assert reads == 10


def test_a_picture_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Pillow.new("RGB", (64, 64)).save(path)
    before = limits()
    set_limits(MediaLimits(decode_s=-1.0))
    try:
        for stop in (None, threading.Event()):
            with pytest.raises(MediaError) as caught:
                read_image(path, stop=stop)
            assert caught.value.code == "media-too-slow"
    finally:
        set_limits(before)


def test_what_was_left_does_not_pile_up() -> None:
    hold, stop = threading.Event(), threading.Event()
    stop.set()
    for _ in range(AT_ONCE):
        with pytest.raises(DecodingStopped):
            left_when_stopped(hold.wait, Watch("file", stop))
    begun: list[bool] = []
    waiting = threading.Thread(
        target=lambda: left_when_stopped(lambda: begun.append(True), Watch("next", None))
    )
    waiting.start()
    time.sleep(4 * stoppable.POLL_S)
    assert not begun
    with pytest.raises(DecodingStopped):  # who waits for them hears the signal, too
        left_when_stopped(lambda: begun.append(True), Watch("other", stop))
    hold.set()
    waiting.join(10)
    assert begun == [True]


def test_an_error_of_the_step_is_its_own() -> None:
    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        left_when_stopped(fail, Watch("file", None))


def test_sound_is_left_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    write_wav(path, np.zeros(16_000 * 60 * 20, np.float32), 16_000)
    stop = threading.Event()
    stop.set()
    with pytest.raises(DecodingStopped):
        read_sound(path, stop=stop)


@pytest.mark.parametrize(
    ("check", "read", "name"),
    [
        (check_image, read_image, "text.png"),
        (check_image, read_image, "sound.wav"),
        (check_image, read_image, "empty.png"),
        (check_sound, read_sound, "text.png"),
        (check_sound, read_sound, "picture.png"),
        (check_sound, read_sound, "empty.png"),
        (check_clip, lambda path: list(iter_frames(path, 4)), "text.png"),
        (check_clip, lambda path: list(iter_frames(path, 4)), "sound.wav"),
        (check_clip, lambda path: list(iter_frames(path, 4)), "empty.png"),
    ],
)
def test_a_first_look_says_what_reading_would(
    tmp_path: Path, check: Callable[[Path], None], read: Callable[[Path], object], name: str
) -> None:
    Pillow.new("RGB", (64, 64)).save(tmp_path / "picture.png")
    write_wav(tmp_path / "sound.wav", np.zeros(16_000, np.float32), 16_000)
    (tmp_path / "text.png").write_text("no medium at all\n" * 100)
    (tmp_path / "empty.png").touch()
    said = []
    for look in (check, read):
        with pytest.raises(MediaError) as caught:
            look(tmp_path / name)
        said.append(str(caught.value))
    assert said[0] == said[1]
