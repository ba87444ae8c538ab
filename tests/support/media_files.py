"""Small media files made on the spot: tones, clips whose frames carry their number, pictures.

And what every refused file has in common.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from PIL import Image as Pillow

from omni.errors import MediaError

BITS = 12  # of a frame's number, drawn as black and white columns
CELL = 16  # pixels of a column


def tone(seconds: float, rate: int = 16_000, channels: int = 1) -> np.ndarray:
    """float32 (samples, channels): a tone of 440 Hz; the same in every channel."""
    samples = np.arange(round(seconds * rate)) / rate
    wave = (0.5 * np.sin(2 * np.pi * 440 * samples)).astype(np.float32)
    return np.repeat(wave[:, None], channels, axis=1)


def write_sound(
    path: Path, samples: np.ndarray, rate: int = 16_000, subtype: str | None = None
) -> Path:
    """By libsndfile; the kind is the name's."""
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def write_track(path: Path, samples: np.ndarray, rate: int, codec: str, **options: Any) -> Path:
    """A sound track by PyAV: samples float32 (samples, channels), one or two channels."""
    with av.open(str(path), "w", **options) as container:
        layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
        fill_track(container, container.add_stream(codec, rate=rate, layout=layout), samples)
    return path


def fill_track(container: Any, stream: Any, samples: np.ndarray) -> None:
    """Write samples, float32 (samples, channels), into a sound stream."""
    layout, rate = stream.layout.name, stream.rate
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), "fltp", layout)
    frame.sample_rate = rate
    resampler = av.AudioResampler(stream.codec_context.format, layout, rate)
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    for part in [*parts, None]:
        container.mux(stream.encode(part))


def numbered(number: int) -> np.ndarray:
    """uint8 (64, BITS * CELL, 3): the number in columns, its lowest bit at the left."""
    bits = [255 * (number >> bit & 1) for bit in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8), CELL)
    picture = np.zeros((64, BITS * CELL, 3), np.uint8)
    picture[:] = row[None, :, None]
    return picture


def number_of(picture: Pillow.Image) -> int:
    """The number in a frame of :func:`write_clip`."""
    levels = np.asarray(picture.convert("L"), dtype=float)
    centres = levels[24:40].mean(0).reshape(BITS, CELL).mean(1)
    return sum(1 << bit for bit in range(BITS) if centres[bit] > 128)


def write_clip(
    path: Path,
    times: Iterable[float],
    codec: str = "libx264",
    rate: Fraction | int = 30,
    keys: int = 12,
    sound: bool = False,
    **options: Any,
) -> Path:
    """A clip whose frame number ``i`` is shown at ``times[i]`` seconds.

    Args:
        rate: frames a second that the header says.
        keys: frames between two key frames.
    """
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = BITS * CELL, 64, "yuv420p"
        stream.codec_context.gop_size = keys
        stream.codec_context.thread_count = 1
        stream.bit_rate = 600_000
        track = container.add_stream("aac", rate=48_000, layout="mono") if sound else None
        base = Fraction(1, 90_000)
        if codec in ("mpeg4", "mpeg2video"):
            base = 1 / Fraction(rate)
        stream.codec_context.time_base = base
        for number, seconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(numbered(number), "rgb24")
            frame.pts, frame.time_base = round(seconds / base), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None:
            fill_track(container, track, tone(2.0, 48_000))
    return path


def turn_clip(path: Path, turn: str) -> None:
    """Give an mp4 the display matrix of a phone that was held ``turn``: "left", "right", "over"."""
    one, minus = 0x10000, 0xFFFF0000
    matrix = {"right": (0, one, minus, 0), "left": (0, minus, one, 0), "over": (minus, 0, 0, minus)}
    a, b, c, d = matrix[turn]
    content = path.read_bytes()
    upright = struct.pack(">9I", one, 0, 0, 0, one, 0, 0, 0, 0x40000000)
    place = content.index(upright, content.index(b"tkhd"))
    turned = struct.pack(">9I", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(content[:place] + turned + content[place + 36 :])


def write_png_header(path: Path, width: int, height: int) -> Path:
    """A PNG that claims a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        content += struct.pack(">I", len(data)) + kind + data
        content += struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(content)
    return path


def error_of(call: Callable[[], object]) -> MediaError:
    """The refusal by ``call``, which must be a whole sentence."""
    with pytest.raises(MediaError) as caught:
        call()
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert not re.search(r"\{(name|width|height|minutes|millions)", sentence)
    return caught.value
