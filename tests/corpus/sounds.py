"""Odd sounds, made on the spot, each with what is right for it.

The good recording says "The red star is above the yellow heart." (examples/sentence_en.flac).
"""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr

from tests.corpus.outcomes import Case, Heard, Refused, refused, written
from tests.support.media_files import fill_track, write_clip
from tests.support.odd_files import EPS, LFS_POINTER, flat_png, with_damage
from tests.support.root import ROOT

RATE = 16_000
SAID = "The red star is above the yellow heart."
UNREADABLE = refused("audio-unreadable")


@cache
def talk(rate: int = RATE) -> np.ndarray:
    """float32 (samples,): the good recording."""
    samples, own = soundfile.read(ROOT / "examples" / "sentence_en.flac", dtype="float32")
    return samples if rate == own else soxr.resample(samples, own, rate, "VHQ")


SECONDS = talk().size / RATE
WHOLE = Heard(SAID, SECONDS)
LONG = Heard(None, SECONDS)  # where a codec or a change of rate may cost a word


def by_libsndfile(
    kind: str, subtype: str | None = None, samples: Any = None, rate: int = RATE
) -> bytes:
    """The recording as libsndfile writes it."""
    target = io.BytesIO()
    given = talk(rate) if samples is None else samples
    soundfile.write(target, given, rate, format=kind, subtype=subtype)
    return target.getvalue()


def by_ffmpeg(kind: str, codec: str, rate: int = RATE, channels: int = 1) -> bytes:
    """The recording as FFmpeg writes it."""
    target = io.BytesIO()
    wide = np.repeat(talk(rate)[:, None], channels, axis=1)
    with av.open(target, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, layout={1: "mono", 2: "stereo"}[channels])
        stream.bit_rate = 128_000
        fill_track(container, stream, wide)
    return target.getvalue()


PACKED = {  # FFmpeg's names of the container and the codec, Hz
    "mp3": ("mp3", "libmp3lame", 44_100),
    "mp2": ("mpegts", "mp2", 44_100),
    "m4a": ("ipod", "aac", 44_100),
    "alac.m4a": ("ipod", "alac", 44_100),
    "aac": ("adts", "aac", 44_100),
    "opus": ("ogg", "libopus", 48_000),
    "webm": ("webm", "libopus", 48_000),
    "mka": ("matroska", "aac", 44_100),
    "ac3": ("ac3", "ac3", 44_100),
    "wma": ("asf", "wmav2", 44_100),
    "wv": ("wv", "wavpack", 44_100),
    "flv": ("flv", "aac", 44_100),
}


def packed(name: str) -> bytes:
    """The recording in a form of :data:`PACKED`, or in ogg (Vorbis)."""
    if name == "ogg":
        return by_libsndfile("OGG", "VORBIS", rate=44_100)
    return by_ffmpeg(*PACKED[name])


def wav(samples: np.ndarray | None = None, rate: int = RATE) -> bytes:
    """16 bits, one channel, as most programs write it: a head of 44 bytes."""
    given = talk(rate) if samples is None else samples
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(given, -1, 1) * 32767).astype("<i2").tobytes())
    return target.getvalue()


def patched(content: bytes, at: int, form: str, *values: int) -> bytes:
    """``content`` with other numbers at a place."""
    data = bytearray(content)
    struct.pack_into(form, data, at, *values)
    return bytes(data)


def with_chunk(kind: bytes, data: bytes, size: int | None = None) -> bytes:
    """The wav with another chunk before its samples."""
    whole = wav()
    chunk = kind + struct.pack("<I", len(data) if size is None else size) + data
    chunk += b"\0" * (len(data) % 2)
    return patched(whole[:36] + chunk + whole[36:], 4, "<I", len(whole) + len(chunk) - 8)


def with_value(value: float, subtype: str = "FLOAT") -> bytes:
    """The recording with one number that is no sound."""
    samples = talk().astype(np.float64)
    samples[500] = value
    return by_libsndfile("WAV", subtype, samples)


def with_tag(content: bytes, size: int) -> bytes:
    """An mp3 behind a title with a picture of ``size`` bytes."""
    body = b"APIC" + struct.pack(">I", size) + b"\0\0" + bytes(size)
    length = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + length + body + content


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def hiss() -> np.ndarray:
    return (0.1 * np.random.default_rng(2).standard_normal(4 * RATE)).astype(np.float32)


