"""Odd clips, made on the spot, each with what is right for it.

In the good one a green star appears (examples/appears.mp4).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

from tests.corpus.outcomes import Case, Refused, Seen, refused, written
from tests.corpus.sounds import clip_with_sound, half_of, packed, talk
from tests.support.media_files import fill_track, turn_clip, write_clip
from tests.support.odd_files import EPS, flat_png, jpeg, with_damage
from tests.support.root import ROOT

ASKED = "What happens?"
SHOWN = Seen("a green star appears")
ANYTHING = Seen("")
UNREADABLE, CUT = refused("video-unreadable"), refused("video-cut-off", "video-unreadable")
ABSENT = refused("video-absent", "video-unreadable")


@cache
def good() -> bytes:
    """The good clip."""
    return (ROOT / "examples" / "appears.mp4").read_bytes()


@cache
def pictures() -> tuple[list[np.ndarray], Fraction]:
    """uint8 (height, width, 3) of each frame, and frames a second."""
    with av.open(io.BytesIO(good())) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or Fraction(10)
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)], rate


def made(kind: str, codec: str, form: str = "yuv420p", sound: str = "", times: int = 1) -> bytes:
    """The clip as FFmpeg writes it; ``sound``: the codec of a recording beside it."""
    shown, rate = pictures()
    target = io.BytesIO()
    with av.open(target, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = shown[0].shape[:2]
        stream.pix_fmt = form
        stream.bit_rate = 2_000_000
        stream.codec_context.gop_size = 8
        track = container.add_stream(sound, rate=48_000, layout="mono") if sound else None
        for picture in shown * times:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
        if track is not None:
            fill_track(container, track, talk(48_000)[:, None])
    return target.getvalue()


def flat(width: int, height: int, count: int, codec: str = "libx264") -> bytes:
    """A clip of grey frames."""
    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=1)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if codec == "libx264":
            stream.options = {"preset": "ultrafast"}
        frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 128, np.uint8))
        for number in range(count):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def other_sound(content: bytes) -> bytes:
    """A clip whose sound has a codec that nobody knows."""
    return content.replace(b"mp4a", b"zz9z").replace(b"esds", b"free")


def no_frames() -> bytes:
    """A clip that says it has pictures, and has none."""
    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        track = container.add_stream("aac", rate=48_000, layout="mono")
        fill_track(container, track, talk(48_000)[:, None])
    return target.getvalue()


def two_sizes() -> bytes:
    """A bare stream whose frames change their size."""
    return flat_h264(192, 64) + flat_h264(320, 240)


def flat_h264(width: int, height: int) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def song_with_cover() -> bytes:
    """An mp3 with a picture in its title."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp3") as container:
        track = container.add_stream("libmp3lame", rate=44_100, layout="mono")
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
        container.mux(cover.encode(frame))
        container.mux(cover.encode(None))
        fill_track(container, track, talk(44_100)[:, None])
    return target.getvalue()


def case(name: str, right: Seen | Refused, content: Callable[[], bytes] | bytes) -> Case:
    """A file called ``name``."""

    def make(folder: Path) -> Path:
        return written(name, content if isinstance(content, bytes) else content())(folder)

    return Case(name, make, right)


def timed(name: str, times: list[float]) -> Case:
    """A clip whose frames are shown at certain times."""
    return Case(name, lambda folder: write_clip(folder / name, times), ANYTHING)


def turned(turn: str) -> Case:
    """A clip of a phone that was held otherwise."""

    def make(folder: Path) -> Path:
        path = written(f"turned-{turn}.mp4", good())(folder)
        turn_clip(path, turn)
        return path

    return Case(f"turned-{turn}.mp4", make, ANYTHING)


