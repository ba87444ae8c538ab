"""Which frames of a clip are seen, whatever its container, rate and key frames."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from omni.errors import MediaError
from omni.media import video
from omni.media.container import duration, has_sound, open_container
from omni.media.limits import MediaLimits
from omni.media.video import choose, iter_frames, thin
from tests.support.media_files import number_of, numbered, tone, turn_clip, write_clip, write_sound
from tests.support.odd_files import with_damage

NTSC = Fraction(30_000, 1001)


def numbers(path: Path, most: int = 32) -> list[int]:
    return [number_of(frame) for frame in iter_frames(path, most)]


def error_of(path: Path) -> MediaError:
    with pytest.raises(MediaError) as caught:
        list(iter_frames(path, 32))
    assert path.name in str(caught.value)
    return caught.value


@pytest.mark.parametrize("keys", [1, 7, 1000])
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "libx264"),
        ("a.mkv", "libx264"),
        ("a.webm", "libvpx"),
        ("a.avi", "mpeg4"),
        ("a.ts", "libx264"),
        ("a.flv", "libx264"),
    ],
)
def test_one_frame_a_second(tmp_path: Path, name: str, codec: str, keys: int) -> None:
    clip = write_clip(tmp_path / name, np.arange(35) / 10, codec, rate=10, keys=keys)
    assert numbers(clip) == [0, 10, 20, 30]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.webm"])
@pytest.mark.parametrize("keys", [5, 1000])
def test_a_long_clip_is_thinned(tmp_path: Path, name: str, keys: int) -> None:
    codec = "libvpx" if name.endswith("webm") else "libx264"
    clip = write_clip(tmp_path / name, np.arange(100) / 5, codec, rate=5, keys=keys)
    every = list(range(0, 100, 5))
    assert numbers(clip) == every
    expected = [every[i] for i in np.linspace(0, 19, 6, dtype=int)]
    assert numbers(clip, 6) == expected


def test_the_rate_is_rounded_as_published(tmp_path: Path) -> None:
    """Frames 0, 30, 60, ... of 29.97 a second; 2.5 a second is rounded to 2."""
    clip = write_clip(tmp_path / "a.mp4", np.arange(95) / float(NTSC), rate=NTSC)
    assert numbers(clip) == [0, 30, 60, 90]
    slow = write_clip(tmp_path / "b.mp4", np.arange(9) / 2.5, rate=Fraction(5, 2))
    assert numbers(slow) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.webm", "libvpx")])
def test_a_varying_rate_goes_by_the_clock(tmp_path: Path, name: str, codec: str) -> None:
    times = [0.0, 0.2, 0.9, 1.1, 1.15, 1.2, 1.25, 1.3, 3.4, 3.5, 5.1]
    clip = write_clip(tmp_path / name, times, codec)
    # On screen at 0, 1, 2, 3, 4 and 5 s; what stands still is seen once.
    assert numbers(clip) == [0, 2, 7, 9]


def test_a_browser_recording(tmp_path: Path) -> None:
    """MediaRecorder's webm: no duration, no index, odd times."""
    draws = np.random.default_rng(4)
    times = np.cumsum(draws.uniform(0.02, 0.09, 80))
    clip = write_clip(
        tmp_path / "a.webm", times - times[0], "libvpx", keys=1000, options={"live": "1"}
    )
    with open_container(clip) as container:
        assert duration(container) is None
    shown = np.round(times - times[0], 3)
    expected = [int((shown <= second + 1e-6).sum()) - 1 for second in range(int(shown[-1]) + 1)]
    assert numbers(clip) == expected