def chord() -> np.ndarray:
    time_s = np.arange(4 * RATE) / RATE
    waves = [0.1 * np.sin(2 * np.pi * pitch * time_s) for pitch in (262, 330, 392)]
    return np.sum(waves, axis=0).astype(np.float32)


def hum() -> np.ndarray:
    time_s = np.arange(4 * RATE) / RATE
    waves = [0.2 / k * np.sin(2 * np.pi * 50 * k * time_s) for k in range(1, 20)]
    return np.sum(waves, axis=0).astype(np.float32)


def click() -> np.ndarray:
    samples = silence(2)
    samples[RATE] = 1.0
    return samples


def many(channels: int) -> np.ndarray:
    """float32 (samples, channels): the recording in each."""
    return np.repeat(talk()[:, None], channels, axis=1)


def opposite() -> np.ndarray:
    return np.stack([talk(), -talk()], axis=1)


def one_of(channels: int, which: int) -> np.ndarray:
    """The recording in one channel, nothing in the others."""
    samples = np.zeros((talk().size, channels), np.float32)
    samples[:, which] = talk()
    return samples


def clip_with_sound(path: Path, codec: str = "aac", damage: bool = False) -> Path:
    """A clip of two seconds in which the recording is heard."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
        track = container.add_stream(codec, rate=48_000, layout="mono")
        grey = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8))
        for _ in range(23):
            container.mux(pictures.encode(grey))
        container.mux(pictures.encode(None))
        fill_track(container, track, talk(48_000)[:, None])
    if damage:
        path.write_bytes(with_damage(path.read_bytes(), 0.5, 100))
    return path


def silent_clip(folder: Path) -> Path:
    return write_clip(folder / "silent.mp4", [0, 0.1, 0.2])


def case(name: str, right: Heard | Refused, content: Callable[[], bytes] | bytes) -> Case:
    """A file called ``name``."""

    def make(folder: Path) -> Path:
        data = content if isinstance(content, bytes) else content()
        return written(Path(name).name, data)(folder)

    return Case(name, make, right)


def sizes() -> list[Case]:
    """Heads that say something else than what follows."""
    lies = {"stream": 0x7FFFF000, "most": 0x7FFFFFFF, "all": 0xFFFFFFFF, "none": 0}
    lies["more"] = 2 * talk().size + 16
    cases = [
        case(f"size-{name}.wav", WHOLE, lambda size=size: patched(wav(), 40, "<I", size))
        for name, size in lies.items()
    ]
    riff = {"0": 0, "most": 0xFFFFFFFF, "few": 4}
    cases += [
        case(f"riff-size-{name}.wav", WHOLE, lambda size=size: patched(wav(), 4, "<I", size))
        for name, size in riff.items()
    ]
    half = Heard(None, SECONDS / 2, damaged=True)
    return [
        *cases,
        case("half.wav", half, lambda: wav()[: len(wav()) // 2]),
        case("odd-byte.wav", WHOLE, lambda: wav() + b"\x07"),
        case("head-alone.wav", refused("audio-unreadable", "audio-too-short"), wav()[:44]),
        case("half-a-head.wav", UNREADABLE, wav()[:30]),
        case("rate-0.wav", UNREADABLE, patched(wav(), 24, "<I", 0)),
        case("rate-1.wav", refused("audio-too-long"), patched(wav(), 24, "<I", 1)),
        case("rate-most.wav", UNREADABLE, patched(wav(), 24, "<I", 0xFFFFFFFF)),
        case("bits-0.wav", UNREADABLE, patched(wav(), 34, "<H", 0)),
        case("bits-511.wav", UNREADABLE, patched(wav(), 34, "<H", 511)),
        case("channels-0.wav", UNREADABLE, patched(wav(), 22, "<H", 0)),
        case("channels-65535.wav", refused("audio-too-many-channels", "audio-unreadable"),
             patched(wav(), 22, "<H", 65535)),
        case("block-0.wav", WHOLE, patched(wav(), 32, "<H", 0)),
        case("format-of-no-kind.wav", UNREADABLE, patched(wav(), 20, "<H", 0x1234)),
        case("list.wav", WHOLE, with_chunk(b"LIST", b"INFOIART" + bytes(7))),
        case("odd-chunk.wav", WHOLE, with_chunk(b"junk", bytes(33))),
        case("endless-chunk.wav", UNREADABLE, with_chunk(b"junk", bytes(4), 0xFFFFFFF0)),
    ]  # fmt: skip


def kinds() -> list[Case]:
    """The recording in other forms."""
    plain = ["WAV/PCM_24", "WAV/PCM_32", "WAV/PCM_U8", "WAV/FLOAT", "WAV/DOUBLE", "WAV/ULAW",
             "WAV/ALAW", "WAVEX/PCM_16", "RF64/PCM_16", "W64/PCM_16", "AIFF/PCM_16", "AU/PCM_16",
             "CAF/PCM_16", "FLAC/PCM_16", "FLAC/PCM_24", "WAV/IMA_ADPCM"]  # fmt: skip
    exact = {"PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"}
    cases = []
    for form in plain:
        kind, subtype = form.split("/")
        right = WHOLE if subtype in exact else LONG
        name = f"{kind}-{subtype}.{kind[:4].lower()}".lower()
        cases.append(case(name, right, lambda k=kind, s=subtype: by_libsndfile(k, s)))
    cases += [case(f"packed.{name}", LONG, lambda n=name: packed(n)) for name in ("ogg", *PACKED)]
    rates = (8_000, 11_025, 22_050, 44_100, 96_000, 192_000)
    cases += [case(f"{rate}-hz.wav", LONG, lambda rate=rate: wav(rate=rate)) for rate in rates]
    named = ("raw", "mp3", "txt", "jpg", "zip", "WAV", "mp4", "html")
    return [*cases, *(case(f"a-wav-called.{ending}", WHOLE, wav) for ending in named)]


def joined() -> list[Case]:
    """Two recordings in one file, and what changes inside."""
    twice = Heard(None, 2 * SECONDS)
    cases = [
        case(f"joined.{name}", twice, lambda n=name: 2 * packed(n))
        for name in ("mp3", "ogg", "opus", "aac")
    ]
    changes: dict[str, Callable[[], bytes]] = {
        "mono-then-stereo.aac": lambda: packed("aac") + by_ffmpeg("adts", "aac", 48_000, 2),
        "rates.mp3": lambda: packed("mp3") + by_ffmpeg("mp3", "mp3", 22_050),
        "titles.mp3": lambda: 2 * with_tag(packed("mp3"), 9),
    }
    cases += [case(name, twice, content) for name, content in changes.items()]
    both = case("vorbis-then-opus.ogg", UNREADABLE, lambda: packed("ogg") + packed("opus"))
    return [
        *cases,
        both,
        case("wav-behind-wav.wav", WHOLE, lambda: 2 * wav()),
    ]  # players stop there


def damaged() -> list[Case]:
    """Bytes of the middle overwritten, the end missing, in every kind of file."""
    gap = Heard(None, SECONDS, damaged=True)
    cases = [
        case(f"glitch.{name}", gap, lambda n=name: with_damage(packed(n), 0.5, 300))
        for name in ("mp3", "aac", "m4a", "ac3")
    ]
    cases += [case("glitch.mka", gap, lambda: with_damage(packed("mka"), 0.5, 20))]
    # A page of a second is lost: Opus is played without it, and Vorbis with a hole.
    some = Heard(None, None, damaged=True)
    cases += [
        case(f"{what}.{name}", some, lambda n=name, do=do: do(packed(n)))
        for name in ("ogg", "opus")
        for what, do in (("glitch", lambda whole: with_damage(whole, 0.5, 20)), ("half", half_of))
    ]
    cut = refused("audio-cut-off", "audio-unreadable")
    cases += [
        case(f"half.{name}", cut, lambda n=name: half_of(packed(n)))
        for name in ("mp3", "m4a", "webm", "mka")
    ]
    cases += [  # nothing behind it is found any more
        case(f"hole.{name}", cut, lambda n=name: with_damage(packed(n), 0.5, 300))
        for name in ("webm", "mka")
    ]
    return [
        *cases,
        case("half.flac", cut, lambda: half_of(by_libsndfile("FLAC"))),
        case(
            "half-of-a-stream.mp3",
            Heard(None, SECONDS / 2, damaged=True),
            lambda: half_of(packed("mp3")[STREAM:]),
        ),
        case("half.aac", Heard(None, SECONDS / 2, damaged=True), lambda: half_of(packed("aac"))),
    ]


STREAM = 500  # bytes of an mp3, within which its encoder noted how long it is


def half_of(content: bytes) -> bytes:
    return content[: len(content) // 2]


def values() -> list[Case]:
    """Numbers that are no sound, channels, silence, nobody who speaks."""
    broken, nobody = refused("audio-broken"), refused("audio-no-speech", "audio-silent")
    numbers = {"1e30": 1e30, "minus-3e38": -3e38, "200": 200.0, "nan": np.nan, "inf": np.inf}
    cases = [
        case(f"float-{name}.wav", broken, lambda value=value: with_value(value))
        for name, value in numbers.items()
    ]
    cases.append(case("double-1e300.wav", broken, lambda: with_value(1e300, "DOUBLE")))
    unsaid = {"silence": silence(3), "hiss": hiss(), "chord": chord(), "hum": hum(),
              "click": click(), "direct-current": silence(3) + 0.5}  # fmt: skip
    cases += [
        case(f"{name}.flac", nobody, lambda sound=sound: by_libsndfile("FLAC", None, sound))
        for name, sound in unsaid.items()
    ]
    crowd = refused("audio-too-many-channels")
    wide = {"two": (many(2), WHOLE), "32": (many(32), WHOLE), "33": (many(33), crowd),
            "255": (many(255), crowd), "opposite": (opposite(), WHOLE),
            "left-alone": (one_of(2, 0), WHOLE), "centre-of-six": (one_of(6, 2), LONG)}  # fmt: skip
    cases += [
        case(f"channels-{name}.wav", right, lambda sound=sound: by_libsndfile("WAV", None, sound))
        for name, (sound, right) in wide.items()
    ]
    short = refused("audio-too-short")
    return [
        *cases,
        case("channels-9.ogg", WHOLE, lambda: by_libsndfile("OGG", None, many(9))),
        case("channels-32.ogg", WHOLE, lambda: by_libsndfile("OGG", None, many(32))),
        case("channels-255.ogg", crowd, lambda: by_libsndfile("OGG", None, many(255)[:4000])),
        case("ten-samples.wav", short, lambda: wav(talk()[5000:5010])),
        case("31-minutes.flac", refused("audio-too-long"),
             lambda: by_libsndfile("FLAC", None, np.zeros(31 * 60 * 8000, np.int16), 8000)),
        case("too-loud.wav", LONG, lambda: wav(np.clip(20 * talk(), -1, 1))),
        case("quiet-talk.wav", LONG, lambda: by_libsndfile("WAV", "FLOAT", talk() / 50)),
    ]  # fmt: skip


def foreign() -> list[Case]:
    """What is no sound, and what would lead elsewhere."""
    lists = {
        "m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST",
        "ffconcat": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
        "mpd": b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
        "txt": b"The red star is above the yellow heart.\n" * 40,
        "json": b'{"a": [1, 2, 3]}' * 40,
        "html": b"<!doctype html><html><body>not here</body></html>" * 40,
        "mid": b"MThd\0\0\0\6\0\0\0\1\0\x60MTrk\0\0\0\4\0\xff\x2f\0",
        "pdf": b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF" + bytes(500),
        "exe": b"MZ" + bytes(range(256)) * 8,
        "zip": b"PK\x05\x06" + bytes(18),
        "eps": EPS,
        "png": flat_png(40, 40),
        "safetensors": LFS_POINTER,
        "zeros": bytes(100_000),
        "pcm": (talk() * 32767).astype("<i2").tobytes(),
    }
    cases = [case(f"foreign.{name}", UNREADABLE, content) for name, content in lists.items()]
    masks = [case(f"{name}-called.mp3", UNREADABLE, lists[name]) for name in ("m3u8", "ffconcat")]
    empty = case("empty.wav", refused("media-empty"), b"")
    clips = [
        Case("clip.mp4", lambda folder: clip_with_sound(folder / "clip.mp4"), LONG),
        Case("clip.mkv", lambda folder: clip_with_sound(folder / "clip.mkv", "libopus"), LONG),
        Case("clip-without-sound.mp4", silent_clip, refused("audio-absent")),
    ]
    return [*cases, *masks, empty, *clips]


SOUNDS = [*sizes(), *kinds(), *joined(), *damaged(), *values(), *foreign()]