def kinds() -> list[Case]:
    """The clip in other forms, and by other names."""
    forms = {
        "plain.mp4": ("mp4", "libx264"),
        "plain.mov": ("mov", "libx264"),
        "plain.mkv": ("matroska", "libx264"),
        "vp8.webm": ("webm", "libvpx"),
        "vp9.webm": ("webm", "libvpx-vp9"),
        "plain.avi": ("avi", "mpeg4"),
        "plain.ts": ("mpegts", "libx264"),
        "plain.flv": ("flv", "libx264"),
    }
    cases = [
        case(name, SHOWN, lambda kind=kind, codec=codec: made(kind, codec))
        for name, (kind, codec) in forms.items()
    ]
    names = ("clip.txt", "clip.wav", "clip.png", "clip")
    return [
        *cases,
        # Bare streams say nothing of their rate: other frames are seen.
        case("plain.h264", ANYTHING, lambda: made("h264", "libx264")),
        case("moving.mjpeg", ANYTHING, lambda: made("mjpeg", "mjpeg", "yuvj420p")),
        *(case(f"a-{name}", SHOWN, good()) for name in names),
        timed("one-frame.mp4", [0.0]),
        timed("odd-times.mkv", [0, 0.01, 0.5, 0.51, 2.4, 2.41, 2.42, 4.0]),
        timed("late.mp4", [float(second) for second in range(0, 60, 15)]),
        timed("fast.mkv", [number / 1000 for number in range(300)]),
        *(turned(turn) for turn in ("left", "right", "over")),
        case("two-sizes.h264", ANYTHING, two_sizes),
    ]


def sounds() -> list[Case]:
    """What there is to hear in a clip."""
    unheard = Seen("", note="unheard")
    with_sound = lambda: made("mp4", "libx264", sound="aac")  # noqa: E731
    damaged = Case(
        "glitch-in-sound.mp4",
        lambda folder: clip_with_sound(folder / "glitch-in-sound.mp4", damage=True),
        Seen("", note="damaged"),
    )
    return [
        case("with-sound.mp4", ANYTHING, with_sound),
        case("sound-of-no-kind.mp4", unheard, lambda: other_sound(with_sound())),
        damaged,
        case("song.mp3", ABSENT, lambda: packed("mp3")),
        case("song-with-cover.mp3", ABSENT, song_with_cover),
        case("sound-alone.mp4", ABSENT, lambda: packed("m4a")),
        case("no-frames.mkv", CUT, no_frames),
    ]


def bombs() -> list[Case]:
    """Small files of very large frames, of very many, of hours."""
    large = refused("video-too-large")
    return [
        case("frames-of-8000.mkv", large, lambda: flat(8000, 8000, 2, "mpeg4")),
        case("frames-of-4096x2400.mkv", large, lambda: flat(4096, 2400, 2)),
        case("many-in-4k.mkv", ANYTHING, lambda: flat(3840, 2160, 24)),
        case("40-minutes.mkv", refused("video-too-long"), lambda: flat(64, 64, 2400)),
    ]


def broken() -> list[Case]:
    """What lacks a part, or is no clip."""
    playlist = b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    contents = {
        "playlist.mp4": playlist,
        "list.mp4": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "words.mp4": b"no clip at all\n" * 40,
        "drawing.mp4": EPS,
        "zeros.mp4": bytes(50_000),
        "picture.mp4": flat_png(64, 64),
    }
    return [
        *(case(name, UNREADABLE, content) for name, content in contents.items()),
        case("photo.mp4", UNREADABLE, jpeg()),
        case("empty.mp4", refused("media-empty"), b""),
        case("half.mp4", CUT, lambda: half_of(good())),
        case("half.mkv", CUT, lambda: half_of(made("matroska", "libx264", times=3))),
        case("half.ts", Seen(""), lambda: half_of(made("mpegts", "libx264", times=3))),
        case("glitch.ts", ANYTHING, lambda: with_damage(made("mpegts", "libx264"), 0.5, 300)),
        case("glitch.mp4", ANYTHING, lambda: with_damage(made("mp4", "libx264"), 0.4, 60)),
    ]


CLIPS = [*kinds(), *sounds(), *bombs(), *broken()]