def test_slides(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", np.arange(5) * 4.0, rate=Fraction(1, 4))
    assert numbers(clip) == [0, 1, 2, 3, 4]


def test_a_single_frame(tmp_path: Path) -> None:
    assert numbers(write_clip(tmp_path / "a.mp4", [0.0])) == [0]


def test_a_clip_with_sound(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", np.arange(60) / 30, sound=True)
    assert numbers(clip) == [0, 30]


def test_an_animation(tmp_path: Path) -> None:
    frames = [Pillow.fromarray(numbered(number)) for number in range(25)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    assert numbers(tmp_path / "a.gif") == [0, 10, 20]


def test_a_bare_stream(tmp_path: Path) -> None:
    """Nothing can be searched and nothing says a time: frames are counted."""
    clip = write_clip(tmp_path / "a.h264", np.arange(60) / 25, rate=25)
    assert numbers(clip) == [0, 25, 50]


@pytest.mark.parametrize(
    ("held", "turn"),
    [
        ("right", Pillow.Transpose.ROTATE_270),
        ("left", Pillow.Transpose.ROTATE_90),
        ("over", Pillow.Transpose.ROTATE_180),
    ],
)
def test_the_camera_was_turned(tmp_path: Path, held: str, turn: Pillow.Transpose) -> None:
    """A display matrix turns clockwise for "right", as players show it."""
    clip = write_clip(tmp_path / "a.mp4", np.arange(20) / 10, rate=10)
    upright = list(iter_frames(clip, 32))[1]
    turn_clip(clip, held)
    turned = list(iter_frames(clip, 32))[1]
    assert np.array_equal(np.asarray(turned), np.asarray(upright.transpose(turn)))


def test_only_what_is_needed_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "a.mp4", np.arange(600) / 10, rate=10, keys=10)
    decoded = []
    original = video._Decoder._forward

    def counted(self: video._Decoder, stamp: int) -> av.VideoFrame | None:
        inner = self._decoded
        self._decoded = (decoded.append(frame.pts) or frame for frame in inner)
        try:
            return original(self, stamp)
        finally:
            self._decoded = inner

    monkeypatch.setattr(video._Decoder, "_forward", counted)
    assert numbers(clip, 4) == [0, 190, 390, 590]
    assert len(decoded) < 60


def test_choice_and_thinning() -> None:
    steady = tuple(np.arange(100) / 30)
    assert choose(steady, Fraction(30)) == [0, 30, 60, 90]
    assert choose(steady, None) == [0, 30, 60, 90]
    assert choose((0.0,), Fraction(30)) == [0]
    assert choose((0.0, 0.5, 2.5), Fraction(1000)) == [0, 1]
    assert thin([0, 30, 60], 32) == [0, 30, 60]
    assert thin(list(range(6)), 4) == [0, 1, 3, 5]  # as published, not rounded
    assert thin(list(range(6)), 1) == [0]


# -- clips that cannot be used ------------------------------------------------------------------


def test_sound_alone(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", tone(1.0))
    assert error_of(path).code == "video-absent"


def test_a_cover_picture_is_no_clip(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        track = container.add_stream("aac", rate=48_000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.float32), "fltp", "mono")
        frame.sample_rate = 48_000
        for stream, item in ((cover, picture), (cover, None), (track, frame), (track, None)):
            container.mux(stream.encode(item))
    assert has_sound(path)
    assert error_of(path).code == "video-absent"


def plain(path: Path) -> Path:
    return write_clip(path, np.arange(90) / 30)


def front(path: Path) -> Path:
    """The index in front, so that the beginning of the file is a clip by itself."""
    return write_clip(path, np.arange(90) / 30, options={"movflags": "faststart"})


@pytest.mark.parametrize(
    ("name", "write", "code"),
    [
        ("a.mp4", plain, "video-unreadable"),
        ("a.mp4", front, "video-cut-off"),
        ("a.mkv", plain, "video-cut-off"),
    ],
)
def test_half_a_clip(tmp_path: Path, name: str, write: Callable[[Path], Path], code: str) -> None:
    path = write(tmp_path / name)
    assert numbers(path) == [0, 30, 60]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert error_of(path).code == code


def test_no_file(tmp_path: Path) -> None:
    assert error_of(tmp_path / "a.mp4").code == "media-missing"
    (tmp_path / "b.mp4").touch()
    assert error_of(tmp_path / "b.mp4").code == "media-empty"


@pytest.mark.parametrize("content", [b"hello " * 99, bytes(9000), b"#EXTM3U\n#EXTINF:5,\n{0}\n"])
def test_something_else(tmp_path: Path, content: bytes) -> None:
    clip = plain(tmp_path / "clip.mp4")
    path = tmp_path / "a.mp4"
    path.write_bytes(content.replace(b"{0}", str(clip).encode()))
    assert error_of(path).code == "video-unreadable"


def test_damage_inside(tmp_path: Path) -> None:
    """Frames that cannot be decoded are replaced by later ones, or refused; never a traceback."""
    path = write_clip(tmp_path / "a.mp4", np.arange(90) / 30, keys=10)
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    draws = np.random.default_rng(0)
    for place in draws.integers(start + 200, start + (len(content) - start) // 2, 200):
        content[place] = draws.integers(0, 256)
    path.write_bytes(bytes(content))
    try:
        frames = list(iter_frames(path, 32))
    except MediaError as error:
        assert error.code in ("video-unreadable", "video-cut-off")
    else:
        assert 1 <= len(frames) <= 3


@pytest.mark.parametrize("at", [0.3, 0.5, 0.7])
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mov", "mjpeg")])
def test_packets_that_no_decoder_takes_are_left_out(
    tmp_path: Path, name: str, codec: str, at: float
) -> None:
    path = tmp_path / name
    draws = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width = stream.height = 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for _ in range(60):
            noise = draws.integers(0, 255, (96, 96, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, "rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(with_damage(path.read_bytes(), at, 3000))
    assert len(list(iter_frames(path, 32))) == 6


def test_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "limits", lambda: MediaLimits(seconds=2))
    clip = plain(tmp_path / "a.mp4")
    assert error_of(clip).code == "video-too-long"
    live = write_clip(tmp_path / "a.webm", np.arange(90) / 30, "libvpx", options={"live": "1"})
    assert error_of(live).code == "video-too-long"
